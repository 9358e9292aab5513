// chaski eval MODEL… --suite NAME: a suite's questions to each model, answers and times on screen, and for
// each model run.json, items.jsonl and report.md. One model's run is eval_run.h's, the asking lab/eval.h's.
#include "base/error.h"
#include "cli/commands.h"
#include "cli/eval_folders.h"
#include "cli/eval_run.h"
#include "cli/eval_screen.h"
#include "cli/eval_suites.h"
#include "cli/run_arguments.h"
#include "cli/scoring.h"
#include "cli/terminal.h"
#include "machine/machine_info.h"

namespace chaski::cli {
namespace {

namespace fs = std::filesystem;

struct EvalOptions {
  std::vector<std::string> models;
  ScoringOptions scoring;
  JobOptions job;
  bool goes_unscored = false;
  bool wants_json = false;
  bool lists_suites = false;
};

/// What there was in the folder before.
void note_found(const EvalRun& run, Lang lang) {
  const ItemJournal& journal = run.journal();
  if (!journal.older().empty()) {
    note(trf(lang, "note: the run that was in {} is now in {}\n", "注意：{} 中原有的运行已移至 {}\n",
             journal.folder().string(), journal.older().string()));
    if (journal.older_is_unfinished()) note_resumable(journal.older(), lang);
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
  restart_peak_rss();  // models that were asked before have no part in it
  EvalRun run(name, folder, work.job, work.context);
  note_found(run, work.context.lang);
  if (!run.is_finished()) {
    ask_on_screen(run, name, work);
    run.write(run.finish());
  }
  RunRecord record = run.record();
  try {
    if (work.scorer != nullptr && !work.scorer->has_scored(record)) {
      work.scorer->score(record);
      run.write(record);
    }
  } catch (...) {
    remember_run(record, folder, work.context);
    run.write(record);  // a judge that fails takes no score of the rubric's with it
    throw;
  }
  remember_run(record, folder, work.context);
  return record;
}

void eval_into(const EvalOptions& options, const EvalJob& job, const Context& context) {
  const std::vector<std::string>& models = options.models;
  const std::vector<fs::path> folders = folders_in(job.out, models);
  Screen screen;
  std::optional<RunScorer> scorer;
  if (!options.goes_unscored) scorer.emplace(job.suite, options.scoring, context, models);
  const EvalWork work{job, scorer ? &*scorer : nullptr, screen, options.wants_json, context};
  std::vector<RunRecord> records;
  for (size_t i = 0; i < models.size(); ++i) {
    records.push_back(eval_one(models[i], folders[i], work));
    const RunRecord& record = records.back();
    if (!options.wants_json) {
      show_outcome(screen, record, folders[i], context.lang);
      if (i + 1 < models.size()) screen.show("\n");
      continue;
    }
    screen.show_exactly(to_json_text(to_json(record)) + "\n");
    if (options.job.out.empty()) {
      note(fmt::format("{} {}\n", tr(context.lang, "record:", "记录："), (folders[i] / "run.json").string()));
    }
  }
  screen.throw_if_failed();
  throw_failures(records, context.lang);
}

void eval(const EvalOptions& options, const Context& context) {
  EvalJob job = job_of(options.job);
  find_models(options.models);  // what is wrong with the last is said before the first is asked
  if (!options.job.out.empty()) {
    make_folders(options.job.out);
    job.out = options.job.out;
    eval_into(options, job, context);
    return;
  }
  job.out = claim_folder(job.suite.name);
  try {
    eval_into(options, job, context);
  } catch (...) {
    std::error_code ignored;
    fs::remove(job.out, ignored);  // only where nothing was written into it
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
  add("MODEL", options->models, "one model or several", "一个或多个模型");
  add("--suite", options->job.suite,
      "a suite's name or folder, or a public set in its own files: ceval:DIR, cmmlu:DIR, mmlu:DIR, "
      "gsm8k:FILE, "
      "humaneval:FILE",
      "题集名称或目录，或公开评测集的原始文件：ceval:目录、cmmlu:目录、mmlu:目录、gsm8k:文件、humaneval:"
      "文件");
  add_flag("--list-suites", options->lists_suites, "list the suites there are, with their questions",
           "列出可用的题集及其题目数");
  add_part_options(*command, lang, options->job.part);
  add("--samples", options->job.n_samples, "answers per question", "每题回答次数");
  add("--batch", options->job.batch,
      "answers made at once; by default 8, or 1 where the suite is about seconds per question; the text is "
      "the same",
      "同时作答的问题数；默认 8，以单题用时为目的的题集为 1；回答不受影响");
  add("--out", options->job.out, "folder for run.json, items.jsonl and report.md", "输出目录");
  add_scoring_options(*command, lang, options->scoring);
  add_judge_options(*command, lang, options->scoring);
  add_flag("--no-score", options->goes_unscored, "leave scoring for `chaski score`",
           "不评分，留待 `chaski score`");
  add_flag("--resume", options->job.resumes, "go on with the run in --out that was broken off",
           "继续 --out 目录中曾中断的运行");
  add_flag("--json", options->wants_json, "print the record, one line per model, and nothing else",
           "只输出记录，每个模型一行");
  add_generation_options(*command, context, options->job.settings);
  add_prompt_options(*command, context, options->job.prompts);
  add_model_options(*command, context, options->job.where);
  command->callback([options, &context] {
    if (!options->lists_suites && options->models.empty()) throw CLI::RequiredError("MODEL");
    if (!options->lists_suites && options->job.suite.empty()) throw CLI::RequiredError("--suite");
    context.action = [options, &context] {
      options->lists_suites ? list_suites(options->wants_json, context.lang) : eval(*options, context);
    };
  });
}

}  // namespace chaski::cli
