// How many guesses a step carries: as many as pay, by what was measured of their worth and of a step's time.
// This decides on time alone, never on text.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/scheduler.h"
#include "engine/speculator.h"

namespace chaski {

/// Seconds that a step of so many rows takes: running means that follow slowly and shrug off single late
/// steps.
class StepCosts {
 public:
  void observe(int32_t n_rows, double seconds);
  /// Between and beyond the numbers of rows that were seen, a straight line; 0 where nothing was seen yet.
  double of(int32_t n_rows) const;
  int32_t most_rows_seen() const { return by_rows_.empty() ? 0 : static_cast<int32_t>(by_rows_.size()) - 1; }

 private:
  struct Mean {
    double seconds = 0;
    int64_t n_seen = 0;
    int64_t seen_at = 0;  ///< what n_observed_ was
  };
  bool is_known(int32_t n_rows) const;

  std::vector<Mean> by_rows_;
  int64_t n_observed_ = 0;
};

struct SpeculationLimits {
  int32_t max_guesses = 0;                ///< of a step
  int32_t max_guesses_per_sequence = 15;  ///< of these
  int32_t fixed_guesses = 0;              ///< where not 0: so many per sequence, whether they pay or not
};

/// One for an engine. The engine lets it plan() before a step, tells it what the step took and each token
/// that came out.
class Speculation {
 public:
  Speculation(std::unique_ptr<Speculator> speculator, const SpeculationLimits& limits);

  /// Set the guesses of all sequences that run. None as long as one of them is still at its prompt. Sequences
  /// that ran before and do not any more are forgotten.
  void plan(std::span<Sequence* const> sequences);
  /// A step without prompts: its rows and its time.
  void step_took(int32_t n_rows, double seconds) { costs_.observe(n_rows, seconds); }
  /// `token` came at the place of the `index`-th guess, whether that was in the step or only thought of.
  /// All guesses before it were right.
  void came(const Sequence& sequence, size_t index, int32_t token);
  void forget(const Sequence& sequence);
  int64_t kv_bytes() const { return speculator_->kv_bytes(); }

 private:
  /// Right ones among the guesses of a grade, old ones fading.
  struct Worth {
    double n_right = 0, n_seen = 0;
  };
  struct Record {
    std::vector<Guess> guesses;  ///< thought of for this step; the first of them are in it
    std::vector<Worth> worth{kGuessGrades};
  };
  double worth_of(const Record& record, int32_t grade) const;
  int32_t n_to_ask(std::span<Sequence* const> sequences);
  void forget_all_but(std::span<Sequence* const> sequences);
  void propose(std::span<Sequence* const> sequences);
  void choose(std::span<Sequence* const> sequences);

  std::unique_ptr<Speculator> speculator_;
  SpeculationLimits limits_;
  StepCosts costs_;
  StepCosts guess_costs_;      ///< of a proposal, by its guesses; only where they are not free
  int32_t n_since_asked_ = 0;  ///< steps
  std::unordered_map<const Sequence*, Record> records_;
};

}  // namespace chaski
