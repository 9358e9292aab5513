#include "cli/conversation.h"

#include "cli/chat_settings.h"
#include "cli/draft.h"
#include "cli/terminal.h"
#include "machine/machine_info.h"

namespace chaski::cli {
namespace {

constexpr std::string_view kSchema = "chaski.chat/1";
constexpr uint64_t kMaxFileBytes = 16u << 20;
constexpr size_t kMaxMessages = 10'000;

[[noreturn]] void fail(const std::string& where, const std::string& message) {
  throw Error(ErrorCode::kCorrupt, "load conversation",
              fmt::format("{}: {}", printable(where, 200), message));
}

Json read_saved(const std::filesystem::path& file) {
  const std::string where = file.string();
  JsonLimits limits;
  limits.max_bytes = kMaxFileBytes;
  limits.max_depth = 8;
  limits.max_nodes = 100'000;
  Json saved = parse_json(read_text_file(file, kMaxFileBytes), where, limits);
  if (get_string(saved, "schema", "", where) != kSchema) {
    fail(where, fmt::format("field \"schema\": expected \"{}\": this is no saved conversation", kSchema));
  }
  return saved;
}

/// A slip of the name must not cost a file of another kind.
void refuse_to_replace_others(const std::filesystem::path& file) {
  std::error_code ignored;
  if (!std::filesystem::exists(std::filesystem::symlink_status(file, ignored))) return;
  try {
    read_saved(file);
  } catch (const Error&) {
    throw Error(ErrorCode::kUsage, "save conversation",
                fmt::format("{}: there is such a file, and it is no saved conversation",
                            printable(file.string(), 200)),
                "take another name, or remove the file first");
  }
}

OrderedJson read_messages(const Json& saved, const std::string& where) {
  const auto list = saved.find("messages");
  if (list == saved.end() || !list->is_array() || list->size() > kMaxMessages) {
    fail(where, fmt::format("field \"messages\": expected a list of at most {}", kMaxMessages));
  }
  OrderedJson messages = OrderedJson::array();
  for (const Json& message : *list) {
    const std::string role = require_string(message, "role", where);
    const bool is_known = role == "user" || role == "assistant" || (role == "system" && messages.empty());
    if (!is_known) {
      fail(where, fmt::format("message {}: role \"{}\": expected user, assistant, or system at the beginning",
                              messages.size(), printable(role)));
    }
    messages.push_back({{"role", role}, {"content", require_string(message, "content", where)}});
  }
  return messages;
}

}  // namespace

Conversation::Conversation(LoadedModel& model, const PromptMaker& prompts, std::string model_id,
                           GenerationSettings settings, Context& context)
    : model_(model),
      prompts_(prompts),
      model_id_(std::move(model_id)),
      settings_(std::move(settings)),
      context_(context) {
  clear();
}

void Conversation::clear() {
  messages_ = OrderedJson::array();
  n_context_ = 0;
  if (settings_.system) messages_.push_back({{"role", "system"}, {"content", *settings_.system}});
}

void Conversation::set_system(const std::string& text) {
  settings_.system = text.empty() ? std::nullopt : std::optional(text);
  clear();
}

void Conversation::set(const std::string& name, const std::string& value) {
  if (name == "system") return set_system(value);
  set_setting(settings_, name,
              name == "stop" && !value.empty() && value[0] != '[' ? Json(value) : value_typed(value));
}

void Conversation::turn(const std::string& text) {
  OrderedJson messages = messages_;
  messages.push_back({{"role", "user"}, {"content", text}});
  answer(std::move(messages));
}

void Conversation::regenerate() {
  if (messages_.empty() || messages_.back()["role"] != "assistant") {
    throw Error(ErrorCode::kUsage, "regenerate", "there is no answer yet");
  }
  OrderedJson messages = messages_;
  messages.erase(messages.size() - 1);
  const uint64_t seed = settings_.seed.value_or(0);
  settings_.seed = seed == kMaxSeed ? 0 : seed + 1;
  if (!answer(std::move(messages))) settings_.seed = seed;
}

/// Ask for the answer to `messages` and keep it with them; false where there was none.
bool Conversation::answer(OrderedJson messages) {
  try {
    Request request =
        request_of(settings_, model_.text.checkpoint->config().eos, prompts_.conversation(messages).ids);
    const bool was_said = !model_.engine->stats().speculation_fault.empty();
    const Answer answer = model_.engine->generate(
        std::move(request), [](std::string_view piece) { print(piece); }, &context_.cancel);
    context_.cancel.reset();
    print("\n");
    if (!was_said) note_speculation(model_, context_.lang);
    if (answer.finish_reason == FinishReason::kError) {
      say_failed(Error(answer.error_code, "chat", answer.error));
      return false;
    }
    if (answer.finish_reason == FinishReason::kCancelled && answer.ids.empty()) {
      note(tr(context_.lang, "[stopped before an answer began; the conversation is as it was]\n",
              "[尚未开始回答即已停止；对话保持不变]\n"));
      return false;
    }
    messages.push_back({{"role", "assistant"}, {"content", answer.text}});
    messages_ = std::move(messages);
    ++n_answers_;
    n_prompt_ += answer.n_prompt;
    n_reused_ += answer.n_reused;
    n_context_ = answer.n_prompt + static_cast<int64_t>(answer.ids.size());
    last_ttft_s_ = answer.timings.ttft_s;
    last_tpot_s_ = tpot_s(answer);
    print_figures(answer);
    return true;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kDevice || error.code() == ErrorCode::kIo) throw;
    say_failed(error);
    return false;
  }
}

