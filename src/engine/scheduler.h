// Which rows the next step computes. Pure bookkeeping: no device, no clock, no text, so that tests can try
// every case. The engine runs what it plans (engine.cpp).
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <vector>

#include "engine/kv_cache.h"
#include "ops/batch.h"

namespace chaski {

/// A request's tokens and what of them is in the cache. The scheduler writes n_computed and pages; whoever
/// samples appends to tokens, one after each step that has an output for the sequence, and one more for each
/// guess that was right.
struct Sequence {
  std::vector<int32_t> tokens;  ///< prompt, then output
  int64_t n_prompt = 0;
  int64_t max_tokens = std::numeric_limits<int64_t>::max();  ///< it may have in the end
  std::vector<int32_t> guesses;  ///< of what follows tokens, for the next step to check
  bool wants_logits = false;     ///< else only the best token
  int64_t n_computed = 0;        ///< positions whose k and v are in the cache
  std::vector<int32_t> pages;    ///< in order of position

  int64_t n_tokens() const { return static_cast<int64_t>(tokens.size()); }
  int64_t n_pending() const { return n_tokens() - n_computed; }
  /// Its next row is a generated token and the only one pending.
  bool is_decoding() const { return n_pending() == 1 && n_computed >= n_prompt; }
};

struct SchedulerLimits {
  int32_t max_sequences = 8;  ///< at once
  int32_t max_rows = 256;     ///< of a step, guesses apart; at least max_sequences
  int32_t pages_per_sequence = 0;
  int32_t max_guesses = 0;  ///< of a step, which may have so many rows more
};

/// A sequence's part in a step: rows [n_computed, n_computed + n_rows) of it, the last n_guesses of them the
/// first of its guesses.
struct StepPart {
  Sequence* sequence = nullptr;
  int32_t n_rows = 0;
  int32_t output = -1;  ///< first index into Batch::outputs; −1: its prompt is not through yet
  int32_t n_guesses = 0;
  /// For its last token and each guess.
  int32_t n_outputs() const { return output < 0 ? 0 : 1 + n_guesses; }
};

/// One more sequence in `batch`, at the places of its rows [first, first + n_rows) in the cache. Their tokens
/// are the caller's to add.
void append_places(Batch& batch, const std::vector<int32_t>& pages, int32_t page_tokens, int64_t first,
                   int64_t n_rows);

/// Oldest first, always: the oldest sequence never waits for pages that a newer one holds, so that every
/// sequence gets through. All that run are older than all that wait.
class Scheduler {
 public:
  Scheduler(KvCache& cache, const SchedulerLimits& limits);

  /// Queue a sequence; it stays the caller's and must stay in place until removed. A sequence must never need
  /// more pages than the cache has, nor more than pages_per_sequence.
  void add(Sequence& sequence);
  /// Forget a sequence, waiting or running, and release its pages.
  void remove(Sequence& sequence);
  /// Fill `batch` with the next step: one row for each sequence that decodes, and its guesses as far as there
  /// is room without taking any from others; then chunks of prompts. Empty when there is nothing to do. May
  /// preempt the newest: their pages go, they wait and are computed again.
  std::vector<StepPart> schedule(Batch& batch);
  /// The step was run: its rows are in the cache, guesses apart.
  void complete(const std::vector<StepPart>& parts);
  /// The token that was just appended had been guessed in the step: its row is in the cache.
  void accept(Sequence& sequence) { advance(sequence, 1); }

  bool is_idle() const { return running_.empty() && waiting_.empty(); }
  const std::vector<Sequence*>& running() const { return running_; }
  int64_t n_preemptions() const { return n_preemptions_; }
  void check_integrity() const;

 private:
  int64_t n_missing_pages(const Sequence& sequence) const;
  void release_pages(Sequence& sequence);
  void release_spare_pages();
  bool reserve_by_preempting(size_t index);
  bool admit_next();
  int32_t reserve_for_guesses(Sequence& sequence, int32_t n_left);
  void append(Batch& batch, StepPart& part) const;
  void advance(Sequence& sequence, int64_t n_rows);

  KvCache& cache_;
  SchedulerLimits limits_;
  std::vector<Sequence*> running_;  ///< oldest first
  std::deque<Sequence*> waiting_;   ///< oldest first
  int64_t n_preemptions_ = 0;
};

}  // namespace chaski
