// Which claims there are, their tests, and how they are decided. Their words are in claim_text.cpp.
#include "report/claims.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "report/comparison.h"

namespace chaski {
namespace {

constexpr double kAlpha = 0.05;
constexpr double kRelativeMargin = 0.05;  // of A's and B's mean: times and rates
constexpr double kPointsMargin = 0.25;    // of five points
constexpr double kShareMargin = 0.02;
constexpr double kPointsSpan = 4;  // from one point to five
constexpr size_t kMostTypes =
    12;  // with a claim of their own: each claim makes every other one harder to support

struct Topic {
  std::string_view name, unit;
  bool is_higher_better;
};

constexpr std::array<Topic, 11> kTopics{{
    {"faster_per_question", "s", false},
    {"faster_per_token", "ms", false},
    {"starts_sooner", "s", false},
    {"decodes_faster", "tokens/s", true},
    {"prefills_faster", "tokens/s", true},
    {"scores_higher", "points", true},
    {"right_more_often", "share", true},
    {"preferred_by_judge", "share", true},
    {"less_memory", "bytes", false},
    {"less_energy", "J", false},
    {"never_failed", "failures", false},
}};

const Topic& topic_of(std::string_view name) {
  const auto* at =
      std::find_if(kTopics.begin(), kTopics.end(), [&](const Topic& t) { return t.name == name; });
  CHECK(at != kTopics.end(), "unknown topic {}", name);
  return *at;
}

Claim claim_on(std::string_view name, std::string type = {}) {
  const Topic& topic = topic_of(name);
  Claim claim;
  claim.topic = topic.name;
  claim.type = std::move(type);
  claim.unit = topic.unit;
  claim.is_higher_better = topic.is_higher_better;
  return claim;
}

double mean_of(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double margin_for(const Claim& claim) {
  if (claim.unit == "points") return kPointsMargin;
  if (claim.unit == "share") return kShareMargin;
  return kRelativeMargin * std::max(std::abs(claim.mean_a), std::abs(claim.mean_b));
}

/// The test of figures `a` and `b` in an order that does not depend on which is called which, so that a
/// comparison and its mirror image agree to the last bit.
PairedTest mirrored(const std::vector<double>& a, const std::vector<double>& b, bool is_paired) {
  const auto test = [is_paired](const std::vector<double>& first, const std::vector<double>& second) {
    return is_paired ? paired_permutation_test(first, second) : permutation_test(first, second);
  };
  if (!(b < a)) return test(a, b);
  PairedTest result = test(b, a);
  result.mean_difference = -result.mean_difference;
  if (result.ci95) result.ci95 = Interval{-result.ci95->high, -result.ci95->low};
  return result;
}

void fill_test(Claim& claim, const std::vector<double>& a, const std::vector<double>& b, TestMethod test) {
  if (a.empty() || b.empty()) return;
  claim.test = test;
  claim.mean_a = mean_of(a);
  claim.mean_b = mean_of(b);
  claim.difference = claim.mean_b - claim.mean_a;
  claim.margin = margin_for(claim);
  claim.n = static_cast<int64_t>(a.size());
  claim.n_b = static_cast<int64_t>(b.size());
  if (a.size() < 2 || b.size() < 2) {
    claim.ground = Ground::kOneReading;
    return;
  }
  const PairedTest result = mirrored(a, b, test == TestMethod::kPaired);
  claim.ci95 = result.ci95;
  claim.p = result.p_value;
  claim.ground = Ground::kNoEvidence;
}

const NamedMetric* metric_of(const RunRecord& record, std::string_view name) {
  const auto at = std::find_if(record.metrics.begin(), record.metrics.end(),
                               [&](const NamedMetric& metric) { return metric.name == name; });
  return at == record.metrics.end() || at->metric.samples.empty() ? nullptr : &*at;
}

void keep_from(Claim& claim, Obstacle obstacle) {
  claim.ground = Ground::kNotComparable;
  claim.obstacle = obstacle;
}

/// From the questions that both runs answered.
Claim paired_claim(const Comparison& c, std::string_view topic, const FigureOf& figure_of) {
  Claim claim = claim_on(topic);
  Obstacle obstacle = answer_time_obstacle(*c.a.record, *c.b.record);
  const bool is_shared = std::any_of(c.pairs.begin(), c.pairs.end(), std::mem_fn(&AnswerPair::is_whole));
  if (obstacle == Obstacle::kNone && !is_shared) obstacle = Obstacle::kQuestions;
  if (obstacle != Obstacle::kNone) {
    keep_from(claim, obstacle);
    return claim;
  }
  const PairedFigures figures = paired_figures(c.pairs, figure_of);
  fill_test(claim, figures.a, figures.b, TestMethod::kPaired);
  return claim;
}

/// From the samples of a metric that both records have.
Claim sampled_claim(const Comparison& c, std::string_view topic, std::string_view metric) {
  Claim claim = claim_on(topic);
  const NamedMetric* a = metric_of(*c.a.record, metric);
  const NamedMetric* b = metric_of(*c.b.record, metric);
  if (a == nullptr || b == nullptr) return claim;
  if (const Obstacle found = metric_obstacle(*c.a.record, *c.b.record, metric); found != Obstacle::kNone) {
    keep_from(claim, found);
    return claim;
  }
  fill_test(claim, a->metric.samples, b->metric.samples, TestMethod::kUnpaired);
  return claim;
}

bool has_both(const Comparison& c, std::string_view metric) {
  return metric_of(*c.a.record, metric) != nullptr && metric_of(*c.b.record, metric) != nullptr;
}

void add_speed(const Comparison& c, std::vector<Claim>& claims) {
  if (!c.pairs.empty()) {
    // A failed answer has no time to its end.
    claims.push_back(paired_claim(c, "faster_per_question", [](const AnswerRecord& item) {
      return item.finish_reason == "error" ? std::nullopt : std::optional<double>(item.seconds);
    }));
    claims.push_back(paired_claim(c, "faster_per_token", [](const AnswerRecord& item) {
      return item.tpot_s ? std::optional<double>(*item.tpot_s * 1e3) : std::nullopt;
    }));
    claims.push_back(paired_claim(c, "starts_sooner", [](const AnswerRecord& item) { return item.ttft_s; }));
    return;
  }
  for (const auto& [topic, metric] : {std::pair{"starts_sooner", "ttft_s"},
                                      {"decodes_faster", "decode_tokens_per_s"},
                                      {"prefills_faster", "prefill_tokens_per_s"}}) {
    if (has_both(c, metric)) claims.push_back(sampled_claim(c, topic, metric));
  }
}

/// On all questions together and on each type, where they are not too many; `figures` are by type.
void add_by_type(const Comparison& c, std::string_view topic,
                 const std::map<std::string, PairedFigures>& figures, Obstacle obstacle,
                 std::vector<Claim>& claims) {
  if (obstacle != Obstacle::kNone) {
    claims.push_back(claim_on(topic));
    return keep_from(claims.back(), obstacle);
  }
  std::vector<std::string> types{""};
  const std::vector<std::string> all = types_of(*c.a.record);
  if (all.size() > 1 && all.size() <= kMostTypes) types.insert(types.end(), all.begin(), all.end());
  for (const std::string& type : types) {
    const auto at = figures.find(type);
    if (at == figures.end()) continue;
    Claim claim = claim_on(topic, type);
    fill_test(claim, at->second.a, at->second.b, TestMethod::kPaired);
    claims.push_back(std::move(claim));
  }
}

void add_scores(const Comparison& c, std::vector<Claim>& claims) {
  if (!c.scorer) return;
  const std::string_view topic = c.scorer->kind == ScoreKind::kPoints ? "scores_higher" : "right_more_often";
  const std::map<std::string, PairedFigures> scores = paired_scores(c);
  Obstacle obstacle = scoring_obstacle(*c.a.record, *c.b.record);
  if (obstacle == Obstacle::kNone && scores.empty()) obstacle = Obstacle::kQuestions;
  add_by_type(c, topic, scores, obstacle, claims);
}

/// A judge who mostly follows the order makes ties, which would pass for answers of equal worth.
void add_preferences(const Comparison& c, std::vector<Claim>& claims) {
  if (!c.judgement) return;
  const std::map<std::string, PairedFigures> preferences = paired_preferences(c);
  const Obstacle obstacle = preferences.empty()                               ? Obstacle::kNoVerdict
                            : pair_counts(*c.judgement).front().is_unsteady() ? Obstacle::kUnsteady
                                                                              : Obstacle::kNone;
  add_by_type(c, "preferred_by_judge", preferences, obstacle, claims);
  for (const PairCounts& counts : pair_counts(*c.judgement)) {
    for (Claim& claim : claims) {
      if (claim.topic != "preferred_by_judge" || claim.type != counts.type || !counts.is_unsteady()) continue;
      claim = claim_on(claim.topic, claim.type);
      keep_from(claim, Obstacle::kUnsteady);
    }
  }
}

void add_memory(const Comparison& c, std::vector<Claim>& claims) {
  Claim claim = claim_on("less_memory");
  const int64_t a = memory_of(*c.a.record).allotted_bytes();
  const int64_t b = memory_of(*c.b.record).allotted_bytes();
  const Obstacle obstacle = memory_obstacle(*c.a.record, *c.b.record);
  if (a > 0 && b > 0 && obstacle != Obstacle::kNone) {
    keep_from(claim, obstacle);
  } else if (a > 0 && b > 0) {
    claim.mean_a = static_cast<double>(a);
    claim.mean_b = static_cast<double>(b);
    claim.difference = claim.mean_b - claim.mean_a;
    claim.margin = 0.01 * std::max(claim.mean_a, claim.mean_b);
    const bool is_same = std::abs(claim.difference) <= claim.margin;
    claim.ground = is_same ? Ground::kEquivalent : b < a ? Ground::kCounted : Ground::kOpposite;
    claim.verdict = !is_same && b < a ? Verdict::kSupported : Verdict::kNotSupported;
  }
  claims.push_back(std::move(claim));
}

/// The first reading of that phase, by that meter or by any.
const EnergyRecord* energy_of(const RunRecord& record, std::string_view phase,
                              const std::optional<std::string>& source) {
  for (const EnergyRecord& energy : record.energy) {
    if (energy.phase == phase && energy.joules && energy.n_tokens > 0 &&
        (!source || energy.source == *source))
      return &energy;
  }
  return nullptr;
}

/// J per token: the metric's samples, else one reading each of decoding alone, else of a whole eval. A phase
/// of prompts has hardly any tokens to divide by.
void add_energy(const Comparison& c, std::vector<Claim>& claims) {
  claims.push_back(sampled_claim(c, "less_energy", "joules_per_token"));
  Claim& claim = claims.back();
  if (claim.ground != Ground::kNotMeasured) return;
  bool has_a = false, has_b = false;
  for (const std::string_view phase : {"decode", "eval"}) {
    const EnergyRecord* a = energy_of(*c.a.record, phase, {});
    has_a = has_a || a != nullptr;
    has_b = has_b || energy_of(*c.b.record, phase, {}) != nullptr;
    const EnergyRecord* b = a == nullptr ? nullptr : energy_of(*c.b.record, phase, a->source);
    if (b == nullptr) continue;
    const Obstacle obstacle = metric_obstacle(*c.a.record, *c.b.record, "joules_per_token");
    if (obstacle != Obstacle::kNone) return keep_from(claim, obstacle);
    claim.mean_a = *a->joules / static_cast<double>(a->n_tokens);
    claim.mean_b = *b->joules / static_cast<double>(b->n_tokens);
    claim.difference = claim.mean_b - claim.mean_a;
    claim.margin = margin_for(claim);
    claim.n = claim.n_b = 1;
    claim.ground = Ground::kOneReading;
    return;
  }
  if (has_a && has_b) keep_from(claim, Obstacle::kPhase);
}

struct Attempts {
  int64_t n = 0, n_failed = 0;
};
int64_t count_in(const OrderedJson& settings, std::string_view name) {
  const auto at = settings.find(name);
  return at != settings.end() && at->is_number_integer() ? std::max<int64_t>(at->get<int64_t>(), 0) : 0;
}
/// Questions and repeats; of a server's bench the requests, whose answers are not kept.
Attempts attempts_of(const RunRecord& record) {
  Attempts attempts{count_in(record.settings, "n_requests"), count_in(record.settings, "n_failed")};
  if (!record.items.empty()) {
    attempts = {static_cast<int64_t>(record.items.size()), static_cast<int64_t>(record.failures.size())};
  }
  if (record.stability) {
    attempts.n += record.stability->n_repeats;
    attempts.n_failed +=
        record.stability->n_errors + record.stability->n_crashes + record.stability->n_nonfinite;
  }
  return attempts;
}

/// Of both runs, and of what was tried alone: the upper bound of the rate is in the test's line.
void add_failures(const Comparison& c, std::vector<Claim>& claims) {
  Claim claim = claim_on("never_failed");
  const Attempts a = attempts_of(*c.a.record);
  const Attempts b = attempts_of(*c.b.record);
  if (a.n == 0 && b.n == 0) return;  // a bench has nothing that could be counted
  claim.n = a.n;
  claim.n_b = b.n;
  claim.mean_a = static_cast<double>(a.n_failed);
  claim.mean_b = static_cast<double>(b.n_failed);
  if (a.n > 0 && b.n > 0) {
    const bool is_clean = a.n_failed == 0 && b.n_failed == 0;
    claim.ground = Ground::kCounted;
    claim.verdict = is_clean ? Verdict::kSupported : Verdict::kNotSupported;
  }
  claims.push_back(std::move(claim));
}

/// Holm's step-down correction over all claims that were tested: how many there are.
int64_t correct(std::vector<Claim>& claims) {
  std::vector<Claim*> tested;
  for (Claim& claim : claims) {
    if (claim.p) tested.push_back(&claim);
  }
  std::stable_sort(tested.begin(), tested.end(),
                   [](const Claim* x, const Claim* y) { return *x->p < *y->p; });
  double least = 0;
  for (size_t i = 0; i < tested.size(); ++i) {
    least = std::max(least, std::min(1.0, *tested[i]->p * static_cast<double>(tested.size() - i)));
    tested[i]->p_holm = least;
  }
  return static_cast<int64_t>(tested.size());
}

/// The least p that a paired test of so many pairs can give.
double least_paired_p(int64_t n) { return std::pow(2.0, 1 - static_cast<double>(std::min<int64_t>(n, 60))); }

double least_p(const Claim& claim) {
  if (claim.test == TestMethod::kPaired) return least_paired_p(claim.n);
  const auto n = static_cast<double>(claim.n);
  const auto m = static_cast<double>(claim.n_b);
  return 2 * std::exp(std::lgamma(n + 1) + std::lgamma(m + 1) - std::lgamma(n + m + 1));
}

/// From best to worst figure that there can be.
double span_of(const Claim& claim) {
  if (claim.unit == "points") return kPointsSpan;
  return claim.unit == "share" ? 1 : std::numeric_limits<double>::infinity();
}

/// Whether the interval keeps all differences that matter out. A bootstrap of differences that are all alike
/// has no width whatever their number: then what matters is the share of others that so many leave possible.
bool rules_out_more(const Claim& claim) {
  if (claim.ci95->low < claim.ci95->high) return true;
  const double share = 1 - std::pow(0.05, 1 / static_cast<double>(std::min(claim.n, claim.n_b)));
  return share * span_of(claim) <= claim.margin;
}

void decide(Claim& claim, int64_t n_tested) {
  claim.verdict = Verdict::kUndecided;
  const bool leaves_out_zero = claim.ci95 && (claim.ci95->low > 0 || claim.ci95->high < 0);
  const bool is_small = claim.ci95 && claim.ci95->low >= -claim.margin && claim.ci95->high <= claim.margin;
  if (is_small) {  // before significance: what is of no account is no advantage, however certain
    const bool is_shown = rules_out_more(claim);
    if (is_shown) claim.verdict = Verdict::kNotSupported;
    claim.ground = is_shown ? Ground::kEquivalent : Ground::kUnvaried;
  } else if (*claim.p_holm < kAlpha && leaves_out_zero) {
    const bool b_is_better = (claim.difference > 0) == claim.is_higher_better;
    claim.verdict = b_is_better ? Verdict::kSupported : Verdict::kNotSupported;
    claim.ground = b_is_better ? Ground::kTested : Ground::kOpposite;
  } else {
    const bool is_few = !claim.ci95 || least_p(claim) * static_cast<double>(n_tested) >= kAlpha;
    claim.ground = is_few ? Ground::kTooFew : Ground::kNoEvidence;
  }
}

}  // namespace

void judge(std::vector<Claim>& claims) {
  const int64_t n_tested = correct(claims);
  for (Claim& claim : claims) {
    if (claim.p) decide(claim, n_tested);
  }
}

int64_t least_questions(int64_t n_tested) {
  int64_t n = 1;
  while (least_paired_p(n) * static_cast<double>(n_tested) >= kAlpha && n < 60) ++n;
  return n;
}

std::vector<Claim> claims_of(const Comparison& comparison) {
  std::vector<Claim> claims;
  add_speed(comparison, claims);
  add_scores(comparison, claims);
  add_preferences(comparison, claims);
  add_memory(comparison, claims);
  add_energy(comparison, claims);
  add_failures(comparison, claims);
  judge(claims);
  return claims;
}

}  // namespace chaski
