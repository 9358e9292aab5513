#include "cli/models.h"

#include <malloc.h>

#include <algorithm>
#include <numeric>

#include "base/clock.h"
#include "base/error.h"
#include "base/files.h"
#include "base/rng.h"
#include "cli/backends.h"
#include "cli/draft.h"
#include "cli/terminal.h"
#include "convert/gguf_vocabulary.h"
#include "format/lora.h"
#include "hub/model_store.h"
#include "machine/cpu_clock.h"
#include "ops/scalar_ops.h"

namespace chaski::cli {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kDefaultContext = 4096;

std::string open_in_folder(const fs::path& folder) {
  if (const auto model = model_in_folder(folder)) return model->string();
  const std::vector<fs::path> files = gguf_files_in(folder);
  const std::string shown = printable(folder.string(), 300);
  if (files.empty()) {
    throw Error(ErrorCode::kNotFound, "find model",
                fmt::format("{}: expected config.json or a .gguf file in it", shown));
  }
  std::string names;
  for (const fs::path& file : files) names += (names.empty() ? "" : ", ") + printable(file.string(), 300);
  throw Error(ErrorCode::kUsage, "find model", fmt::format("{}: holds {} models", shown, files.size()),
              "name one of them: " + names);
}

/// Texts of the special tokens that a template may name besides bos and eos.
SpecialTokens special_tokens_of(const TokenizerData& data, const Tokenizer& tokenizer,
                                const std::string& where) {
  SpecialTokens tokens;
  if (data.pad) tokens.emplace_back("pad_token", tokenizer.piece(*data.pad));
  if (data.tokenizer_config_json.empty()) return tokens;
  const Json config = parse_json(data.tokenizer_config_json, where);
  for (const char* key : {"pad_token", "unk_token"}) {
    const auto it = config.find(key);
    if (it == config.end()) continue;
    // A text, or an object with the text and its flags.
    tokens.emplace_back(
        key, it->is_object() ? get_string(*it, "content", "", where) : get_string(config, key, "", where));
  }
  return tokens;
}

Tokenizer tokenizer_of(const Checkpoint& checkpoint) {
  const TokenizerData& data = checkpoint.tokenizer();
  if (!data.tokenizer_json.empty()) {
    return Tokenizer::from_tokenizer_json(data.tokenizer_json, data.tokenizer_config_json,
                                          checkpoint.path() + "/tokenizer.json");
  }
  if (!data.tokenizer_model.empty()) {
    return Tokenizer(spec_from_tokenizer_file(data.tokenizer_model, data.tokenizer_config_json,
                                              checkpoint.path() + "/tokenizer.model"));
  }
  if (data.tokens.empty()) {
    throw Error(ErrorCode::kNotFound, "open tokenizer",
                fmt::format("{}: there is no tokenizer", checkpoint.path()),
                "a Hugging Face model needs tokenizer.json or tokenizer.model beside its weights");
  }
  return Tokenizer(spec_from_gguf(gguf_vocabulary_of(data), checkpoint.path()));
}

void note_line(const std::string& what, Lang lang) {
  note(fmt::format("{} {}\n", tr(lang, "note:", "注意："), printable(what, 600)));
}

void note_lines(const std::vector<std::string>& notes, Lang lang) {
  for (const std::string& what : notes) note_line(what, lang);
}

std::string piece_or_empty(const Tokenizer& tokenizer, const std::optional<int32_t>& id) {
  return id ? std::string(tokenizer.piece(*id)) : std::string();
}

}  // namespace

std::string resolve_model(const std::string& name) {
  if (name.rfind("synthetic:", 0) == 0) return name;
  std::error_code ignored;
  const fs::path store = chaski_home() / "models";
  std::optional<fs::path> found;
  if (fs::exists(name, ignored)) {
    found = name;
  } else if (is_safe_relative_name(name) && fs::exists(store / name, ignored)) {
    found = store / name;
  } else {
    found = find_pulled(name);
  }
  if (found) {
    require_whole_model(*found);
    return fs::is_directory(*found, ignored) ? open_in_folder(*found) : found->string();
  }
  throw Error(
      ErrorCode::kNotFound, "find model",
      fmt::format("{}: no file or folder here has this name, and no model below {}", printable(name, 300),
                  store.string()),
      fmt::format("`chaski pull {}` fetches it where it is a hub's name or an alias; `./dev demo` in the "
                  "source tree installs `default`; synthetic:tiny is always there",
                  printable(name, 100)));
}

