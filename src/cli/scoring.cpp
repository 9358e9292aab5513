#include "cli/scoring.h"

#include "cli/terminal.h"
#include "report/run_tables.h"
#include "report/text_safety.h"

namespace chaski::cli {

RunScorer::RunScorer(const Suite& suite, const std::string& rubric_file, const Context& context)
    : suite_(suite),
      context_(context),
      rubric_(rubric_for(suite, rubric_file)),
      code_runner_(make_code_runner()) {}

void RunScorer::score(RunRecord& record) {
  Progress progress(std::string(tr(context_.lang, "scoring", "评分")));
  score_run(record, suite_, rubric_, *code_runner_, context_.cancel,
            [&](int64_t done, int64_t total) { progress.show(done, total); });
}

std::string score_text(const RunRecord& record, Lang lang) {
  const RunRecord* const records[] = {&record};
  const auto choice = main_scorer(records);
  const RunView views[] = {{&record, "", model_name(record), ""}};
  std::string text;
  if (choice) text += terminal_table(scores_table(views, *choice, lang));
  if (!record.results.empty()) text += "\n" + terminal_table(results_table(views, lang));
  return strip_controls(text);
}

}  // namespace chaski::cli
