// chaski eval MODEL… --suite NAME: a suite's questions to each model, answers and times on screen, and for
// each model run.json, items.jsonl and report.md. One model's run is eval_run.h's, the asking lab/eval.h's.
#include "base/error.h"
#include "cli/commands.h"
#include "cli/eval_folders.h"
#include "cli/eval_run.h"
#include "cli/eval_screen.h"
#include "cli/run_arguments.h"
#include "cli/scoring.h"
#include "cli/terminal.h"

namespace chaski::cli {
namespace {

namespace fs = std::filesystem;

/// More than any machine decodes at once to its gain.
constexpr int32_t kMostAtOnce = 256;

struct EvalOptions {
  std::vector<std::string> models;
  std::string suite;
  std::string out;
  std::string rubric;  ///< a file; empty: the suite's own or the built-in one
  int64_t n_samples = 1;
  int32_t batch = 0;  ///< 0: the suite's default
  bool resumes = false;
  bool goes_unscored = false;
  bool wants_json = false;
  ModelOptions where;
  GenerationSettings settings;
  PromptOptions prompts;
};

EvalJob job_of(const EvalOptions& options) {
  if (options.n_samples < 1 || options.n_samples > 10'000) {
    throw Error(ErrorCode::kUsage, "eval",
                fmt::format("--samples {}: expected 1 to 10000", options.n_samples));
  }
  if (options.batch < 0 || options.batch > kMostAtOnce) {
    throw Error(ErrorCode::kUsage, "eval",
                fmt::format("--batch {}: expected 1 to {}", options.batch, kMostAtOnce));
  }
  if (options.resumes && options.out.empty()) {
    throw Error(ErrorCode::kUsage, "eval", "--resume: the folder of the run to go on with is not said",
                "name it with --out DIR");
  }
  EvalJob job;
  job.suite = find_suite(options.suite, suite_folders());
  job.plan.n_samples = options.n_samples;
  job.plan.batch = options.batch > 0 ? options.batch : default_batch(job.suite);
  job.plan.settings = job.suite.settings;
  overlay(job.plan.settings, options.settings);
  if (!job.plan.settings.seed) job.plan.settings.seed = 0;
  sampling_of(job.plan.settings);
  job.where = options.where;
  job.prompts = options.prompts;
  if (!job.suite.prompt_template.empty() && job.prompts.template_choice == PromptOptions().template_choice) {
    job.prompts.template_choice = job.suite.prompt_template;
  }
  if (options.resumes) job.start = ItemJournal::Start::kResume;
  return job;
}

/// What there was in the folder before.
void note_found(const EvalRun& run, Lang lang) {
  const ItemJournal& journal = run.journal();
  if (!journal.older().empty()) {
    note(trf(lang, "note: the run that was in {} is now in {}\n", "注意：{} 中原有的运行已移至 {}\n",
             journal.folder().string(), journal.older().string()));
  }
  if (run.is_finished()) {
    note(trf(lang, "note: the run in {} is finished; nothing is asked\n",
             "注意：{} 中的运行已经完成，不再提问\n", journal.folder().string()));
  } else if (!journal.rows().empty()) {
    note(trf(lang, "note: {} answers are there; going on\n", "注意：已有 {} 个回答，继续运行\n",
             journal.rows().size()));
  }
}

/// How the runs of one command are asked, scored and shown.
struct EvalWork {
  const EvalJob& job;
  RunScorer* scorer = nullptr;  ///< null: answers stay unscored
  Screen& screen;
  bool is_quiet = false;
  const Context& context;
};

void ask_on_screen(EvalRun& run, const std::string& name, const EvalWork& work) {
  const RunRecord& known = run.record();
  const Lang lang = work.context.lang;
  const EvalView view{work.screen, known, run.journal(), work.job.plan.n_answers(work.job.suite), lang, {}};
  if (work.is_quiet) return run.ask(work.job.suite.items, quiet_events(view));
  work.screen.show(trf(lang, "{}: loaded in {:.2f} s ({}, {}, {} threads)\n\n",
                       "{}：加载用时 {:.2f} 秒（{}，{}，{} 线程）\n\n", printable(name, 200),
                       known.summary.load_s, known.model.weights, known.device.path, known.device.n_threads));
  try {
    run.ask(work.job.suite.items, events_on_screen(view, work.job.plan.batch > 1));
  } catch (const Error&) {
    work.screen.show("\n");
    throw;
  }
}

/// Load one model, ask it all questions, score the answers, write the run's files. What was answered is on
/// the disk before anything is scored.
RunRecord eval_one(const std::string& name, const fs::path& folder, const EvalWork& work) {
  EvalRun run(name, folder, work.job, work.context);
  note_found(run, work.context.lang);
  if (!run.is_finished()) {
    ask_on_screen(run, name, work);
    run.write(run.finish());
  } else if (work.scorer == nullptr || !run.record().scores.empty()) {
    return run.record();
  }
  RunRecord record = run.record();
  try {
    if (work.scorer != nullptr) {
      work.scorer->score(record);
      run.write(record);
    }
  } catch (...) {
    remember_run(run.record(), folder, work.context);
    throw;
  }
  remember_run(record, folder, work.context);
  return record;
}

void eval_into(const fs::path& out, const EvalOptions& options, const EvalJob& job, const Context& context) {
  const std::vector<std::string>& models = options.models;
  const std::vector<fs::path> folders = folders_in(out, models);
  Screen screen;
  std::optional<RunScorer> scorer;
  if (!options.goes_unscored) scorer.emplace(job.suite, options.rubric, context);
  const EvalWork work{job, scorer ? &*scorer : nullptr, screen, options.wants_json, context};
  std::vector<FailureRecord> failures;
  for (size_t i = 0; i < models.size(); ++i) {
    const RunRecord record = eval_one(models[i], folders[i], work);
    failures.insert(failures.end(), record.failures.begin(), record.failures.end());
    if (!options.wants_json) {
      show_outcome(screen, record, folders[i], context.lang);
      if (i + 1 < models.size()) screen.show("\n");
      continue;
    }
    screen.show_exactly(to_json_text(to_json(record)) + "\n");
    if (options.out.empty()) {
      note(fmt::format("{} {}\n", tr(context.lang, "record:", "记录："), (folders[i] / "run.json").string()));
    }
  }
  screen.throw_if_failed();
  if (failures.empty()) return;
  throw Error(
      failures[0].code, "eval",
      trf(context.lang, "{} questions failed; the record says which. The first: {}",
          "{} 个问题运行失败，详见记录。第一个：{}", failures.size(), printable(failures[0].message, 400)));
}

void eval(const EvalOptions& options, const Context& context) {
  const EvalJob job = job_of(options);
  for (const std::string& model : options.models)
    resolve_model(model);  // a misspelt second name is said at once
  if (!options.out.empty()) {
    make_folders(options.out);
    eval_into(options.out, options, job, context);
    return;
  }
  const fs::path claimed = claim_folder(job.suite.name);
  try {
    eval_into(claimed, options, job, context);
  } catch (...) {
    std::error_code ignored;
    fs::remove(claimed, ignored);  // only where nothing was written into it
    throw;
  }
}

}  // namespace

void add_eval(CLI::App& app, Context& context) {
  const auto options = std::make_shared<EvalOptions>();
  const Lang lang = context.lang;
  CLI::App* command = add_command(app, context, "eval", "ask a suite's questions and write a record",
                                  "运行评测题集并写出记录");
  const auto add = [&](const std::string& flags, auto& value, std::string_view en, std::string_view zh) {
    return command->add_option(flags, value, std::string(tr(lang, en, zh)));
  };
  const auto add_flag = [&](const std::string& flags, bool& value, std::string_view en, std::string_view zh) {
    command->add_flag(flags, value, std::string(tr(lang, en, zh)));
  };
  add("MODEL", options->models, "one model or several", "一个或多个模型")->required();
  add("--suite", options->suite, "a suite's name or folder", "题集名称或目录")->required();
  add("--samples", options->n_samples, "answers per question", "每题回答次数");
  add("--batch", options->batch,
      "answers made at once; by default 8, or 1 where the suite is about seconds per question; the text is "
      "the same",
      "同时作答的问题数；默认 8，以单题用时为目的的题集为 1；回答不受影响");
  add("--out", options->out, "folder for run.json, items.jsonl and report.md", "输出目录");
  add("--rubric", options->rubric, "rules of scoring; by default the suite's own, else the built-in ones",
      "评分规则文件；默认用题集自带的规则，否则用内置规则");
  add_flag("--no-score", options->goes_unscored, "leave scoring for `chaski score`",
           "不评分，留待 `chaski score`");
  add_flag("--resume", options->resumes, "go on with the run in --out that was broken off",
           "继续 --out 目录中曾中断的运行");
  add_flag("--json", options->wants_json, "print the record, one line per model, and nothing else",
           "只输出记录，每个模型一行");
  add_generation_options(*command, context, options->settings);
  add_prompt_options(*command, context, options->prompts);
  add_model_options(*command, context, options->where);
  command->callback(
      [options, &context] { context.action = [options, &context] { eval(*options, context); }; });
}

}  // namespace chaski::cli
