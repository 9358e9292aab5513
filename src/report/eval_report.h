// The pages and tables of an eval, computed from its record alone.
#pragma once

#include <string>

#include "report/lang.h"
#include "report/run_record.h"

namespace chaski {

/// The reader's name for a type of question, from settings.suite.types; the type itself where it has none.
std::string type_title(const RunRecord& record, const std::string& type, Lang lang);

/// "12.39 s · TTFT 0.51 s · 123 tokens · 25.1 tok/s": one answer's figures.
std::string answer_figures(const AnswerRecord& item, Lang lang);

/// For the terminal, in the review's manner: load, each question, total, mean.
std::string eval_table(const RunRecord& record, Lang lang);

/// report.md: what was measured and how, the table, every answer, failures, fallbacks, warnings.
std::string eval_markdown(const RunRecord& record, Lang lang);

}  // namespace chaski
