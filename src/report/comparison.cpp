#include "report/comparison.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <unordered_map>

#include "report/figures.h"
#include "report/text_safety.h"

namespace chaski {
namespace {

std::string pair_key(const AnswerRecord& item) {
  return fmt::format("{} {}", item.sample, question_key(item));
}

std::vector<AnswerPair> pair_answers(const RunRecord& a, const RunRecord& b) {
  std::vector<AnswerPair> pairs;
  std::unordered_map<std::string, size_t> place;
  for (const AnswerRecord& item : a.items) {
    if (place.emplace(pair_key(item), pairs.size()).second) pairs.push_back({&item, nullptr});
  }
  for (const AnswerRecord& item : b.items) {
    const auto [at, is_new] = place.emplace(pair_key(item), pairs.size());
    if (is_new) {
      pairs.push_back({nullptr, &item});
    } else if (pairs[at->second].b == nullptr) {
      pairs[at->second].b = &item;
    }
  }
  return pairs;
}

double mean_of(const std::vector<double>& values) {
  return values.empty()
             ? 0
             : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

/// Facts of a group that tell two runs of the same model apart, best first.
std::optional<std::string> telling_difference(const Comparison& comparison, bool is_b, Lang lang) {
  const std::vector<Difference> all = differences(comparison, lang);
  for (const FactGroup group : kTellingGroups) {
    for (const Difference& difference : all) {
      if (difference.group == group) return short_name(is_b ? difference.label_b : difference.label_a, 48);
    }
  }
  return std::nullopt;
}

void name_runs(Comparison& comparison, Lang lang) {
  comparison.a.name = model_name(*comparison.a.record);
  comparison.b.name = model_name(*comparison.b.record);
  if (comparison.a.name != comparison.b.name) return;
  const auto of_a = telling_difference(comparison, false, lang);
  const auto of_b = telling_difference(comparison, true, lang);
  if (of_a) comparison.a.name += " · " + *of_a;
  if (of_b) comparison.b.name += " · " + *of_b;
}

/// Ids of the questions that both runs were asked and that have a score in both.
std::set<std::string> scored_by_both(const Comparison& c) {
  const auto of_a = question_scores(*c.a.record, *c.scorer);
  const auto of_b = question_scores(*c.b.record, *c.scorer);
  std::set<std::string> ids;
  for (const AnswerPair& pair : c.pairs) {
    if (!pair.is_whole()) continue;
    if (of_a.count(pair.a->id) > 0 && of_b.count(pair.a->id) > 0) ids.insert(pair.a->id);
  }
  return ids;
}

std::string list_text(const std::vector<std::string>& parts, Lang lang) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) text += i + 1 == parts.size() ? tr(lang, " and ", "和") : tr(lang, ", ", "、");
    text += parts[i];
  }
  return text;
}

void warn_of_groups(const std::vector<Difference>& all, Lang lang, std::vector<std::string>& warnings) {
  std::set<FactGroup> groups;
  for (const Difference& difference : all) groups.insert(difference.group);
  for (const FactGroup group : {FactGroup::kQuestions, FactGroup::kScoring, FactGroup::kNone})
    groups.erase(group);
  if (groups == std::set<FactGroup>{FactGroup::kModel, FactGroup::kFormat}) {
    warnings.emplace_back(
        tr(lang,
           "The model and its weight format both differ. Unless both files hold the same model "
           "stored in two ways, no result can be put down to one of them.",
           "模型与权重格式都不同。除非两个文件是同一模型的两种存储方式，否则结果的差异不能归因于其中一项。"));
    return;
  }
  if (groups.size() < 2) return;
  std::vector<std::string> titles;
  for (const FactGroup group : groups) titles.emplace_back(title_of(group, lang));
  warnings.push_back(trf(
      lang, "{} things differ at once: {}. A difference in the results cannot be put down to one of them.",
      "有 {} 项同时不同：{}。结果的差异不能归因于其中某一项。", titles.size(), list_text(titles, lang)));
}

/// How an answer would have gone on is not known: neither its time nor its score.
void warn_of_cuts(const Comparison& c, Lang lang, std::vector<std::string>& warnings) {
  const auto n_cut = [](const RunRecord& record) {
    return std::count_if(record.items.begin(), record.items.end(),
                         [](const AnswerRecord& item) { return item.finish_reason == "length"; });
  };
  const auto cut_a = n_cut(*c.a.record), cut_b = n_cut(*c.b.record);
  if (cut_a + cut_b == 0) return;
  const size_t n_a = c.a.record->items.size(), n_b = c.b.record->items.size();
  const std::string which =
      static_cast<size_t>(cut_a + cut_b) == n_a + n_b
          ? std::string(
                tr(lang, "All answers were cut at the token limit", "所有回答都因达到词元数上限而被截断"))
          : trf(lang, "{} of {} answers in A and {} of {} in B were cut at the token limit",
                "因达到词元数上限而被截断的回答：A {} 个（共 {} 个），B {} 个（共 {} 个）", cut_a, n_a, cut_b,
                n_b);
  warnings.push_back(trf(
      lang,
      "{}: their seconds and tokens are those of the limit, and their scores are of what was "
      "written up to there. Time per token and time to first token compare as ever.",
      "{}：其用时与词元数取决于上限，得分只针对已写出的部分。每词元时间与首词元延迟仍可照常比较。", which));
}

