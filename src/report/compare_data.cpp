#include "report/compare_data.h"

#include <algorithm>
#include <cmath>

#include "report/text_safety.h"

namespace chaski {
namespace {

using Number = std::optional<double>;

OrderedJson json_of(const Number& value) { return value ? OrderedJson(*value) : OrderedJson(nullptr); }

OrderedJson json_of(const std::optional<Interval>& interval) {
  return interval ? OrderedJson{interval->low, interval->high} : OrderedJson(nullptr);
}

std::string_view name_of(Ground ground) {
  switch (ground) {
    case Ground::kTested:
      return "tested";
    case Ground::kOpposite:
      return "opposite";
    case Ground::kEquivalent:
      return "equivalent";
    case Ground::kNoEvidence:
      return "no_evidence";
    case Ground::kTooFew:
      return "too_few";
    case Ground::kUnvaried:
      return "unvaried";
    case Ground::kNotComparable:
      return "not_comparable";
    case Ground::kOneReading:
      return "one_reading";
    case Ground::kNotMeasured:
      return "not_measured";
    case Ground::kCounted:
      break;
  }
  return "counted";
}

std::string_view name_of(Verdict verdict) {
  return verdict == Verdict::kSupported      ? "supported"
         : verdict == Verdict::kNotSupported ? "not_supported"
                                             : "undecided";
}

std::string_view name_of(TestMethod test) {
  return test == TestMethod::kPaired     ? "paired_sign_flip"
         : test == TestMethod::kUnpaired ? "permutation"
                                         : "";
}

OrderedJson claim_json(const Claim& claim, const Comparison& comparison) {
  OrderedJson json;
  json["topic"] = claim.topic;
  json["type"] = claim.type.empty() ? OrderedJson(nullptr) : OrderedJson(claim.type);
  json["claim"] = {{"en", claim_title(claim, comparison, Lang::kEn)},
                   {"zh", claim_title(claim, comparison, Lang::kZh)}};
  json["verdict"] = name_of(claim.verdict);
  json["ground"] = name_of(claim.ground);
  json["obstacle"] =
      claim.obstacle == Obstacle::kNone ? OrderedJson(nullptr) : OrderedJson(name_of(claim.obstacle));
  json["test"] = claim.test == TestMethod::kNone ? OrderedJson(nullptr) : OrderedJson(name_of(claim.test));
  json["unit"] = claim.unit;
  json["is_higher_better"] = claim.is_higher_better;
  json["n"] = claim.n;
  json["n_b"] = claim.n_b;
  json["mean_a"] = json_of(claim.has_figures() ? Number(claim.mean_a) : std::nullopt);
  json["mean_b"] = json_of(claim.has_figures() ? Number(claim.mean_b) : std::nullopt);
  json["difference"] = json_of(claim.has_figures() ? Number(claim.difference) : std::nullopt);
  json["ci95"] = json_of(claim.ci95);
  json["p"] = json_of(claim.p);
  json["p_holm"] = json_of(claim.p_holm);
  json["finding"] = {{"en", claim_finding(claim, Lang::kEn)}, {"zh", claim_finding(claim, Lang::kZh)}};
  return json;
}

OrderedJson run_json(const RunView& run) {
  const RunRecord& r = *run.record;
  return {{"source", run.source},
          {"name", run.name},
          {"kind", r.kind},
          {"model", r.model.id},
          {"weights", r.model.weights},
          {"hash", r.model.hash},
          {"device", r.device.name},
          {"started_at", r.summary.started_at}};
}

OrderedJson answer_json(const AnswerRecord* item) {
  if (item == nullptr) return nullptr;
  return {{"seconds", item->seconds},
          {"ttft_s", json_of(item->ttft_s)},
          {"tpot_s", json_of(item->tpot_s)},
          {"n_tokens", item->n_tokens()},
          {"finish_reason", item->finish_reason},
          {"answer", item->answer}};
}

/// Scores by type of both runs, types of A first.
struct TypePair {
  std::string type;
  std::optional<TypeScore> a, b;
};
std::vector<TypePair> scores_in_pairs(const Comparison& comparison) {
  std::vector<TypePair> pairs;
  std::map<std::string, size_t> place;
  if (!comparison.scorer) return pairs;
  for (const bool is_b : {false, true}) {
    for (TypeScore& score : scores_by_type(*comparison.run(is_b).record, *comparison.scorer)) {
      const auto [at, is_new] = place.emplace(score.type, pairs.size());
      if (is_new) pairs.push_back({score.type, std::nullopt, std::nullopt});
      TypePair& pair = pairs[at->second];
      (is_b ? pair.b : pair.a) = std::move(score);
    }
  }
  return pairs;
}

OrderedJson score_json(const std::optional<TypeScore>& score) {
  if (!score) return nullptr;
  return {{"n", score->n}, {"mean", score->mean}, {"ci95", json_of(score->ci95)}};
}

struct MetricPair {
  const NamedMetric* a = nullptr;
  const NamedMetric* b = nullptr;
};
/// Metrics that both records have, in A's order.
std::vector<MetricPair> common_metrics(const Comparison& comparison) {
  std::map<std::string, const NamedMetric*> of_b;
  for (const NamedMetric& metric : comparison.b.record->metrics) of_b.emplace(metric.name, &metric);
  std::vector<MetricPair> pairs;
  for (const NamedMetric& metric : comparison.a.record->metrics) {
    const auto at = of_b.find(metric.name);
    if (at != of_b.end()) pairs.push_back({&metric, at->second});
  }
  return pairs;
}

OrderedJson metric_json(const NamedMetric& named) {
  return {{"median", named.metric.median},
          {"ci95", json_of(named.metric.ci95)},
          {"n", named.metric.samples.size()}};
}

OrderedJson published_json(const Published* published) {
  if (published == nullptr) return nullptr;
  OrderedJson runs = OrderedJson::array();
  for (const PublishedRun& run : published->runs) {
    OrderedJson seconds = OrderedJson::object();
    for (const auto& [id, value] : run.seconds) seconds[id] = value;
    runs.push_back({{"name", run.name},
                    {"load_s", json_of(run.load_s)},
                    {"total_s", json_of(run.total_s)},
                    {"mean_s", json_of(run.mean_s)},
                    {"seconds", seconds}});
  }
  return {{"title", published->title.at("en")}, {"setting", published->setting.at("en")}, {"runs", runs}};
}

/// A row of the CSV; numbers that are not there are empty.
struct Row {
  std::string kind, name, type, unit;
  int64_t sample = 0;
  Number a, b;
  std::optional<Interval> ci95 = {};
  Number p = {}, p_holm = {};
  std::string verdict = {};
};

std::string number(const Number& value) { return value ? fmt::format("{}", *value) : ""; }

std::string csv_row(const Row& row) {
  const Number difference = row.a && row.b ? Number(*row.b - *row.a) : std::nullopt;
  return fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{}\n", csv_cell(row.kind), csv_cell(row.name),
                     row.sample, csv_cell(row.type), csv_cell(row.unit), number(row.a), number(row.b),
                     number(difference), number(row.ci95 ? Number(row.ci95->low) : std::nullopt),
                     number(row.ci95 ? Number(row.ci95->high) : std::nullopt), number(row.p),
                     number(row.p_holm), row.verdict);
}

std::string csv_of_pair(const AnswerPair& pair) {
  const AnswerRecord& item = pair.any();
  const auto row = [&](std::string_view kind, std::string_view unit, const FigureOf& of) {
    return csv_row({std::string(kind), item.id, item.type, std::string(unit), item.sample,
                    pair.a != nullptr ? of(*pair.a) : std::nullopt,
                    pair.b != nullptr ? of(*pair.b) : std::nullopt});
  };
  return row("seconds", "s", [](const AnswerRecord& i) { return Number(i.seconds); }) +
         row("ttft", "s", [](const AnswerRecord& i) { return i.ttft_s; }) +
         row("tpot", "s", [](const AnswerRecord& i) { return i.tpot_s; }) +
         row("tokens", "tokens",
             [](const AnswerRecord& i) { return Number(static_cast<double>(i.n_tokens())); });
}

/// 1 for the answer that the judge prefers, 0 for the other.
std::string csv_of_verdict(const PairVerdict& verdict) {
  const auto won = [&](Preference preference) {
    return verdict.state == PairState::kFailed ? Number()
                                               : Number(verdict.preference() == preference ? 1 : 0);
  };
  Row row{"judge",
          verdict.id,
          verdict.type,
          "preferred",
          verdict.sample,
          won(Preference::kFirst),
          won(Preference::kSecond)};
  row.verdict = verdict_name(verdict);
  return csv_row(row);
}

}  // namespace

