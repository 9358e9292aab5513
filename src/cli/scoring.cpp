#include "cli/scoring.h"

#include <algorithm>
#include <set>

#include "base/files.h"
#include "cli/eval_folders.h"
#include "cli/terminal.h"
#include "report/run_tables.h"
#include "report/text_safety.h"

namespace chaski::cli {
namespace {

bool has_code(const Suite& suite) {
  return std::any_of(suite.items.begin(), suite.items.end(),
                     [](const SuiteItem& item) { return item.type == "code"; });
}

}  // namespace

void add_scoring_options(CLI::App& command, Lang lang, ScoringOptions& options) {
  command.add_option(
      "--rubric", options.rubric,
      std::string(tr(lang, "rules of scoring; by default the suite's own, else the built-in ones",
                     "评分规则文件；默认用题集自带的规则，否则用内置规则")));
  command.add_flag(
      "--allow-unsafe-exec", options.allows_unsafe,
      std::string(
          tr(lang, "run answers that are programs even where nothing isolates them: they can do what you can",
             "即使没有任何隔离也运行回答中的程序：它们能做你能做的一切")));
}

void add_judge_options(CLI::App& command, Lang lang, ScoringOptions& options) {
  CLI::Option* judge = command.add_option(
      "--judge", options.judge,
      std::string(tr(lang,
                     "URL of an OpenAI-compatible endpoint whose model grades the answers too; its key: "
                     "CHASKI_JUDGE_KEY",
                     "另请此 OpenAI 兼容接口（URL）后的模型打分；密钥取自 CHASKI_JUDGE_KEY")));
  command
      .add_option("--judge-model", options.judge_model,
                  std::string(tr(lang, "the judge's name there; by default the only one",
                                 "裁判模型的名称；默认为接口上唯一的模型")))
      ->needs(judge);
}

RunScorer::RunScorer(const Suite& suite, const ScoringOptions& options, const Context& context,
                     const std::vector<std::string>& models)
    : suite_(suite),
      options_(options),
      context_(context),
      rubric_(rubric_for(suite, options.rubric)),
      code_runner_(make_code_runner(options.allows_unsafe)) {
  if (code_runner_->tier() == "unsafe") {
    note(tr(context.lang, "warning: answers that are programs run here without isolation, as you asked for\n",
            "警告：按你的要求，回答中的程序将在没有隔离的情况下运行\n"));
  } else if (code_runner_->tier() == "none" && has_code(suite)) {
    note(trf(context.lang,
             "note: answers that are programs are not run, since nothing isolates them here ({}); "
             "--allow-unsafe-exec runs them all the same\n",
             "注意：这里没有任何隔离手段（{}），因此不运行回答中的程序；--allow-unsafe-exec 可强制运行\n",
             code_runner_->why_not()));
  }
  if (options.judge.empty()) return;
  std::vector<ModelFacts> under_test(models.size());
  for (size_t i = 0; i < models.size(); ++i) under_test[i].id = models[i];
  make_judge(options, under_test, context);
}

std::unique_ptr<Judge> make_judge(const ScoringOptions& options, const std::vector<ModelFacts>& under_test,
                                  const Context& context) {
  JudgeOptions judge;
  judge.url = options.judge;
  judge.model = options.judge_model;
  judge.api_key = judge_key_from_environment();
  judge.cache = chaski_home() / "cache" / "judge.jsonl";
  make_folders(judge.cache.parent_path());
  return std::make_unique<Judge>(std::move(judge), under_test, context.cancel);
}

bool RunScorer::has_scored(const RunRecord& record) const {
  return options_.judge.empty() && is_scored_by(record, suite_, rubric_, *code_runner_);
}

void RunScorer::score(RunRecord& record) {
  Progress progress(std::string(tr(context_.lang, "scoring", "评分")));
  score_run(record, suite_, rubric_, *code_runner_, context_.cancel,
            [&](int64_t done, int64_t total) { progress.show(done, total); });
  if (options_.judge.empty()) return;
  const std::unique_ptr<Judge> judge = make_judge(options_, {record.model}, context_);
  judge_run(record, suite_, *judge, context_.cancel,
            [&](int64_t done, int64_t total) { progress.show(done, total); });
}

std::string score_text(const RunRecord& record, Lang lang) {
  const RunRecord* const records[] = {&record};
  const auto choice = main_scorer(records);
  const RunView views[] = {{&record, "", model_name(record), ""}};
  std::string text;
  if (choice) text += terminal_table(scores_table(views, *choice, lang));
  std::set<std::string> judges;
  for (const ScoreRecord& score : record.scores) {
    if (is_judges(score) && (!choice || score.scorer != choice->scorer)) judges.insert(score.scorer);
  }
  for (const std::string& judge : judges) {
    text +=
        fmt::format("\n{}\n", judge) + terminal_table(scores_table(views, {judge, ScoreKind::kPoints}, lang));
  }
  if (!record.results.empty()) text += "\n" + terminal_table(results_table(views, lang));
  return strip_controls(text);
}

}  // namespace chaski::cli
