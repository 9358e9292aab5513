// See draft.h.
#include "cli/draft.h"

#include <algorithm>

#include "base/error.h"
#include "cli/terminal.h"

namespace chaski::cli {
namespace {

void check_same_tokens(const ModelText& draft, const ModelText& model) {
  const auto refuse = [&](const std::string& how) {
    throw Error(
        ErrorCode::kUsage, "draft model",
        fmt::format("{}: its tokens are not those of {}: {}", printable(draft.checkpoint->path(), 300),
                    printable(model.checkpoint->path(), 300), how),
        "a draft model needs the model's own tokenizer; --draft none goes without");
  };
  const int64_t n = model.checkpoint->config().vocab;
  if (draft.checkpoint->config().vocab != n) {
    refuse(fmt::format("{} of them, expected {}", draft.checkpoint->config().vocab, n));
  }
  const int32_t n_pieces = model.tokenizer().vocab_size();
  if (draft.tokenizer().vocab_size() != n_pieces) {
    refuse(fmt::format("{} have a text, expected {}", draft.tokenizer().vocab_size(), n_pieces));
  }
  for (int32_t id = 0; id < n_pieces; ++id) {
    const std::string_view found = draft.tokenizer().piece(id), expected = model.tokenizer().piece(id);
    if (found == expected) continue;
    refuse(fmt::format("token {} is \"{}\", expected \"{}\"", id, printable(found), printable(expected)));
  }
}

}  // namespace

void set_speculation(LoadedModel& loaded, Ops& ops, const std::string& draft, const Context& context,
                     EngineOptions& engine_options) {
  engine_options.speculation = draft == "none" ? SpeculationKind::kOff : SpeculationKind::kNgram;
  if (draft.empty() || draft == "none") return;
  const ModelText text = open_model_text(draft);
  check_same_tokens(text, loaded.text);
  text.checkpoint->forget_tokenizer();
  const int64_t n_context = std::min(engine_options.context, text.checkpoint->config().max_context);
  const std::string name =
      fmt::format("{} {}", tr(context.lang, "draft model", "草稿模型"), printable(draft, 300));
  Progress progress(name);
  const auto on_bytes = [&context](uint64_t) { context.cancel.throw_if_cancelled("load draft model"); };
  // Where the device keeps the model's weights for the next start, it keeps these as well.
  if (text.checkpoint->kind() != "synthetic") loaded.device->begin_weights(text.checkpoint, on_bytes);
  loaded.draft = std::make_unique<LlamaModel>(
      load_llama(*text.checkpoint, ops, n_context, [&](int64_t done, int64_t total) {
        context.cancel.throw_if_cancelled("load draft model");
        progress.show(done, total);
      }));
  progress.clear();
  for (const std::string& what : loaded.device->finish_weights()) {
    note(fmt::format("{}: {}\n", name, printable(what, 600)));
  }
  engine_options.speculation = SpeculationKind::kDraft;
  engine_options.draft = loaded.draft.get();
}

std::optional<RunWarning> speculation_warning(const LoadedModel& loaded) {
  const std::string& fault = loaded.engine->stats().speculation_fault;
  if (fault.empty()) return std::nullopt;
  RunWarning warning = make_warning("speculation_failed");
  warning.message += " " + printable(fault, 600);
  return warning;
}

void note_speculation(const LoadedModel& loaded, Lang lang) {
  const auto warning = speculation_warning(loaded);
  if (!warning) return;
  note(fmt::format("{} {}\n  {}\n", tr(lang, "note:", "注意："), warning_text(*warning, lang),
                   printable(loaded.engine->stats().speculation_fault, 600)));
}

}  // namespace chaski::cli
