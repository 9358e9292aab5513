// See sampler.h.
#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>

#include "base/error.h"
#include "base/rng.h"

namespace chaski {
namespace {

// Whole vocabularies are walked a few times, in loops that compilers turn into vector code (kLanes partial
// results, fixed by the source and not by the machine). What is sorted is only what may stay.
constexpr size_t kLanes = 8;

/// Arrays of a whole vocabulary that a thread keeps: their pages are faulted in once.
struct Scratch {
  std::vector<float> scores, probs;
  std::vector<double> weights;
};
Scratch& scratch_of_thread() {
  thread_local Scratch scratch;
  return scratch;
}

/// A token still in the race. `weight` is exp(score − best score): softmax before the division.
struct Entry {
  int32_t id = 0;
  float score = 0;
  double weight = 0;
  float prob = 0;  ///< among those left when normalise() was last called
};

void apply_penalties(std::vector<float>& scores, const SamplingParams& params, const TokenCounts& counts) {
  const auto repetition = static_cast<float>(params.repetition_penalty);
  const auto presence = static_cast<float>(params.presence_penalty);
  const auto frequency = static_cast<float>(params.frequency_penalty);
  if (repetition == 1.0F && presence == 0.0F && frequency == 0.0F) return;
  for (const auto& [id, n_in_output] : counts.tokens()) {
    if (id < 0 || static_cast<size_t>(id) >= scores.size()) continue;
    float& score = scores[static_cast<size_t>(id)];
    score = score < 0 ? score * repetition : score / repetition;
    if (n_in_output == 0) continue;
    score -= presence;
    score -= frequency * static_cast<float>(n_in_output);
  }
}

/// The best of every kColumns-th score, from each of the first kColumns on, and whether any score is NaN.
struct Columns {
  static constexpr size_t kColumns = 2048;
  std::array<float, kColumns> best;
  std::array<int32_t, kColumns> is_nan;
};

void look_at_row(const float* row, size_t n, float* best, int32_t* is_nan) {
  for (size_t i = 0; i < n; ++i) {
    best[i] = row[i] > best[i] ? row[i] : best[i];
    is_nan[i] |= row[i] != row[i] ? 1 : 0;
  }
}

void look_at(const std::vector<float>& scores, Columns& columns) {
  columns.best.fill(-HUGE_VALF);
  columns.is_nan.fill(0);
  for (size_t i = 0; i < scores.size(); i += Columns::kColumns) {
    const size_t n = std::min(Columns::kColumns, scores.size() - i);
    look_at_row(scores.data() + i, n, columns.best.data(), columns.is_nan.data());
  }
}

/// Index of the first largest score; nothing where one is NaN or the largest is not finite.
std::optional<size_t> best_of(const std::vector<float>& scores, const Columns& columns) {
  const float largest = *std::max_element(columns.best.begin(), columns.best.end());
  const bool has_nan = std::find(columns.is_nan.begin(), columns.is_nan.end(), 1) != columns.is_nan.end();
  if (!std::isfinite(largest) || has_nan) return std::nullopt;
  return static_cast<size_t>(std::find(scores.begin(), scores.end(), largest) - scores.begin());
}

/// The score that the k best reach; k > 0. What the k best columns' bests reach is reached by at least k:
/// only that is looked at closely.
float kth_largest(const std::vector<float>& scores, const Columns& columns, int64_t k) {
  const size_t nth = std::min(static_cast<size_t>(k), scores.size()) - 1;
  const auto select = [nth](std::vector<float>& values) {
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(nth), values.end(),
                     std::greater<>());
    return values[nth];
  };
  std::vector<float> close;
  if (nth < columns.best.size() && columns.best.size() < scores.size()) {
    close.assign(columns.best.begin(), columns.best.end());
    const float least = select(close);
    close.clear();
    std::copy_if(scores.begin(), scores.end(), std::back_inserter(close),
                 [least](float score) { return score >= least; });
  } else {
    close = scores;
  }
  return select(close);
}

/// exp(x) for x from −708 to 0, within a unit or two of the last place of float64: 2^n exp(r), |r| ≤ ln 2
/// / 2.
inline double exp_of(double x) {
  constexpr double kLog2E = 1.4426950408889634074, kRound = 0x1.8p52;
  constexpr double kLn2High = 0x1.62e42fee00000p-1, kLn2Low = 0x1.a39ef35793c76p-33;
  const double shifted = x * kLog2E + kRound;  // its last bits are n
  const double n = shifted - kRound;
  const double r = (x - n * kLn2High) - n * kLn2Low;
  // Taylor's series to r^13 / 13!, by Horner.
  double sum = r * (1.0 / 6227020800) + 1.0 / 479001600;
  sum = (sum * r + 1.0 / 39916800) * r + 1.0 / 3628800;
  sum = (sum * r + 1.0 / 362880) * r + 1.0 / 40320;
  sum = (sum * r + 1.0 / 5040) * r + 1.0 / 720;
  sum = (sum * r + 1.0 / 120) * r + 1.0 / 24;
  sum = ((sum * r + 1.0 / 6) * r + 0.5) * r + 1.0;
  sum = sum * r + 1.0;
  const uint64_t exponent = (std::bit_cast<uint64_t>(shifted) + 1023) << 52;
  return sum * std::bit_cast<double>(exponent);
}

/// exp(score − best_score) of n scores.
void weigh(const float* scores, size_t n, float best_score, double* weights) {
  for (size_t i = 0; i < n; ++i) {
    const float distance = scores[i] - best_score;
    weights[i] = static_cast<double>(distance < -708.0F ? -708.0F : distance);
  }
  for (size_t i = 0; i < n; ++i) weights[i] = exp_of(weights[i]);
}

double sum_of(const double* values, size_t n) {
  std::array<double, kLanes> sums{};
  const size_t n_whole = n - n % kLanes;
  for (size_t i = 0; i < n_whole; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] += values[i + lane];
  }
  double sum = 0;
  for (size_t i = n_whole; i < n; ++i) sum += values[i];
  for (const double part : sums) sum += part;
  return sum;
}

