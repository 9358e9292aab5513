// Scoring a run's answers on the command line, the same for eval, score and review.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/options.h"
#include "lab/eval_scores.h"

namespace chaski::cli {

/// By what answers are scored, as the command line says it.
struct ScoringOptions {
  std::string rubric;  ///< a file; empty: the suite's own or the built-in one
  std::string judge;   ///< URL of an endpoint; empty: no judge
  std::string judge_model;
  bool allows_unsafe = false;  ///< code runs even where nothing isolates it
};
void add_scoring_options(CLI::App& command, Lang lang, ScoringOptions& options);
void add_judge_options(CLI::App& command, Lang lang, ScoringOptions& options);

/// The judge that the options name, which keeps its replies below CHASKI_HOME. Throws what Judge throws.
std::unique_ptr<Judge> make_judge(const ScoringOptions& options, const std::vector<ModelFacts>& under_test,
                                  const Context& context);

/// A rubric, what runs code, and a judge; made before the first question, so that their faults are said then.
class RunScorer {
 public:
  /// `models` are the names of those that will answer, where they are known: a judge that is one of them is
  /// refused at once. Throws what rubric_for and Judge throw.
  RunScorer(const Suite& suite, const ScoringOptions& options, const Context& context,
            const std::vector<std::string>& models = {});

  const CodeRunner& code_runner() const { return *code_runner_; }
  /// The record has the scores that score() would give.
  bool has_scored(const RunRecord& record) const;
  /// Fill the record's scores, with progress on a terminal. Throws Error(kCancelled), and what Judge throws:
  /// the record then has the rubric's scores where these were finished, and is worth keeping.
  void score(RunRecord& record);

 private:
  const Suite& suite_;
  const ScoringOptions options_;
  const Context& context_;
  Rubric rubric_;
  std::unique_ptr<CodeRunner> code_runner_;
};

/// The mean scores by type, for the terminal; empty where nothing has a score.
std::string score_text(const RunRecord& record, Lang lang);

}  // namespace chaski::cli
