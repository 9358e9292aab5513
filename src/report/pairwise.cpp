#include "report/pairwise.h"

#include <algorithm>
#include <optional>

#include "report/comparison.h"
#include "report/eval_report.h"
#include "report/figures.h"

namespace chaski {
namespace {

void count(const PairVerdict& verdict, PairCounts& counts) {
  if (verdict.state == PairState::kFailed) {
    ++counts.n_failed;
    return;
  }
  const Preference preference = verdict.preference();
  ++(preference == Preference::kFirst    ? counts.n_a
     : preference == Preference::kSecond ? counts.n_b
                                         : counts.n_ties);
  if (verdict.state == PairState::kSame) {
    ++counts.n_same;
    return;
  }
  if (!verdict.is_steady()) ++counts.n_changed;
  for (size_t order = 0; order < 2; ++order) {
    if (verdict.by_order[order] == Preference::kTie) continue;
    const bool is_for_a = verdict.by_order[order] == Preference::kFirst;
    ++counts.n_for_place[is_for_a == (order == 0) ? 0 : 1];
  }
}

std::string side_of(Preference preference, Lang lang) {
  return preference == Preference::kFirst    ? "A"
         : preference == Preference::kSecond ? "B"
                                             : std::string(tr(lang, "tie", "平"));
}

std::string verdict_text(const PairVerdict& verdict, Lang lang) {
  switch (verdict.state) {
    case PairState::kFailed:
      return trf(lang, "no verdict: {}", "没有判定：{}", verdict.why_not);
    case PairState::kSame:
      return std::string(tr(lang, "tie: the same text", "平：文字相同"));
    case PairState::kJudged:
      break;
  }
  if (!verdict.is_steady()) return std::string(tr(lang, "tie: changed with the order", "平：随顺序而变"));
  return side_of(verdict.preference(), lang);
}

std::string said(const PairVerdict& verdict, size_t order, Lang lang) {
  if (verdict.state != PairState::kJudged) return "";
  return trf(lang, "{}: {}", "{}：{}", side_of(verdict.by_order[order], lang), verdict.reasons[order]);
}

std::string text_in(const OrderedJson& facts, const char* key) {
  const auto at = facts.find(key);
  if (at == facts.end()) return "";
  return at->is_string() ? at->get<std::string>() : to_json_text(*at);
}

std::vector<std::string> notes_of(const Judgement& judgement, const PairCounts& all, Lang lang) {
  std::vector<std::string> notes{
      trf(lang,
          "Judge: {} at {}, temperature 0, seed {}, prompts {}. It saw each pair twice, with the order "
          "swapped: an answer wins where both orders prefer it; all else is a tie. \"Answer 1\" in its "
          "reasons is the one that it was shown first.",
          "裁判：{}（{}），温度 0，种子 {}，提示词 {}。每对回答交换顺序各问一次：两种顺序都偏好的一方为胜，"
          "其余为平。其理由中的“1”指先给它看的回答。",
          text_in(judgement.judge, "id"), text_in(judgement.judge, "host"), text_in(judgement.judge, "seed"),
          text_in(judgement.judge, "prompts_sha256").substr(0, 12)),
      trf(lang,
          "Position bias: the verdict changed with the order in {} of {} judged pairs ({}); single verdicts "
          "preferred the answer shown first {} times, the one shown second {} times.",
          "位置偏差：在 {} 对中（共判 {} 对，占 {}）判定随顺序而变；单次判定偏好先出示者 {} "
          "次，偏好后出示者 {} 次。",
          all.n_changed, all.n_judged(), percent(all.position_bias()), all.n_for_place[0],
          all.n_for_place[1])};
  if (all.n_same > 0) {
    notes.push_back(trf(lang, "{} pairs of the same text are ties; the judge was not asked.",
                        "{} 对回答文字相同，记为平，没有询问裁判。", all.n_same));
  }
  if (const auto at = judgement.judge.find("has_references");
      at != judgement.judge.end() && at->is_boolean() && !at->get<bool>()) {
    notes.emplace_back(tr(lang, "The suite was not found, so the judge had no reference answers.",
                          "没有找到题集，因此裁判没有参考答案。"));
  }
  notes.emplace_back(tr(lang,
                        "A judge is a model. How far its taste agrees with a reader's was not measured; its "
                        "preference is no score.",
                        "裁判也是模型。其偏好与读者的一致程度没有测过；偏好不是分数。"));
  return notes;
}

Table judged_table(const Comparison& comparison, Lang lang) {
  Table table{"judged",
              std::string(tr(lang, "Which answer the judge prefers", "裁判偏好哪个回答")),
              {std::string(tr(lang, "type", "类型")), std::string(tr(lang, "pairs", "对数")),
               std::string(tr(lang, "B wins", "B 胜")), std::string(tr(lang, "ties", "平")),
               std::string(tr(lang, "B loses", "B 负")), std::string(tr(lang, "no verdict", "没有判定")),
               std::string(tr(lang, "changed with the order", "随顺序而变"))},
              "lrrrrrr",
              {},
              {},
              {"", "", "b", "", "a", "", ""}};
  const std::vector<PairCounts> counts = pair_counts(*comparison.judgement);
  for (const PairCounts& c : counts) {
    const std::string type = c.type.empty() ? std::string(tr(lang, "all", "全部"))
                                            : type_title(*comparison.a.record, c.type, lang);
    table.add({type, std::to_string(c.n_pairs()), std::to_string(c.n_b), std::to_string(c.n_ties),
               std::to_string(c.n_a), std::to_string(c.n_failed),
               c.n_judged() == 0
                   ? std::string("–")
                   : fmt::format("{} / {} ({})", c.n_changed, c.n_judged(), percent(c.position_bias()))});
  }
  table.notes = notes_of(*comparison.judgement, counts[0], lang);
  return table;
}

Table verdicts_table(const Comparison& comparison, Lang lang) {
  Table table{"verdicts",
              std::string(tr(lang, "The judge's verdicts", "裁判的逐题判定")),
              {std::string(tr(lang, "question", "题目")), std::string(tr(lang, "type", "类型")),
               std::string(tr(lang, "verdict", "判定")), std::string(tr(lang, "A shown first", "先出示 A")),
               std::string(tr(lang, "B shown first", "先出示 B"))},
              "lllll",
              {},
              {},
              {}};
  for (const PairVerdict& verdict : comparison.judgement->verdicts) {
    table.add({verdict.sample > 0 ? fmt::format("{}.{}", verdict.id, verdict.sample + 1) : verdict.id,
               type_title(*comparison.a.record, verdict.type, lang), verdict_text(verdict, lang),
               said(verdict, 0, lang), said(verdict, 1, lang)});
  }
  return table;
}

OrderedJson counts_json(const PairCounts& counts) {
  return {
      {"type", counts.type.empty() ? OrderedJson(nullptr) : OrderedJson(counts.type)},
      {"n_pairs", counts.n_pairs()},
      {"n_a", counts.n_a},
      {"n_b", counts.n_b},
      {"n_ties", counts.n_ties},
      {"n_no_verdict", counts.n_failed},
      {"n_same_text", counts.n_same},
      {"n_judged", counts.n_judged()},
      {"n_changed_with_order", counts.n_changed},
      {"position_bias", counts.n_judged() > 0 ? OrderedJson(counts.position_bias()) : OrderedJson(nullptr)},
      {"n_for_first_shown", counts.n_for_place[0]},
      {"n_for_second_shown", counts.n_for_place[1]}};
}

std::string_view name_of(Preference preference) {
  return preference == Preference::kFirst ? "a" : preference == Preference::kSecond ? "b" : "tie";
}

OrderedJson verdict_json(const PairVerdict& verdict) {
  OrderedJson json = {{"id", verdict.id},
                      {"sample", verdict.sample},
                      {"type", verdict.type},
                      {"verdict", verdict_name(verdict)}};
  if (verdict.state == PairState::kFailed) json["why_not"] = verdict.why_not;
  if (verdict.state == PairState::kSame) json["same_text"] = true;
  if (verdict.state != PairState::kJudged) return json;
  for (size_t order = 0; order < 2; ++order) {
    json[order == 0 ? "a_first" : "b_first"] = {{"verdict", name_of(verdict.by_order[order])},
                                                {"reason", verdict.reasons[order]}};
  }
  return json;
}

}  // namespace

double PairCounts::position_bias() const {
  return n_judged() == 0 ? 0 : static_cast<double>(n_changed) / static_cast<double>(n_judged());
}

std::vector<PairCounts> pair_counts(const Judgement& judgement) {
  std::vector<PairCounts> counts(1);
  std::map<std::string_view, size_t> place;
  for (const PairVerdict& verdict : judgement.verdicts) {
    const auto [at, is_new] = place.emplace(verdict.type, counts.size());
    if (is_new) {
      counts.emplace_back();
      counts.back().type = verdict.type;
    }
    count(verdict, counts[0]);
    count(verdict, counts[at->second]);
  }
  if (place.size() < 2) counts.resize(1);
  return counts;
}

std::map<std::string, PairedFigures> paired_preferences(const Comparison& comparison) {
  struct Sums {
    std::string_view type;
    double a = 0, b = 0, n = 0;
  };
  std::map<std::string, PairedFigures> figures;
  if (!comparison.judgement) return figures;
  std::vector<Sums> sums;
  std::map<std::string_view, size_t> place;
  for (const PairVerdict& verdict : comparison.judgement->verdicts) {
    if (verdict.state == PairState::kFailed) continue;
    const auto [at, is_new] = place.emplace(verdict.id, sums.size());
    if (is_new) sums.push_back({verdict.type});
    Sums& of_question = sums[at->second];
    of_question.a += verdict.preference() == Preference::kFirst ? 1 : 0;
    of_question.b += verdict.preference() == Preference::kSecond ? 1 : 0;
    ++of_question.n;
  }
  for (const Sums& of_question : sums) {
    for (const std::string_view type : {std::string_view(), of_question.type}) {
      PairedFigures& of_type = figures[std::string(type)];
      of_type.a.push_back(of_question.a / of_question.n);
      of_type.b.push_back(of_question.b / of_question.n);
      if (of_question.type.empty()) break;
    }
  }
  return figures;
}

void add_judgement(Comparison& comparison, Judgement judgement) {
  comparison.judgement = std::move(judgement);
  comparison.claims = claims_of(comparison);
}

std::vector<Table> judgement_tables(const Comparison& comparison, Lang lang) {
  if (!comparison.judgement) return {};
  return {judged_table(comparison, lang), verdicts_table(comparison, lang)};
}

std::string judgement_terminal(const Comparison& comparison, Lang lang) {
  if (!comparison.judgement) return "";
  const Table table = judged_table(comparison, lang);
  std::string text = "\n" + terminal_table(table);
  for (const std::string& note : table.notes) text += fmt::format("  {}\n", note);
  return text;
}

OrderedJson judgement_json(const Comparison& comparison) {
  if (!comparison.judgement) return nullptr;
  OrderedJson json = {{"judge", comparison.judgement->judge},
                      {"counts", OrderedJson::array()},
                      {"verdicts", OrderedJson::array()}};
  for (const PairCounts& counts : pair_counts(*comparison.judgement))
    json["counts"].push_back(counts_json(counts));
  for (const PairVerdict& verdict : comparison.judgement->verdicts)
    json["verdicts"].push_back(verdict_json(verdict));
  return json;
}

std::string_view verdict_name(const PairVerdict& verdict) {
  return verdict.state == PairState::kFailed ? "no_verdict" : name_of(verdict.preference());
}

}  // namespace chaski