void warn_of_length(const Comparison& c, Lang lang, std::vector<std::string>& warnings) {
  const PairedFigures tokens = paired_figures(c.pairs, [](const AnswerRecord& item) {
    return std::optional<double>(static_cast<double>(item.n_tokens()));
  });
  const double of_a = mean_of(tokens.a);
  const double of_b = mean_of(tokens.b);
  if (tokens.empty() || std::abs(of_a - of_b) <= 0.1 * std::max(of_a, of_b)) return;
  warnings.push_back(
      trf(lang,
          "Answers differ in length: {} tokens on average in A, {} in B. Seconds per question then "
          "compare lengths as well as speed; time per token compares speed.",
          "回答长度不同：A 平均 {} 词元，B 平均 {} "
          "词元。此时每题用时同时反映长度与速度；比较速度请看每词元时间。",
          figure(of_a), figure(of_b)));
}

/// Between two sessions the machine may have changed: nothing in the samples of one tells of that.
void warn_of_sessions(const Comparison& c, Lang lang, std::vector<std::string>& warnings) {
  const RunSummary &a = c.a.record->summary, &b = c.b.record->summary;
  const auto is_before = [](const RunSummary& first, const RunSummary& second) {
    return !first.ended_at.empty() && !second.started_at.empty() && first.ended_at <= second.started_at;
  };
  if (!is_before(a, b) && !is_before(b, a)) return;
  warnings.push_back(trf(
      lang,
      "The runs were made one after the other (A from {}, B from {}): what else the machine did during one "
      "of "
      "them is part of any difference in time. `chaski review` and `chaski bench A B` measure both by turns.",
      "两次运行先后进行（A 始于 {}，B 始于 {}）：其间机器负载的变化也会计入用时差异。`chaski review` 与 "
      "`chaski bench A B` 可交替测量。",
      a.started_at, b.started_at));
}

}  // namespace

std::string Comparison::side_name(bool is_b) const {
  return fmt::format("{} ({})", is_b ? "B" : "A", run(is_b).name);
}

std::vector<Difference> differences(const RunRecord& a, const RunRecord& b, Lang lang) {
  std::vector<Difference> found;
  const std::vector<Fact> of_a = facts_of(a, lang);
  const std::vector<Fact> of_b = facts_of(b, lang);
  const auto fact_in = [](const std::vector<Fact>& facts, const Fact& like) {
    const auto at =
        std::find_if(facts.begin(), facts.end(), [&](const Fact& fact) { return fact.title == like.title; });
    return at == facts.end() ? Fact{like.group, like.title, {"–"}} : *at;
  };
  const auto add = [&](const Fact& x, const Fact& y) {
    if (x.group == FactGroup::kNone || x.parts == y.parts) return;
    // A template is a model's own or one of the run's: where it is either, that is a difference of template.
    const FactGroup group = x.group == y.group ? x.group : FactGroup::kTemplate;
    found.push_back({group, x.title, x.value(), y.value(), label_of(x, {&y, 1}), label_of(y, {&x, 1})});
  };
  for (const Fact& fact : of_a) add(fact, fact_in(of_b, fact));
  for (const Fact& fact : of_b) {
    const Fact other = fact_in(of_a, fact);
    if (other.parts == std::vector<std::string>{"–"}) add(other, fact);
  }
  return found;
}

std::vector<Difference> differences(const Comparison& comparison, Lang lang) {
  return differences(*comparison.a.record, *comparison.b.record, lang);
}

