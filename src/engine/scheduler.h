// Which rows the next step computes. Pure bookkeeping: no device, no clock, no text, so that tests can try
// every case. The engine runs what it plans (engine.cpp).
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "engine/kv_cache.h"
#include "ops/batch.h"

namespace chaski {

/// A request's tokens and what of them is in the cache. The scheduler writes n_computed and pages; whoever
/// samples appends to tokens, one after each step that has an output for the sequence.
struct Sequence {
  std::vector<int32_t> tokens;  ///< prompt, then output
  int64_t n_prompt = 0;
  bool wants_logits = false;   ///< else only the best token
  int64_t n_computed = 0;      ///< positions whose k and v are in the cache
  std::vector<int32_t> pages;  ///< in order of position

  int64_t n_tokens() const { return static_cast<int64_t>(tokens.size()); }
  int64_t n_pending() const { return n_tokens() - n_computed; }
  /// Its next row is a generated token and the only one pending.
  bool is_decoding() const { return n_pending() == 1 && n_computed >= n_prompt; }
};

struct SchedulerLimits {
  int32_t max_sequences = 8;  ///< at once
  int32_t max_rows = 256;     ///< of a step; at least max_sequences
  int32_t pages_per_sequence = 0;
};

/// A sequence's part in a step: rows [n_computed, n_computed + n_rows) of it.
struct StepPart {
  Sequence* sequence = nullptr;
  int32_t n_rows = 0;
  int32_t output = -1;  ///< index into Batch::outputs; −1: its prompt is not through yet
};

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
  /// Fill `batch` with the next step: one row for each sequence that decodes, then chunks of prompts. Empty
  /// when there is nothing to do. May preempt the newest: their pages go, they wait and are computed again.
  std::vector<StepPart> schedule(Batch& batch);
  /// The step was run: its rows are in the cache.
  void complete(const std::vector<StepPart>& parts);

  bool is_idle() const { return running_.empty() && waiting_.empty(); }
  const std::vector<Sequence*>& running() const { return running_; }
  int64_t n_preemptions() const { return n_preemptions_; }
  void check_integrity() const;

 private:
  int64_t n_missing_pages(const Sequence& sequence) const;
  void release_pages(Sequence& sequence);
  bool reserve_by_preempting(size_t index);
  bool admit_next();
  void append(Batch& batch, StepPart& part) const;

  KvCache& cache_;
  SchedulerLimits limits_;
  std::vector<Sequence*> running_;  ///< oldest first
  std::deque<Sequence*> waiting_;   ///< oldest first
  int64_t n_preemptions_ = 0;
};

}  // namespace chaski
