// See speculation.h.
#include "engine/speculation.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/clock.h"

namespace chaski {
namespace {

/// Each row more is taken to cost this share of the smallest step, until it was measured: low enough to try.
constexpr double kFirstSlope = 0.1;
/// A step may be this many times wider than the widest that was timed.
constexpr int32_t kWidening = 4;
/// Guesses must promise this much more speed than none: estimates are noisy.
constexpr double kMargin = 1.1;
/// A mean is believed for this many steps per time it was seen, then it is tried again.
constexpr int64_t kStepsPerSight = 64;
constexpr int64_t kMaxSights = 8;
/// How often an old right or wrong guess still counts at the next, and how many guesses the first estimate
/// is.
constexpr double kFading = 0.95;
constexpr double kFirstWeight = 3;
/// Guesses that cost time and do not pay are tried again after so many steps.
constexpr int32_t kRetrySteps = 48;

}  // namespace

// The cost of steps.

bool StepCosts::is_known(int32_t n_rows) const {
  const Mean& mean = by_rows_[static_cast<size_t>(n_rows)];
  return mean.n_seen > 0 && n_observed_ - mean.seen_at <= kStepsPerSight * std::min(mean.n_seen, kMaxSights);
}

void StepCosts::observe(int32_t n_rows, double seconds) {
  if (by_rows_.size() <= static_cast<size_t>(n_rows)) by_rows_.resize(static_cast<size_t>(n_rows) + 1);
  Mean& mean = by_rows_[static_cast<size_t>(n_rows)];
  const bool is_forgotten = !is_known(n_rows);
  mean.seen_at = ++n_observed_;
  // The first few are averaged; later ones may move the mean by a little only, unless the last was long ago.
  double share = 1.0 / static_cast<double>(std::min<int64_t>(++mean.n_seen, 8));
  if (is_forgotten) share = std::max(share, 0.5);
  const double reach = mean.n_seen <= 2 ? seconds : (is_forgotten ? 2.0 : 0.5) * mean.seconds;
  mean.seconds += share * std::clamp(seconds - mean.seconds, -reach, reach);
}

double StepCosts::of(int32_t n_rows) const {
  int32_t first = 0, below = 0, above = 0;
  for (int32_t n = 1; n < static_cast<int32_t>(by_rows_.size()); ++n) {
    // The smallest step is remembered however long ago it was: it is what guesses are weighed against.
    if (first == 0 ? by_rows_[static_cast<size_t>(n)].n_seen == 0 : !is_known(n)) continue;
    if (first == 0) first = n;
    if (n <= n_rows) below = n;
    if (n >= n_rows && above == 0) above = n;
  }
  const auto seconds = [this](int32_t n) { return by_rows_[static_cast<size_t>(n)].seconds; };
  if (first == 0) return 0;
  if (below == 0) return seconds(above);
  double slope = 0;
  if (above > below) {
    slope = (seconds(above) - seconds(below)) / (above - below);
  } else {
    slope = kFirstSlope * seconds(first);
    if (below > first) slope = std::max(slope, (seconds(below) - seconds(first)) / (below - first));
  }
  return seconds(below) + slope * (n_rows - below);
}

// The worth of guesses.

Speculation::Speculation(std::unique_ptr<Speculator> speculator, const SpeculationLimits& limits)
    : speculator_(std::move(speculator)), limits_(limits) {}

double Speculation::worth_of(const Record& record, int32_t grade) const {
  const Worth& worth = record.worth[static_cast<size_t>(grade)];
  return (worth.n_right + kFirstWeight * speculator_->first_estimate(grade)) / (worth.n_seen + kFirstWeight);
}

void Speculation::came(const Sequence& sequence, size_t index, int32_t token) {
  Record& record = records_[&sequence];
  if (index >= record.guesses.size()) return;
  const Guess& guess = record.guesses[index];
  Worth& worth = record.worth[static_cast<size_t>(guess.grade)];
  worth.n_seen = worth.n_seen * kFading + 1;
  worth.n_right = worth.n_right * kFading + (guess.token == token ? 1 : 0);
}

void Speculation::forget(const Sequence& sequence) {
  records_.erase(&sequence);
  speculator_->forget(sequence);
}

/// Those that were preempted: what is held for them is of use to nobody meanwhile.
void Speculation::forget_all_but(std::span<Sequence* const> sequences) {
  std::vector<const Sequence*> gone;
  for (const auto& [sequence, record] : records_) {
    if (std::find(sequences.begin(), sequences.end(), sequence) == sequences.end()) gone.push_back(sequence);
  }
  for (const Sequence* sequence : gone) forget(*sequence);
}

// The plan of a step.

void Speculation::plan(std::span<Sequence* const> sequences) {
  forget_all_but(sequences);
  bool are_decoding = true;
  for (Sequence* sequence : sequences) {
    sequence->guesses.clear();
    records_[sequence].guesses.clear();
    are_decoding = are_decoding && sequence->is_decoding();
  }
  // Beside a chunk of prompt there is no telling what guesses cost.
  if (sequences.empty() || !are_decoding) return;
  propose(sequences);
  choose(sequences);
}

/// Guesses per sequence that are worth their making: all where they are free.
int32_t Speculation::n_to_ask(std::span<Sequence* const> sequences) {
  const auto n = static_cast<int32_t>(sequences.size());
  const int32_t most = std::min(limits_.max_guesses_per_sequence, limits_.max_guesses / n);
  if (limits_.fixed_guesses > 0) return limits_.fixed_guesses;
  if (speculator_->is_free()) return limits_.max_guesses_per_sequence;
  const double plain_s = costs_.of(n);
  if (plain_s == 0) return 0;
  double worth = 0;
  for (const Sequence* sequence : sequences) worth += worth_of(records_[sequence], 0) / n;
  int32_t best = 0;
  double best_rate = kMargin / plain_s, tokens = 1, survival = 1;
  for (int32_t k = 1; k <= most; ++k) {
    survival *= worth;
    tokens += survival;
    const double rate = tokens / (costs_.of(n * (1 + k)) + n * guess_costs_.of(k));
    if (rate > best_rate) std::tie(best, best_rate) = std::pair(k, rate);
  }
  if (best == 0 && n_since_asked_ < kRetrySteps) {
    ++n_since_asked_;
    return 0;
  }
  n_since_asked_ = 0;
  return std::max(best, std::min(most, 2));
}

void Speculation::propose(std::span<Sequence* const> sequences) {
  const int32_t n = n_to_ask(sequences);
  for (const Sequence* sequence : sequences) {
    // The last token of all is never a row of a step.
    const int64_t room = sequence->max_tokens - 1 - sequence->n_tokens();
    const auto max = static_cast<int32_t>(std::min<int64_t>(n, room));
    if (max <= 0) continue;
    Record& record = records_[sequence];
    const Stopwatch stopwatch;
    speculator_->propose(*sequence, max, record.guesses);
    if (speculator_->is_free() || record.guesses.empty()) continue;
    guess_costs_.observe(static_cast<int32_t>(record.guesses.size()), stopwatch.seconds());
  }
}

/// The likeliest guesses, as many as promise the most tokens per second.
void Speculation::choose(std::span<Sequence* const> sequences) {
  struct Candidate {
    double survival;
    Sequence* sequence;
  };
  std::vector<Candidate> candidates;
  for (Sequence* sequence : sequences) {
    const Record& record = records_[sequence];
    double survival = 1;
    for (const Guess& guess : record.guesses) {
      survival *= worth_of(record, guess.grade);
      candidates.push_back({survival, sequence});
    }
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.survival > b.survival; });
  const auto n = static_cast<int32_t>(sequences.size());
  const double plain_s = costs_.of(n);
  int32_t most = std::min(static_cast<int32_t>(candidates.size()), limits_.max_guesses);
  int32_t best = limits_.fixed_guesses > 0 ? most : 0;
  if (limits_.fixed_guesses == 0 && plain_s > 0) {
    most = std::min(most, kWidening * std::max(costs_.most_rows_seen(), n) - n);
    double best_rate = kMargin * n / plain_s, tokens = n;
    for (int32_t m = 1; m <= most; ++m) {
      tokens += candidates[static_cast<size_t>(m) - 1].survival;
      const double rate = tokens / costs_.of(n + m);
      if (rate > best_rate) std::tie(best, best_rate) = std::pair(m, rate);
    }
  }
  for (int32_t i = 0; i < best; ++i) {
    Sequence& sequence = *candidates[static_cast<size_t>(i)].sequence;
    sequence.guesses.push_back(records_[&sequence].guesses[sequence.guesses.size()].token);
  }
}

}  // namespace chaski
