// Scores of a record by type of task: one figure per question first, then their mean. Comparing two records
// is in comparison.h.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "report/lang.h"
#include "report/run_record.h"

namespace chaski {

/// What a scorer gives: points from 1 to 5, or right and wrong.
enum class ScoreKind { kPoints, kRight };

struct ScorerChoice {
  std::string scorer;
  ScoreKind kind = ScoreKind::kPoints;
  /// Ids of the questions that count; nothing: all of a record.
  std::optional<std::set<std::string>> questions = {};
};
/// Whether a judge model gave it.
bool is_judges(const ScoreRecord& score);

/// The scorer and kind that most answers of every record have: others before judges, points before right and
/// wrong, then by name. Nothing where there is none that all have.
std::optional<ScorerChoice> main_scorer(std::span<const RunRecord* const> records);

/// The mean score of each question over its samples, by the question's id; 0 and 1 for wrong and right.
std::map<std::string, double> question_scores(const RunRecord& record, const ScorerChoice& choice);

struct TypeScore {
  std::string type;  ///< empty: all types together
  int64_t n = 0;     ///< questions with a score
  double mean = 0;
  std::optional<Interval> ci95;  ///< bootstrap over questions; nothing below six
};
/// All questions together, then the types in the order in which they are asked.
std::vector<TypeScore> scores_by_type(const RunRecord& record, const ScorerChoice& choice);

/// Where no answer of an eval has a score, a sentence that says so and why; else nothing.
std::string why_unscored(const RunRecord& record, Lang lang);

/// The types of task in the order in which they are asked.
std::vector<std::string> types_of(const RunRecord& record);

/// The mean and its interval, as TypeScore has it.
TypeScore mean_score(std::string type, const std::vector<double>& scores);

}  // namespace chaski