OrderedJson compare_json(const Comparison& comparison) {
  OrderedJson json;
  json["schema"] = kComparisonSchema;
  json["runs"] = {{"a", run_json(comparison.a)}, {"b", run_json(comparison.b)}};
  json["summary"] = {{"en", verdict_summary(comparison, Lang::kEn)},
                     {"zh", verdict_summary(comparison, Lang::kZh)}};
  json["differences"] = OrderedJson::array();
  for (const Difference& d : differences(comparison, Lang::kEn)) {
    json["differences"].push_back(
        {{"kind", title_of(d.group, Lang::kEn)}, {"what", d.title}, {"a", d.a}, {"b", d.b}});
  }
  json["warnings"] = comparison_warnings(comparison, Lang::kEn);
  json["claims"] = OrderedJson::array();
  for (const Claim& claim : comparison.claims) json["claims"].push_back(claim_json(claim, comparison));
  json["scorer"] = comparison.scorer ? OrderedJson(comparison.scorer->scorer) : OrderedJson(nullptr);
  json["scores"] = OrderedJson::array();
  for (const TypePair& pair : scores_in_pairs(comparison)) {
    json["scores"].push_back({{"type", pair.type.empty() ? OrderedJson(nullptr) : OrderedJson(pair.type)},
                              {"a", score_json(pair.a)},
                              {"b", score_json(pair.b)}});
  }
  json["metrics"] = OrderedJson::array();
  for (const MetricPair& pair : common_metrics(comparison)) {
    json["metrics"].push_back({{"name", pair.a->name},
                               {"unit", pair.a->unit},
                               {"a", metric_json(*pair.a)},
                               {"b", metric_json(*pair.b)}});
  }
  json["judge"] = judgement_json(comparison);
  json["questions"] = OrderedJson::array();
  for (const AnswerPair& pair : comparison.pairs) {
    const AnswerRecord& item = pair.any();
    json["questions"].push_back({{"id", item.id},
                                 {"sample", item.sample},
                                 {"type", item.type},
                                 {"prompt", item.prompt},
                                 {"a", answer_json(pair.a)},
                                 {"b", answer_json(pair.b)}});
  }
  json["published"] = published_json(comparison.published);
  return json;
}

