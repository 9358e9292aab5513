#include "report/score_summary.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "report/names.h"

namespace chaski {

bool is_judges(const ScoreRecord& score) { return score.scorer.rfind("judge:", 0) == 0; }

namespace {

constexpr size_t kLeastForInterval = 6;

double mean_of(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::optional<double> value_of(const ScoreRecord& score, ScoreKind kind) {
  if (kind == ScoreKind::kPoints) return score.score ? std::optional<double>(*score.score) : std::nullopt;
  return score.is_correct ? std::optional<double>(*score.is_correct ? 1 : 0) : std::nullopt;
}

std::optional<ScorerChoice> most_used_scorer(std::span<const RunRecord* const> records, bool is_judge) {
  std::optional<ScorerChoice> best;
  int64_t most = 0;
  for (const ScoreKind kind : {ScoreKind::kPoints, ScoreKind::kRight}) {
    std::map<std::string, std::vector<int64_t>> counts;
    for (size_t i = 0; i < records.size(); ++i) {
      for (const ScoreRecord& score : records[i]->scores) {
        if (is_judges(score) != is_judge || !value_of(score, kind)) continue;
        std::vector<int64_t>& of_scorer = counts[score.scorer];
        of_scorer.resize(records.size());
        ++of_scorer[i];
      }
    }
    for (const auto& [scorer, of_records] : counts) {
      const int64_t least = *std::min_element(of_records.begin(), of_records.end());
      if (least > most) {
        most = least;
        best = {scorer, kind};
      }
    }
    if (best) return best;
  }
  return best;
}

}  // namespace

std::optional<ScorerChoice> main_scorer(std::span<const RunRecord* const> records) {
  const auto choice = most_used_scorer(records, false);
  return choice ? choice : most_used_scorer(records, true);
}

std::map<std::string, double> question_scores(const RunRecord& record, const ScorerChoice& choice) {
  std::map<std::string, std::vector<double>> by_question;
  for (const ScoreRecord& score : record.scores) {
    if (score.scorer != choice.scorer) continue;
    if (choice.questions && choice.questions->count(score.id) == 0) continue;
    if (const auto value = value_of(score, choice.kind)) by_question[score.id].push_back(*value);
  }
  std::map<std::string, double> means;
  for (const auto& [id, values] : by_question) means[id] = mean_of(values);
  return means;
}

std::string why_unscored(const RunRecord& record, Lang lang) {
  constexpr size_t kMostReasons = 3;
  const RunRecord* const records[] = {&record};
  if (record.items.empty() || main_scorer(records)) return "";
  if (record.scores.empty()) {
    return std::string(tr(lang, "The answers were not scored; `chaski score` does so at any time.",
                          "回答尚未评分；可随时用 `chaski score` 评分。"));
  }
  std::vector<std::pair<std::string, int64_t>> reasons;
  for (const ScoreRecord& score : record.scores) {
    const std::string reason =
        score.note.empty() ? words_for(NameOf::kStatus, score.status, lang) : remark_words(score.note, lang);
    const auto at = std::find_if(reasons.begin(), reasons.end(),
                                 [&](const auto& known) { return known.first == reason; });
    if (at != reasons.end())
      ++at->second;
    else if (reasons.size() < kMostReasons)
      reasons.emplace_back(reason, 1);
  }
  std::string text =
      trf(lang, "None of the {} answers has a score:", "{} 个回答都没有得分：", record.items.size());
  for (size_t i = 0; i < reasons.size(); ++i) {
    const std::string_view before = i > 0 ? tr(lang, "; ", "；") : tr(lang, " ", "");
    text += before;
    text += trf(lang, "{} ({})", "{}（{} 个）", reasons[i].first, reasons[i].second);
  }
  return text + std::string(tr(lang, ".", "。"));
}

std::vector<std::string> types_of(const RunRecord& record) {
  std::vector<std::string> types;
  std::unordered_set<std::string> seen;
  for (const AnswerRecord& item : record.items) {
    if (seen.insert(item.type).second) types.push_back(item.type);
  }
  return types;
}

TypeScore mean_score(std::string type, const std::vector<double>& scores) {
  TypeScore summary{std::move(type), static_cast<int64_t>(scores.size()), 0, std::nullopt};
  if (scores.empty()) return summary;
  summary.mean = mean_of(scores);
  if (scores.size() >= kLeastForInterval)
    summary.ci95 = bootstrap_interval(scores, mean_of, 0.95, resamples_for(scores.size()));
  return summary;
}

std::vector<TypeScore> scores_by_type(const RunRecord& record, const ScorerChoice& choice) {
  std::unordered_map<std::string, std::string> type_of_question;
  for (const AnswerRecord& item : record.items) type_of_question.emplace(item.id, item.type);
  std::vector<double> all;
  std::unordered_map<std::string, std::vector<double>> by_type;
  for (const auto& [id, score] : question_scores(record, choice)) {
    all.push_back(score);
    const auto type = type_of_question.find(id);
    if (type != type_of_question.end()) by_type[type->second].push_back(score);
  }
  std::vector<TypeScore> summaries;
  if (all.empty()) return summaries;
  summaries.push_back(mean_score("", all));
  for (const std::string& type : types_of(record)) {
    if (by_type.count(type) > 0) summaries.push_back(mean_score(type, by_type[type]));
  }
  return summaries;
}

}  // namespace chaski