void Conversation::say_failed(const Error& error) const {
  note(describe(error, name_of(context_.lang)) + "\n");
  note(tr(context_.lang, "This turn was not kept; /clear begins a new conversation.\n",
          "这一轮未保留；/clear 可开始新的对话。\n"));
}

void Conversation::print_figures(const Answer& answer) const {
  const std::optional<double> gap_s = tpot_s(answer);
  const std::string speed = gap_s ? fmt::format("{:.1f}", 1 / *gap_s) : "–";
  std::string_view end;
  if (answer.finish_reason == FinishReason::kCancelled) end = tr(context_.lang, ", stopped", "，已停止");
  if (answer.finish_reason == FinishReason::kLength) {
    end = tr(context_.lang, ", cut by the length limit", "，达到长度上限");
  }
  note(trf(context_.lang, "[{} tokens, {} tok/s, TTFT {:.2f} s, prompt {} tokens{}]\n",
           "[{} 词元，{} 词元/秒，首词元 {:.2f} 秒，提示词 {} 词元{}]\n", answer.ids.size(), speed,
           answer.timings.ttft_s, answer.n_prompt, end));
}

void Conversation::save(const std::filesystem::path& file) const {
  refuse_to_replace_others(file);
  OrderedJson saved;
  saved["schema"] = kSchema;
  saved["model"] = model_id_;
  saved["lora"] = model_.lora.empty() ? OrderedJson(nullptr) : OrderedJson(model_.lora);
  saved["settings"] = to_json(settings_);
  saved["messages"] = messages_;
  write_file_atomic(file, to_json_text(saved, 2) + "\n");
}

void Conversation::load(const std::filesystem::path& file) {
  const std::string where = file.string();
  const Json saved = read_saved(file);
  GenerationSettings settings = settings_;
  const auto values = saved.find("settings");
  if (values == saved.end() || !values->is_object()) fail(where, "field \"settings\": expected an object");
  for (const auto& [name, value] : values->items()) set_setting(settings, name, value);
  OrderedJson messages = read_messages(saved, where);
  const std::string model_id = get_string(saved, "model", "", where);
  const std::string lora = get_string(saved, "lora", "", where);
  settings_ = std::move(settings);
  messages_ = std::move(messages);
  n_context_ = 0;
  if (model_id != model_id_ || lora != model_.lora) {
    const std::string adapter =
        lora.empty() ? std::string(tr(context_.lang, "no adapter", "无适配器")) : printable(lora, 200);
    note(trf(context_.lang, "note: saved with the model {}, {}\n", "注意：保存时使用的模型是 {}，{}\n",
             printable(model_id, 200), adapter));
  }
  for (const OrderedJson& message : messages_) {
    print(
        fmt::format("{}{}\n", message["role"] == "user" ? "> " : "", message["content"].get<std::string>()));
  }
}

std::string Conversation::stats() const {
  const EngineStats& engine = model_.engine->stats();
  const Lang lang = context_.lang;
  const auto per_s = [](int64_t n, double seconds) {
    return seconds > 0 ? static_cast<double>(n) / seconds : 0;
  };
  const auto mib = [](int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); };
  std::string text = trf(lang, "{} answers, {} tokens generated; prompts {} tokens, {} of them reused\n",
                         "{} 个回答，生成 {} 词元；提示词共 {} 词元，其中复用 {}\n", n_answers_,
                         engine.n_generated_tokens, n_prompt_, n_reused_);
  text +=
      trf(lang, "prefill {:.1f} tok/s, decode {:.1f} tok/s", "预填充 {:.1f} 词元/秒，解码 {:.1f} 词元/秒",
          per_s(engine.n_prompt_tokens, engine.prefill_s), per_s(engine.n_generated_tokens, engine.decode_s));
  if (last_ttft_s_)
    text += trf(lang, "; last answer: TTFT {:.3f} s", "；上一回答：首词元 {:.3f} 秒", *last_ttft_s_);
  if (last_tpot_s_) text += trf(lang, ", TPOT {:.1f} ms", "，词元间隔 {:.1f} 毫秒", *last_tpot_s_ * 1e3);
  if (engine.n_drafted_tokens > 0) {
    text += trf(lang, "\n{} tokens guessed ahead, {} of them right (speculation: {})",
                "\n提前猜测 {} 词元，其中猜对 {}（推测解码：{}）", engine.n_drafted_tokens,
                engine.n_accepted_tokens, name_of(model_.engine->options().speculation));
  }
  const int64_t context = model_.engine->options().context;
  text += trf(lang, "\ncontext {} of {} tokens, {} left\n", "\n上下文已用 {}/{} 词元，剩余 {}\n", n_context_,
              context, context - n_context_);
  text += trf(lang, "memory: weights {:.1f} MiB, KV cache {:.1f} MiB, peak of the process {:.1f} MiB\n",
              "内存：权重 {:.1f} MiB，KV 缓存 {:.1f} MiB，进程峰值 {:.1f} MiB\n",
              mib(model_.device->weight_bytes()), mib(engine.kv_bytes), mib(peak_rss_bytes()));
  return text;
}

}  // namespace chaski::cli
