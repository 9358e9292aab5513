// Scoring a run's answers on the command line, the same for eval, score and review.
#pragma once

#include <memory>
#include <string>

#include "cli/options.h"
#include "lab/eval_scores.h"

namespace chaski::cli {

/// A rubric and what runs code; made before the first question, so that a fault of the rubric is said then.
class RunScorer {
 public:
  /// `rubric_file` empty: the suite's own rubric, or the built-in one. Throws what rubric_for throws.
  RunScorer(const Suite& suite, const std::string& rubric_file, const Context& context);

  const CodeRunner& code_runner() const { return *code_runner_; }
  /// Fill the record's scores, with progress on a terminal. Throws Error(kCancelled).
  void score(RunRecord& record);

 private:
  const Suite& suite_;
  const Context& context_;
  Rubric rubric_;
  std::unique_ptr<CodeRunner> code_runner_;
};

/// The mean scores by type, for the terminal; empty where nothing has a score.
std::string score_text(const RunRecord& record, Lang lang);

}  // namespace chaski::cli