std::vector<std::string> comparison_warnings(const Comparison& c, Lang lang) {
  std::vector<std::string> warnings;
  const std::vector<Difference> all = differences(c, lang);
  const auto differs = [&](FactGroup group) {
    return std::any_of(all.begin(), all.end(), [&](const Difference& d) { return d.group == group; });
  };
  warn_of_cuts(c, lang, warnings);
  warn_of_sessions(c, lang, warnings);
  for (const RunView& run : c.runs()) {
    const std::string why = why_unscored(*run.record, lang);
    if (!why.empty()) warnings.push_back(fmt::format("{}{}{}", side_letter(run), tr(lang, ": ", "："), why));
  }
  warn_of_groups(all, lang, warnings);
  if (c.a.record->kind != c.b.record->kind) {
    warnings.emplace_back(tr(lang, "The runs are of different kinds: only what both measured is compared.",
                             "两次运行类型不同：只比较双方都有的项目。"));
  }
  if (differs(FactGroup::kQuestions)) {
    warnings.emplace_back(
        tr(lang,
           "The runs did not ask the same questions: only those with the same id and the same text are "
           "paired.",
           "两次运行的题目不同：只配对编号与题面都相同的题。"));
  }
  for (const RunView& run : c.runs()) {
    const std::string part = part_text(*run.record, lang);
    if (part.empty()) continue;
    warnings.push_back(trf(lang,
                           "{} asked a part of its suite alone ({}): its figures are not those of the suite.",
                           "{} 只问了题集的一部分（{}）：其结果不代表整个题集。", side_letter(run), part));
  }
  if (differs(FactGroup::kScoring)) {
    warnings.emplace_back(tr(lang, "The answers were scored by different rules: their scores do not compare.",
                             "两边的评分规则不同：分数不可直接比较。"));
  }
  const auto n_unpaired =
      std::count_if(c.pairs.begin(), c.pairs.end(), [](const AnswerPair& pair) { return !pair.is_whole(); });
  if (n_unpaired > 0) {
    warnings.push_back(trf(lang, "{} of {} answers have no counterpart in the other run.",
                           "{} 个回答（共 {} 个）在另一次运行中没有对应。", n_unpaired, c.pairs.size()));
  }
  warn_of_length(c, lang, warnings);
  const auto n_questions =
      paired_figures(c.pairs, [](const AnswerRecord&) { return std::optional<double>(0); }).a.size();
  const auto n_tested =
      std::count_if(c.claims.begin(), c.claims.end(), [](const Claim& claim) { return claim.p.has_value(); });
  if (n_questions > 0 && n_questions < 20) {
    warnings.push_back(trf(lang,
                           "{} questions are few: only large and steady differences can be told from chance. "
                           "With {} claims tested here, none can below {}.",
                           "只有 {} 道题：只有大而一致的差异才能与偶然区分；此处检验了 {} 项结论，少于 {} "
                           "题时任何差异都不能。",
                           n_questions, n_tested, least_questions(n_tested)));
  }
  return warnings;
}

PairedFigures paired_figures(const std::vector<AnswerPair>& pairs, const FigureOf& figure_of) {
  struct Sums {
    double a = 0, b = 0;
    int64_t n = 0;
  };
  std::vector<Sums> sums;
  std::unordered_map<std::string, size_t> place;
  for (const AnswerPair& pair : pairs) {
    if (!pair.is_whole()) continue;
    const std::optional<double> of_a = figure_of(*pair.a);
    const std::optional<double> of_b = figure_of(*pair.b);
    if (!of_a || !of_b) continue;
    const auto [at, is_new] = place.emplace(pair.a->id, sums.size());
    if (is_new) sums.emplace_back();
    Sums& of_question = sums[at->second];
    of_question.a += *of_a;
    of_question.b += *of_b;
    ++of_question.n;
  }
  PairedFigures figures;
  for (const Sums& of_question : sums) {
    figures.a.push_back(of_question.a / static_cast<double>(of_question.n));
    figures.b.push_back(of_question.b / static_cast<double>(of_question.n));
  }
  return figures;
}

std::map<std::string, PairedFigures> paired_scores(const Comparison& comparison) {
  std::map<std::string, PairedFigures> figures;
  if (!comparison.scorer) return figures;
  const std::map<std::string, double> of_a = question_scores(*comparison.a.record, *comparison.scorer);
  const std::map<std::string, double> of_b = question_scores(*comparison.b.record, *comparison.scorer);
  std::set<std::string> seen;
  for (const AnswerPair& pair : comparison.pairs) {
    if (!pair.is_whole() || !seen.insert(pair.a->id).second) continue;
    const AnswerRecord& item = *pair.a;
    const auto score_a = of_a.find(item.id);
    const auto score_b = of_b.find(item.id);
    if (score_a == of_a.end() || score_b == of_b.end()) continue;
    for (const std::string& type : {std::string(), item.type}) {
      figures[type].a.push_back(score_a->second);
      figures[type].b.push_back(score_b->second);
    }
  }
  return figures;
}

Comparison compare(const RunRecord& a, const RunRecord& b, std::string source_a, std::string source_b,
                   Lang lang) {
  Comparison comparison;
  comparison.a = {&a, "a", {}, std::move(source_a)};
  comparison.b = {&b, "b", {}, std::move(source_b)};
  name_runs(comparison, lang);
  comparison.pairs = pair_answers(a, b);
  const RunRecord* records[] = {&a, &b};
  comparison.scorer = main_scorer(records);
  if (comparison.scorer) comparison.scorer->questions = scored_by_both(comparison);
  const std::string suite = suite_name(a);
  if (!suite.empty() && suite == suite_name(b)) comparison.published = published_for(suite);
  comparison.claims = claims_of(comparison);
  return comparison;
}

}  // namespace chaski