std::vector<FoundModel> find_models(const std::vector<std::string>& names) {
  std::vector<FoundModel> found;
  std::vector<std::string> missing;
  std::exception_ptr first_missing;
  for (const std::string& name : names) {
    try {
      const std::string path = resolve_model(name);
      const auto checkpoint = Checkpoint::open(path);
      found.push_back({name, path, checkpoint->weight_bytes(), checkpoint->config().max_context});
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kNotFound) throw;
      if (!first_missing) first_missing = std::current_exception();
      if (std::find(missing.begin(), missing.end(), name) == missing.end()) missing.push_back(name);
    }
  }
  if (missing.size() == 1) std::rethrow_exception(first_missing);
  if (missing.empty()) return found;
  throw Error(
      ErrorCode::kNotFound, "find models",
      fmt::format("not on this computer: {}", printable(fmt::format("{}", fmt::join(missing, ", ")), 600)),
      fmt::format("`chaski pull {}` fetches it where it is a hub's name or an alias, and so the others; a "
                  "path to a folder or a .gguf file does as well",
                  printable(missing.front(), 100)));
}

bool fit_together(const std::vector<FoundModel>& models) {
  const std::optional<int64_t> free_bytes = available_memory_bytes();
  if (models.size() < 2 || !free_bytes) return true;
  const auto all = std::accumulate(models.begin(), models.end(), uint64_t{0},
                                   [](uint64_t sum, const FoundModel& m) { return sum + m.weight_bytes; });
  return static_cast<double>(all) * 1.3 < static_cast<double>(*free_bytes) * 0.9;
}

namespace {

ModelText::Language language_of(const Checkpoint& checkpoint) {
  const Stopwatch since_start;
  ModelText::Language language{tokenizer_of(checkpoint), nullptr};
  const Tokenizer& tokenizer = language.tokenizer;
  if (!checkpoint.chat_template().empty()) {
    language.chat_template = std::make_unique<ChatTemplate>(
        checkpoint.chat_template(), piece_or_empty(tokenizer, tokenizer.bos()),
        piece_or_empty(tokenizer, tokenizer.eos()),
        special_tokens_of(checkpoint.tokenizer(), tokenizer, checkpoint.path() + "/tokenizer_config.json"));
  }
  language.seconds = since_start.seconds();
  return language;
}

}  // namespace

ModelText open_model_text(const std::string& name) {
  const Stopwatch since_start;
  ModelText text;
  text.checkpoint =
      Checkpoint::open(resolve_model(name), std::make_shared<DigestMemo>(chaski_home() / "cache/hashes"));
  text.language =
      std::async(std::launch::async, [checkpoint = text.checkpoint] { return language_of(*checkpoint); });
  text.open_s = since_start.seconds();
  return text;
}

PromptMaker prompt_maker(const ModelText& text, const PromptOptions& options, std::string date_string) {
  const ModelText::Language& language = text.language.get();
  return PromptMaker(language.tokenizer, language.chat_template.get(), options.template_choice,
                     options.date_string.empty() ? std::move(date_string) : options.date_string);
}

WeightsKeeper::~WeightsKeeper() {
  if (std::uncaught_exceptions() > n_exceptions_) return;
  const Stopwatch since_start;
  bool is_said = false;
  const OnWait on_wait = [&] {
    context_.cancel.throw_if_cancelled("keep packed weights");
    if (is_said || since_start.seconds() < 1) return;
    is_said = true;
    note(tr(context_.lang, "keeping packed weights for the next start …; Ctrl-C leaves without them\n",
            "正在保存打包后的权重，供下次启动使用……按 Ctrl-C 立即退出\n"));
  };
  try {
    note_lines(device_.keep_weights(on_wait), context_.lang);
  } catch (const std::exception&) {
    return;  // they are packed again at the next start
  }
}

