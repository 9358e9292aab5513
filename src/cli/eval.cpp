// chaski eval MODEL… --suite NAME: a suite's questions to each model, answers and times on screen, and for
// each model run.json, items.jsonl and report.md. The asking itself is in lab/eval.cpp.
#include <algorithm>

#include "base/clock.h"
#include "base/error.h"
#include "base/files.h"
#include "cli/build_info.h"
#include "cli/commands.h"
#include "cli/models.h"
#include "cli/terminal.h"
#include "lab/eval.h"
#include "lab/suite.h"
#include "report/eval_report.h"
#include "report/text_safety.h"
#include "report/warnings.h"

namespace chaski::cli {
namespace {

namespace fs = std::filesystem;

/// The date that Llama 3.2's template itself falls back to: the same prompt on every day.
constexpr std::string_view kPinnedDate = "26 Jul 2024";

struct EvalOptions {
  std::vector<std::string> models;
  std::string suite;
  std::string out;
  int64_t n_samples = 1;
  bool wants_json = false;
  ModelOptions where;
  GenerationSettings settings;
  PromptOptions prompts;
};

std::vector<fs::path> suite_folders() {
  std::vector<fs::path> folders{chaski_home() / "suites"};
  std::error_code fault;
  const fs::path program = fs::read_symlink("/proc/self/exe", fault);
  if (!fault) folders.push_back(program.parent_path().parent_path() / "share/chaski/suites");
  return folders;
}

/// A folder name from a model's name: letters, digits, dot, dash and underscore stay.
std::string folder_name(const std::string& model) {
  std::string name;
  for (const char c : model) {
    const bool stays = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '-' || c == '_';
    name += stays ? c : '-';
  }
  const size_t first = name.find_first_not_of(".-");
  name.erase(0, first == std::string::npos ? name.size() : first);
  return name.empty() ? "model" : name.substr(name.size() > 100 ? name.size() - 100 : 0);
}

/// One folder per model: `out` itself where there is one model, else named folders in it.
std::vector<fs::path> folders_for(const EvalOptions& options, const Suite& suite) {
  fs::path out = options.out;
  if (options.out.empty()) {
    std::string stamp = utc_timestamp();
    stamp.erase(std::remove_if(stamp.begin(), stamp.end(), [](char c) { return c == ':' || c == '-'; }),
                stamp.end());
    const fs::path base = chaski_home() / "runs" / fmt::format("{}-{}", stamp, folder_name(suite.name));
    out = base;
    for (int n = 2; fs::exists(out); ++n) out = fmt::format("{}-{}", base.string(), n);
  }
  if (options.models.size() == 1) return {out};
  std::vector<fs::path> folders;
  for (const std::string& model : options.models) {
    const std::string name = folder_name(model);
    fs::path folder = out / name;
    for (int n = 2; std::find(folders.begin(), folders.end(), folder) != folders.end(); ++n) {
      folder = out / fmt::format("{}-{}", name, n);
    }
    folders.push_back(folder);
  }
  return folders;
}

/// Make the folder; take away an older run's record, so that it never stands beside newer answers.
void prepare(const fs::path& folder) {
  std::error_code fault;
  fs::create_directories(folder, fault);
  if (fault) {
    throw Error(ErrorCode::kNotFound, "make folder", fmt::format("{}: {}", folder.string(), fault.message()),
                "give a folder that may be written: --out DIR");
  }
  fs::remove(folder / "run.json", fault);
  fs::remove(folder / "report.md", fault);
}

/// What a person sees while questions are asked.
EvalEvents events_on_screen(const Suite& suite, int64_t n_samples, const RunRecord& record,
                            const Context& context) {
  const auto n_all = static_cast<int64_t>(suite.items.size()) * n_samples;
  const Lang lang = context.lang;
  EvalEvents events;
  events.on_question = [&record, n_all, lang](const SuiteItem& item, int64_t) {
    print(fmt::format("[{}/{}] {} · {}\n", record.items.size() + 1, n_all,
                      strip_controls(type_title(record, item.type, lang)), strip_controls(item.prompt)));
  };
  events.on_text = [](std::string_view piece) { print(strip_controls(piece)); };
  events.on_answer = [lang](const AnswerRecord& answer, const std::string& error) {
    if (!error.empty()) print(fmt::format("{}: {}", tr(lang, "failed", "失败"), printable(error, 400)));
    print(fmt::format("\n    → {}\n\n", answer_figures(answer, lang)));
  };
  return events;
}

EvalEvents quiet_events(const Suite& suite, int64_t n_samples, const RunRecord& record) {
  const auto progress = std::make_shared<Progress>("eval");
  const auto n_all = static_cast<int64_t>(suite.items.size()) * n_samples;
  EvalEvents events;
  events.on_question = [progress, n_all, &record](const SuiteItem&, int64_t) {
    progress->show(static_cast<int64_t>(record.items.size()), n_all);
  };
  return events;
}

void fill_device(const LoadedModel& model, RunRecord& record) {
  const DeviceInfo& info = model.device->info();
  record.device = {info.name, info.device_kind, info.path, model.device->n_threads(),
                   model.device->weight_bytes()};
  record.runner = {std::string(model.engine->runner().name()), model.engine->runner().why_not_faster()};
}

void fill_fallbacks(const LoadedModel& model, RunRecord& record) {
  if (!model.fallback) return;
  for (const FallbackCount& count : model.fallback->counts()) {
    record.fallbacks.push_back(
        {std::string(name_of(count.op)), count.reason, count.calls, count.bytes, count.seconds});
  }
}

void print_outcome(const RunRecord& record, const fs::path& folder, Lang lang) {
  print(eval_table(record, lang));
  if (!record.warnings.empty()) print("\n");
  for (const RunWarning& warning : record.warnings) {
    print(fmt::format("  {} {}\n", tr(lang, "note:", "注意："), strip_controls(warning_text(warning, lang))));
  }
  print(fmt::format("\n  {} {}\n  {} {}\n", tr(lang, "record:", "记录："), (folder / "run.json").string(),
                    tr(lang, "report:", "报告："), (folder / "report.md").string()));
}

/// Load one model, ask it all questions, write its three files.
RunRecord eval_one(const std::string& name, const fs::path& folder, const Suite& suite,
                   const EvalOptions& options, Context& context) {
  EvalPlan plan;
  plan.n_samples = options.n_samples;
  plan.settings = suite.settings;
  overlay(plan.settings, options.settings);
  if (!plan.settings.seed) plan.settings.seed = 0;
  sampling_of(plan.settings);

  RunRecord record;
  record.summary.started_at = utc_timestamp();
  const auto model = load_model(name, options.where, context, plan.settings.max_length.value_or(0));
  const PromptMaker prompts(
      *model->text.tokenizer, model->text.template_or_null(), options.prompts.template_choice,
      options.prompts.date_string.empty() ? std::string(kPinnedDate) : options.prompts.date_string);
  plan.eos = model->text.checkpoint->config().eos;
  record.summary.load_s = model->load_s;
  record.machine = machine_facts();
  record.build = build_facts();
  record.model = model_facts(name, *model->text.checkpoint, prompts);
  fill_device(*model, record);
  record.settings = settings_json(suite, plan);
  record.settings["precision"] = name_of(model->device->precision());
  record.settings["kv_dtype"] = name_of(model->device->kv_layout(model->model.config).dtype);
  record.settings["context"] = model->engine->options().context;
  record.settings["template"] =
      prompts.kind() == PromptMaker::Kind::kPlain ? "none" : options.prompts.template_choice;

  prepare(folder);
  ItemJournal journal(folder / "items.jsonl");
  if (!options.wants_json) {
    print(trf(context.lang, "{}: loaded in {:.2f} s ({}, {}, {} threads)\n\n",
              "{}：加载用时 {:.2f} 秒（{}，{}，{} 线程）\n\n", printable(name, 200), model->load_s,
              record.model.weights, record.device.path, record.device.n_threads));
  }
  const EvalEvents events = options.wants_json ? quiet_events(suite, plan.n_samples, record)
                                               : events_on_screen(suite, plan.n_samples, record, context);
  if (!ask_all(*model->engine, prompts, suite, plan, record, journal, events, context.cancel)) {
    if (!options.wants_json) print("\n");
    throw Error(
        ErrorCode::kCancelled, "eval",
        trf(context.lang, "{} of {} answers are kept in {}; no record was written",
            "已完成 {}/{} 个回答，保存在 {}；未写出记录", record.items.size(),
            suite.items.size() * static_cast<size_t>(plan.n_samples), (folder / "items.jsonl").string()));
  }
  fill_fallbacks(*model, record);
  record.warnings = warnings_for(record, prompts.kind());
  write_record(folder, record, context.lang);
  return record;
}

void eval(const EvalOptions& options, Context& context) {
  if (options.n_samples < 1 || options.n_samples > 10'000) {
    throw Error(ErrorCode::kUsage, "eval",
                fmt::format("--samples {}: expected 1 to 10000", options.n_samples));
  }
  const Suite suite = find_suite(options.suite, suite_folders());
  for (const std::string& model : options.models)
    resolve_model(model);  // a misspelt second name is said at once
  const std::vector<fs::path> folders = folders_for(options, suite);
  size_t n_failures = 0;
  for (size_t i = 0; i < options.models.size(); ++i) {
    const RunRecord record = eval_one(options.models[i], folders[i], suite, options, context);
    n_failures += record.failures.size();
    if (options.wants_json) {
      print_exactly(to_json_text(to_json(record)) + "\n");
    } else {
      print_outcome(record, folders[i], context.lang);
      if (i + 1 < options.models.size()) print("\n");
    }
  }
  if (n_failures > 0) {
    throw Error(ErrorCode::kDevice, "eval",
                trf(context.lang, "{} questions failed; the record says which", "{} 个问题运行失败，详见记录",
                    n_failures));
  }
}

}  // namespace

void add_eval(CLI::App& app, Context& context) {
  const auto options = std::make_shared<EvalOptions>();
  const Lang lang = context.lang;
  CLI::App* command = add_command(app, context, "eval", "ask a suite's questions and write a record",
                                  "运行评测题集并写出记录");
  command
      ->add_option("MODEL", options->models, std::string(tr(lang, "one model or several", "一个或多个模型")))
      ->required();
  command
      ->add_option("--suite", options->suite,
                   std::string(tr(lang, "a suite's name or folder", "题集名称或目录")))
      ->required();
  command->add_option("--samples", options->n_samples,
                      std::string(tr(lang, "answers per question", "每题回答次数")));
  command->add_option("--out", options->out,
                      std::string(tr(lang, "folder for run.json, items.jsonl and report.md", "输出目录")));
  command->add_flag("--json", options->wants_json,
                    std::string(tr(lang, "print the record, one line per model, and nothing else",
                                   "只输出记录，每个模型一行")));
  add_generation_options(*command, context, options->settings);
  add_prompt_options(*command, context, options->prompts);
  add_model_options(*command, context, options->where);
  command->callback(
      [options, &context] { context.action = [options, &context] { eval(*options, context); }; });
}

}  // namespace chaski::cli
