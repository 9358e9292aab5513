// chaski run MODEL -p PROMPT: one question, the answer as it comes, figures on standard error. From here the
// way goes through engine/engine.cpp, engine/scheduler.cpp and model/llama.cpp.
#include "base/utf8.h"
#include "cli/commands.h"
#include "cli/draft.h"
#include "cli/models.h"
#include "cli/pull_offer.h"
#include "cli/terminal.h"

namespace chaski::cli {
namespace {

constexpr size_t kMaxPromptBytes = 16u << 20;

struct RunOptions {
  std::string model;
  std::string prompt;
  bool wants_json = false;
  ModelOptions where;
  GenerationSettings settings;
  PromptOptions prompts;
};

/// Of the steps that carried no guesses; nothing where there was none.
std::optional<double> plain_tokens_per_s(const EngineStats& stats) {
  if (stats.n_plain_tokens == 0) return std::nullopt;
  return static_cast<double>(stats.n_plain_tokens) / stats.plain_s;
}

OrderedJson json_of(const Answer& answer, const std::vector<int32_t>& prompt_ids, const LoadedModel& model,
                    const GenerationSettings& settings) {
  const std::optional<double> gap_s = tpot_s(answer);
  OrderedJson json;
  json["text"] = answer.text;
  json["ids"] = answer.ids;
  json["prompt_ids"] = prompt_ids;
  json["finish_reason"] = name_of(answer.finish_reason);
  json["timings"]["load_s"] = model.load_s;
  json["timings"]["ttft_s"] = answer.timings.ttft_s;
  json["timings"]["total_s"] = answer.timings.total_s;
  json["timings"]["tpot_s"] = gap_s ? OrderedJson(*gap_s) : OrderedJson(nullptr);
  json["timings"]["decode_tokens_per_s"] = gap_s ? OrderedJson(1 / *gap_s) : OrderedJson(nullptr);
  const std::optional<double> plain = plain_tokens_per_s(model.engine->stats());
  json["speculation"] = {{"kind", name_of(model.engine->options().speculation)},
                         {"drafted", answer.n_drafted},
                         {"accepted", answer.n_accepted},
                         {"plain_tokens_per_s", plain ? OrderedJson(*plain) : OrderedJson(nullptr)}};
  json["device_kind"] = model.device->info().device_kind;
  json["seed"] = *settings.seed;
  json["is_synthetic"] = model.is_synthetic();
  json["lora"] = model.lora.empty() ? OrderedJson(nullptr) : OrderedJson(model.lora);
  std::vector<RunWarning> warnings = warnings_of(model);
  if (auto warning = speculation_warning(model)) warnings.push_back(std::move(*warning));
  json["warnings"] = to_json(warnings);
  return json;
}

void run(const RunOptions& options, Context& context) {
  const std::string question = replace_invalid_utf8(
      options.prompt == "-" ? read_stdin(kMaxPromptBytes, context.cancel) : options.prompt);
  offer_pull(options.model, context);
  ModelText text = open_model_text(options.model);
  const GenerationSettings settings = settings_for(*text.checkpoint, options.settings);
  const auto model = load_model(std::move(text), options.where, context, settings.max_length.value_or(0));
  const PromptMaker prompts = prompt_maker(model->text, options.prompts);
  const Prompt prompt = prompts.question(question, settings.system);
  note_oddities(*model, context.lang);
  if (prompts.kind() == PromptMaker::Kind::kPlain) {
    note(tr(context.lang, "note: the model has no chat template; the prompt is continued as plain text\n",
            "注意：模型没有对话模板，提示词将作为普通文本续写\n"));
  }

  const OnText stream = [](std::string_view piece) { print(piece); };
  const Answer answer =
      model->engine->generate(request_of(settings, model->text.checkpoint->config().eos, prompt.ids),
                              options.wants_json ? OnText() : stream, &context.cancel);

  if (options.wants_json) {
    print_exactly(to_json_text(json_of(answer, prompt.ids, *model, settings)) + "\n");
  } else {
    print("\n");
    const std::optional<double> gap_s = tpot_s(answer);
    const std::string speed = gap_s ? fmt::format("{:.1f}", 1 / *gap_s) : "–";
    std::string guessed;
    if (answer.n_drafted > 0) {
      guessed = trf(context.lang, ", {} of {} guessed tokens right", "，猜对 {}/{} 词元", answer.n_accepted,
                    answer.n_drafted);
      if (const std::optional<double> plain = plain_tokens_per_s(model->engine->stats())) {
        guessed +=
            trf(context.lang, " ({:.1f} tok/s without guesses)", "（无猜测时 {:.1f} 词元/秒）", *plain);
      }
    }
    note(trf(context.lang,
             "[{} tokens, {} tok/s, TTFT {:.2f} s, prompt {} tokens{}, load {:.2f} s, seed {}]\n",
             "[{} 词元，{} 词元/秒，首词元 {:.2f} 秒，提示词 {} 词元{}，加载 {:.2f} 秒，种子 {}]\n",
             answer.ids.size(), speed, answer.timings.ttft_s, answer.n_prompt, guessed, model->load_s,
             *settings.seed));
  }
  note_speculation(*model, context.lang);
  if (answer.finish_reason == FinishReason::kError) throw Error(answer.error_code, "run", answer.error);
  context.cancel.throw_if_cancelled("run");
}

}  // namespace

void add_run(CLI::App& app, Context& context) {
  const auto options = std::make_shared<RunOptions>();
  CLI::App* command = add_command(app, context, "run", "ask one question", "提一个问题");
  add_model(*command, context, options->model);
  command
      ->add_option("-p,--prompt", options->prompt,
                   std::string(tr(context.lang, "the question; - reads it from standard input",
                                  "问题；- 表示从标准输入读取")))
      ->required();
  command->add_flag(
      "--json", options->wants_json,
      std::string(tr(context.lang, "print one JSON object and nothing else", "只输出一个 JSON 对象")));
  add_generation_options(*command, context, options->settings);
  add_prompt_options(*command, context, options->prompts);
  add_model_options(*command, context, options->where);
  command->callback(
      [options, &context] { context.action = [options, &context] { run(*options, context); }; });
}

}  // namespace chaski::cli