std::unique_ptr<LoadedModel> load_model(ModelText text, const ModelOptions& options, const Context& context,
                                        int64_t min_context, bool reuse_prefixes) {
  const Stopwatch since_start;
  auto loaded = std::make_unique<LoadedModel>();
  loaded->text = std::move(text);
  if (!options.lora.empty()) {
    // As wide as the arithmetic: merged weights are no longer of the base's few bits.
    const DType merged = options.precision_value() == Precision::kExact ? DType::kF32 : DType::kBF16;
    loaded->text.checkpoint = with_lora(loaded->text.checkpoint, options.lora, merged);
    loaded->lora = options.lora;
  }
  const ModelConfig& config = loaded->text.checkpoint->config();
  if (options.context < 0 || options.context > config.max_context) {
    throw Error(
        ErrorCode::kUsage, "load model",
        fmt::format("--ctx {}: the model has 1 to {} positions", options.context, config.max_context));
  }
  const int64_t n_context = options.context > 0
                                ? options.context
                                : std::min(config.max_context, std::max(kDefaultContext, min_context));

  DeviceOptions device_options;
  device_options.precision = options.precision_value();
  device_options.n_threads = options.n_threads;
  device_options.kv_dtype = options.kv_dtype;
  device_options.activations = options.activations;
  // Weights that are not the files' own, or were not looked at, are not kept.
  const bool keeps = !options.goes_without_cache && options.lora.empty() && !options.allows_nonfinite &&
                     loaded->text.checkpoint->kind() != "synthetic";
  if (keeps) device_options.cache_folder = chaski_home() / "cache/weights";
  device_options.isa = options.isa;
  loaded->device = open_device(options.device, device_options);
  Ops* ops = &loaded->device->ops();
  if (loaded->device->info().device_kind != "cpu") {
    // It takes activations of the device's type, and rounds where the device would.
    loaded->host = std::make_unique<ScalarOps>();
    loaded->fallback = std::make_unique<FallbackOps>(*ops, *loaded->host, options.is_strict);
    ops = loaded->fallback.get();
  }
  Progress progress(std::string(tr(context.lang, "loading", "加载模型")));
  const LoadProgress on_weight = [&](int64_t done, int64_t total) {
    context.cancel.throw_if_cancelled("load model");
    progress.show(done, total);
  };
  OnNonfinite on_nonfinite;
  if (options.allows_nonfinite) {
    on_nonfinite = [found = loaded->nonfinite](const std::string& what) { found->add(what); };
  }
  Progress checking(std::string(tr(context.lang, "checking packed weights", "检查打包的权重")));
  const auto n_all = static_cast<int64_t>(loaded->text.checkpoint->weight_bytes());
  int64_t n_checked = 0;
  Stopwatch since_part;
  loaded->device->begin_weights(loaded->text.checkpoint, [&](uint64_t n_bytes) {
    context.cancel.throw_if_cancelled("load model");
    checking.show(std::min(n_all, n_checked += static_cast<int64_t>(n_bytes)), n_all);
  });
  checking.clear();
  LoadParts& parts = loaded->load_parts;
  parts.open_s = loaded->text.open_s;
  parts.packed_s = since_part.seconds();
  const Tokenizer& tokenizer = loaded->text.tokenizer();
  parts.tokenizer_s = loaded->text.language.get().seconds;
  loaded->text.checkpoint->forget_tokenizer();
#if defined(__GLIBC__)
  malloc_trim(0);  // thousands of small strings, which glibc would hold on to
#endif
  since_part.restart();
  loaded->model = load_llama(*loaded->text.checkpoint, *ops, n_context, on_weight, on_nonfinite);
  note_lines(loaded->device->finish_weights(), context.lang);
  parts.weights_s = since_part.seconds();
  EngineOptions engine_options;
  engine_options.context = n_context;
  engine_options.max_sequences = options.n_sequences;
  engine_options.reuse_prefixes = reuse_prefixes;
  set_speculation(*loaded, *ops, options.draft, context, engine_options);
  since_part.restart();
  loaded->engine = std::make_unique<Engine>(*loaded->device, *ops, loaded->model, tokenizer, engine_options);
  parts.engine_s = since_part.seconds();
  loaded->load_s = parts.total_s = loaded->text.open_s + since_start.seconds();
  loaded->keeper = std::make_unique<WeightsKeeper>(*loaded->device, context);
  return loaded;
}

GenerationSettings settings_for(const Checkpoint& checkpoint, const GenerationSettings& from_user) {
  GenerationSettings settings = advised_settings(checkpoint.generation());
  overlay(settings, from_user);
  if (!settings.seed) settings.seed = draw_seed();
  sampling_of(settings);
  return settings;
}

void NonfiniteWeights::add(const std::string& what) {
  const std::lock_guard lock(mutex_);
  all_.push_back(what);
}
std::vector<std::string> NonfiniteWeights::all() const {
  const std::lock_guard lock(mutex_);
  return all_;
}

std::vector<RunWarning> warnings_of(const LoadedModel& model) {
  const std::vector<std::string> nonfinite = model.nonfinite->all();
  if (nonfinite.empty()) return {};
  RunWarning warning = make_warning("nonfinite_weights");
  warning.message += fmt::format(" {} of them; the first: {}", nonfinite.size(), nonfinite.front());
  return {std::move(warning)};
}

void note_oddities(const LoadedModel& model, Lang lang) {
  if (model.is_synthetic()) {
    note(tr(lang, "note: random weights (synthetic model); for speed only, the text means nothing\n",
            "注意：合成模型，权重为随机数，仅供测速，文字没有意义\n"));
  }
  if (model.device->info().device_kind == "emulated") {
    note(tr(lang, "note: the device is an emulator on the CPU; times say nothing of a real one\n",
            "注意：设备是 CPU 上的模拟器，用时不代表真实设备\n"));
  }
  for (const std::string& what : model.nonfinite->all()) note_line(what, lang);
}

}  // namespace chaski::cli