void divide(const double* weights, size_t n, double total, float* probs) {
  for (size_t i = 0; i < n; ++i) probs[i] = static_cast<float>(weights[i] / total);
}

/// Sum of those of n below `floor`.
double mass_below(const float* probs, size_t n, float floor) {
  std::array<double, kLanes> sums{};
  const size_t n_whole = n - n % kLanes;
  for (size_t i = 0; i < n_whole; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      sums[lane] += static_cast<double>(probs[i + lane] < floor ? probs[i + lane] : 0.0F);
    }
  }
  double sum = 0;
  for (size_t i = n_whole; i < n; ++i) sum += static_cast<double>(probs[i] < floor ? probs[i] : 0.0F);
  for (const double part : sums) sum += part;
  return sum;
}

void normalise(std::vector<Entry>& entries) {
  double total = 0;
  for (const Entry& entry : entries) total += entry.weight;
  for (Entry& entry : entries) entry.prob = static_cast<float>(entry.weight / total);
}

bool is_below(const Entry& a, const Entry& b) { return a.score != b.score ? a.score < b.score : a.id < b.id; }

/// Drops the least likely tokens as long as they sum to no more than 1 − top_p, with the `dropped` that went
/// before. The order only matters around the limit: scores are binned by their distance from the best, and
/// only the bin that holds the limit is sorted.
void keep_top_p(std::vector<Entry>& entries, double top_p, float best_score, double dropped) {
  constexpr int kBins = 512;
  constexpr float kBinsPerUnit = 16;
  const auto bin_of = [best_score](const Entry& entry) {
    const float distance = (best_score - entry.score) * kBinsPerUnit;
    return distance < kBins - 1 ? static_cast<size_t>(distance) : size_t{kBins - 1};
  };
  const auto limit = static_cast<float>(1 - top_p);
  std::array<double, kBins> mass{};
  for (const Entry& entry : entries) mass[bin_of(entry)] += static_cast<double>(entry.prob);

  size_t bin = kBins - 1;
  for (; bin > 0 && static_cast<float>(dropped + mass[bin]) <= limit; --bin) dropped += mass[bin];
  std::vector<Entry> at_limit;
  for (const Entry& entry : entries) {
    if (bin_of(entry) == bin) at_limit.push_back(entry);
  }
  std::sort(at_limit.begin(), at_limit.end(), is_below);
  size_t first_kept = 0;
  for (; first_kept + 1 < at_limit.size(); ++first_kept) {
    dropped += static_cast<double>(at_limit[first_kept].prob);
    if (static_cast<float>(dropped) > limit) break;
  }
  const Entry least = at_limit[first_kept];
  std::erase_if(entries, [&](const Entry& entry) { return is_below(entry, least); });
}

/// Drops tokens less likely than min_p times the most likely.
void keep_min_p(std::vector<Entry>& entries, double min_p) {
  const auto most_likely = std::max_element(entries.begin(), entries.end(), is_below);
  const float limit = static_cast<float>(min_p) * most_likely->prob;
  std::erase_if(entries, [limit](const Entry& entry) { return entry.prob < limit; });
}

/// The top_k best and their equals.
std::vector<Entry> entries_of_best(const std::vector<float>& scores, const Columns& columns, int64_t top_k,
                                   float best_score) {
  const float least = kth_largest(scores, columns, top_k);
  std::vector<Entry> entries;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] < least || scores[i] == -HUGE_VALF) continue;
    const double weight = std::exp(static_cast<double>(scores[i] - best_score));
    entries.push_back({static_cast<int32_t>(i), scores[i], weight, 0});
  }
  normalise(entries);
  return entries;
}

