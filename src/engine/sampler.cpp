// See sampler.h.
#include "engine/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "base/rng.h"

namespace chaski {
namespace {

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

/// Index of the first largest score; nothing where one is NaN or the largest is not finite.
std::optional<size_t> best_of(const std::vector<float>& scores) {
  std::optional<size_t> best;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (std::isnan(scores[i])) return std::nullopt;
    if (!best || scores[i] > scores[*best]) best = i;
  }
  if (!best || !std::isfinite(scores[*best])) return std::nullopt;
  return best;
}

/// The score that the k best reach; k > 0.
float kth_largest(std::vector<float> scores, int64_t k) {
  const auto nth = scores.begin() + (std::min(k, static_cast<int64_t>(scores.size())) - 1);
  std::nth_element(scores.begin(), nth, scores.end(), std::greater<>());
  return *nth;
}

void normalise(std::vector<Entry>& entries) {
  double total = 0;
  for (const Entry& entry : entries) total += entry.weight;
  for (Entry& entry : entries) entry.prob = static_cast<float>(entry.weight / total);
}

bool is_below(const Entry& a, const Entry& b) { return a.score != b.score ? a.score < b.score : a.id < b.id; }

/// Drops the least likely tokens as long as they sum to no more than 1 − top_p. The order only matters around
/// the limit: scores are binned by their distance from the best, and only the bin that holds the limit is
/// sorted.
void keep_top_p(std::vector<Entry>& entries, double top_p, float best_score) {
  constexpr int kBins = 512;
  constexpr float kBinsPerUnit = 16;
  const auto bin_of = [best_score](const Entry& entry) {
    const float distance = (best_score - entry.score) * kBinsPerUnit;
    return distance < kBins - 1 ? static_cast<size_t>(distance) : size_t{kBins - 1};
  };
  const auto limit = static_cast<float>(1 - top_p);
  std::array<double, kBins> mass{};
  for (const Entry& entry : entries) mass[bin_of(entry)] += static_cast<double>(entry.prob);

  double dropped = 0;
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

}  // namespace

void TokenCounts::add_prompt(std::span<const int32_t> ids) {
  for (const int32_t id : ids) output_count_.try_emplace(id, 0);
}

std::vector<Candidate> filtered(std::span<const float> logits, const SamplingParams& params,
                                const TokenCounts& counts) {
  std::vector<float> scores(logits.begin(), logits.end());
  apply_penalties(scores, params, counts);
  if (!params.is_greedy() && params.temperature != 1.0) {
    const auto temperature = static_cast<float>(params.temperature);
    for (float& score : scores) score /= temperature;
  }
  const std::optional<size_t> best = best_of(scores);
  if (!best) return {};
  if (params.is_greedy()) return {{static_cast<int32_t>(*best), 1.0F}};

  const float best_score = scores[*best];
  const float least = params.top_k > 0 ? kth_largest(scores, params.top_k) : -HUGE_VALF;
  std::vector<Entry> entries;
  if (params.top_k == 0) entries.reserve(scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] < least || scores[i] == -HUGE_VALF) continue;
    const double weight = std::exp(static_cast<double>(scores[i] - best_score));
    entries.push_back({static_cast<int32_t>(i), scores[i], weight, 0});
  }
  normalise(entries);
  if (params.top_p < 1.0) {
    keep_top_p(entries, params.top_p, best_score);
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