std::string compare_csv(const Comparison& comparison) {
  std::string text = "kind,name,sample,type,unit,a,b,difference,ci95_low,ci95_high,p,p_holm,verdict\n";
  for (const Claim& claim : comparison.claims) {
    const bool has_figures = claim.has_figures();
    text += csv_row({"claim", claim.topic, claim.type, claim.unit, 0,
                     has_figures ? Number(claim.mean_a) : std::nullopt,
                     has_figures ? Number(claim.mean_b) : std::nullopt, claim.ci95, claim.p, claim.p_holm,
                     std::string(name_of(claim.verdict))});
  }
  const auto mean = [](const std::optional<TypeScore>& score) {
    return score ? Number(score->mean) : std::nullopt;
  };
  for (const TypePair& pair : scores_in_pairs(comparison)) {
    const bool is_points = comparison.scorer->kind == ScoreKind::kPoints;
    text += csv_row({"score", comparison.scorer->scorer, pair.type, is_points ? "points" : "share", 0,
                     mean(pair.a), mean(pair.b)});
  }
  for (const MetricPair& pair : common_metrics(comparison)) {
    text +=
        csv_row({"metric", pair.a->name, "", pair.a->unit, 0, pair.a->metric.median, pair.b->metric.median});
  }
  for (const AnswerPair& pair : comparison.pairs) text += csv_of_pair(pair);
  if (comparison.judgement) {
    for (const PairVerdict& verdict : comparison.judgement->verdicts) text += csv_of_verdict(verdict);
  }
  return text;
}

}  // namespace chaski