/// Softmax of all scores into scratch.probs; gives the sum it divided by.
double softmax(const std::vector<float>& scores, float best_score, Scratch& scratch) {
  const size_t n = scores.size();
  scratch.weights.resize(n);
  scratch.probs.resize(n);
  weigh(scores.data(), n, best_score, scratch.weights.data());
  const double total = sum_of(scratch.weights.data(), n);
  divide(scratch.weights.data(), n, total, scratch.probs.data());
  return total;
}

/// Of all tokens those that top_p or min_p may leave; what is sure to go has the probability `dropped`.
std::vector<Entry> entries_that_may_stay(const std::vector<float>& scores, const SamplingParams& params,
                                         float best_score, double& dropped) {
  Scratch& scratch = scratch_of_thread();
  const double total = softmax(scores, best_score, scratch);
  const std::vector<float>& probs = scratch.probs;
  // Tokens of less than an equal share of what top_p drops cannot fill it; the last factor is for rounding.
  const double floor =
      params.top_p < 1.0 ? (1 - params.top_p) / static_cast<double>(scores.size()) : params.min_p / total;
  const auto least = static_cast<float>(floor * (1 - 1e-5));
  dropped = mass_below(probs.data(), probs.size(), least);
  std::vector<Entry> entries;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (probs[i] < least || scores[i] == -HUGE_VALF) continue;
    const double weight = std::exp(static_cast<double>(scores[i] - best_score));
    entries.push_back({static_cast<int32_t>(i), scores[i], weight, probs[i]});
  }
  return entries;
}

/// Every token that is not masked.
std::vector<Candidate> all_candidates(const std::vector<float>& scores, float best_score) {
  Scratch& scratch = scratch_of_thread();
  softmax(scores, best_score, scratch);
  std::vector<Candidate> candidates;
  candidates.reserve(scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] != -HUGE_VALF) candidates.push_back({static_cast<int32_t>(i), scratch.probs[i]});
  }
  return candidates;
}

}  // namespace

void TokenCounts::add_prompt(std::span<const int32_t> ids) {
  for (const int32_t id : ids) output_count_.try_emplace(id, 0);
}

std::vector<Candidate> filtered(std::span<const float> logits, const SamplingParams& params,
                                const TokenCounts& counts) {
  std::vector<float>& scores = scratch_of_thread().scores;
  scores.assign(logits.begin(), logits.end());
  apply_penalties(scores, params, counts);
  if (!params.is_greedy() && params.temperature != 1.0) {
    const auto temperature = static_cast<float>(params.temperature);
    for (float& score : scores) score /= temperature;
  }
  Columns columns;
  look_at(scores, columns);
  const std::optional<size_t> best = best_of(scores, columns);
  if (!best) return {};
  if (params.is_greedy()) return {{static_cast<int32_t>(*best), 1.0F}};

  const float best_score = scores[*best];
  if (params.top_k == 0 && params.top_p >= 1.0 && params.min_p == 0.0) {
    return all_candidates(scores, best_score);
  }
  double dropped = 0;
  std::vector<Entry> entries = params.top_k > 0 ? entries_of_best(scores, columns, params.top_k, best_score)
                                                : entries_that_may_stay(scores, params, best_score, dropped);
  if (params.top_p < 1.0) {
    keep_top_p(entries, params.top_p, best_score, dropped);
    normalise(entries);
  }
  if (params.min_p > 0.0) {
    keep_min_p(entries, params.min_p);
    normalise(entries);
  }
  std::vector<Candidate> candidates;
  candidates.reserve(entries.size());
  for (const Entry& entry : entries) candidates.push_back({entry.id, entry.prob});
  return candidates;
}

std::optional<int32_t> sample(std::span<const float> logits, const SamplingParams& params,
                              const TokenCounts& counts, uint64_t position) {
  const std::vector<Candidate> candidates = filtered(logits, params, counts);
  if (candidates.empty()) return std::nullopt;
  double total = 0;
  for (const Candidate& candidate : candidates) total += static_cast<double>(candidate.prob);
  const double target = uniform01(params.seed, params.sample, position) * total;
  double reached = 0;
  const Candidate* chosen = nullptr;
  for (const Candidate& candidate : candidates) {
    if (candidate.prob == 0) continue;
    chosen = &candidate;
    reached += static_cast<double>(candidate.prob);
    if (target < reached) break;
  }
  CHECK(chosen != nullptr, "{} candidates and none has a probability", candidates.size());
  return chosen->id;
}

}  // namespace chaski
