// Two runs side by side, from their records alone: what differs between them, their questions in pairs, what
// each claim is worth. Pages and tables of it: compare_html.h, compare_markdown.h, compare_data.h.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "report/claims.h"
#include "report/pairwise.h"
#include "report/published.h"
#include "report/run_facts.h"
#include "report/score_summary.h"

namespace chaski {

/// One answer of each run to the same question; either may be missing.
struct AnswerPair {
  const AnswerRecord* a = nullptr;
  const AnswerRecord* b = nullptr;
  bool is_whole() const { return a != nullptr && b != nullptr; }
  const AnswerRecord& any() const { return a != nullptr ? *a : *b; }
};

struct Difference {
  FactGroup group = FactGroup::kNone;
  std::string title, a, b;
  std::string label_a, label_b;  ///< only what tells the two apart
};

struct Comparison {
  RunView a, b;
  std::vector<AnswerPair> pairs;       ///< in the order of A's items, then B's that A lacks
  std::optional<ScorerChoice> scorer;  ///< that both have, of the questions that both have scores for
  std::optional<Judgement> judgement;  ///< of a judge model on the pairs, where one was asked
  std::vector<Claim> claims;
  const Published* published = nullptr;  ///< for the suite that both ran

  std::vector<RunView> runs() const { return {a, b}; }
  const RunView& run(bool is_b) const { return is_b ? b : a; }
  /// "A (name)" and so on, for sentences.
  std::string side_name(bool is_b) const;
};

/// Both records must live as long as the comparison. Sources are how the user named the runs; `lang` is of
/// the names that tell them apart.
Comparison compare(const RunRecord& a, const RunRecord& b, std::string source_a = {},
                   std::string source_b = {}, Lang lang = Lang::kEn);

/// Facts with two values, but those that differ by nature, such as the time.
std::vector<Difference> differences(const RunRecord& a, const RunRecord& b, Lang lang);
std::vector<Difference> differences(const Comparison& comparison, Lang lang);

/// What a reader must know before trusting a comparison: two things that differ at once, different questions
/// or rubrics, answers of different lengths, few questions.
std::vector<std::string> comparison_warnings(const Comparison& comparison, Lang lang);

/// A figure of an answer, or nothing.
using FigureOf = std::function<std::optional<double>(const AnswerRecord&)>;

/// That figure per question, the mean over the samples that both runs have, for questions that have it in
/// both.
struct PairedFigures {
  std::vector<double> a, b;
  bool empty() const { return a.empty(); }
};
PairedFigures paired_figures(const std::vector<AnswerPair>& pairs, const FigureOf& figure_of);

/// The scores of the questions that both runs scored, by type of task; under "" of all.
std::map<std::string, PairedFigures> paired_scores(const Comparison& comparison);

}  // namespace chaski
