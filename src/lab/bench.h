// How fast a model runs: prefill, decode, and several sequences decoding at once, each timed several times.
// Loading the model is the caller's; bench_report.h says it in tables and JSON.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/cancel.h"
#include "engine/engine.h"
#include "report/statistics.h"
#include "text/tokenizer.h"

namespace chaski {

/// What to measure. Prompts are fixed pseudo-random ordinary tokens, but speculation, whose worth is the
/// text's, has prose (speculation_prompt); all decoding is greedy, and no token ends it.
struct BenchPlan {
  int64_t n_prompt = 512;          ///< tokens of a prefill; 0: none is measured
  int64_t n_gen = 128;             ///< tokens of a decode, of each sequence; 0: none is measured
  int64_t depth = 0;               ///< tokens before a decode begins; at least one is always there
  int64_t n_repeats = 6;           ///< samples of each metric; fewer make no 95 % interval
  std::vector<int32_t> sequences;  ///< numbers of sequences to decode at once; total tokens/s of each
  bool speculates = false;         ///< decode with n-gram speculation as well, beside plain

  /// Throws Error(kUsage) naming what is out of range.
  void validate() const;
  /// Positions of context that it needs: of sequences that decode at once, those who are through their
  /// prompts get tokens while the others are not.
  int64_t context() const;
};

struct BatchedDecode {
  int32_t n_sequences = 0;
  Metric tokens_per_s;  ///< of all sequences together
};

struct BenchFigures {
  std::optional<Metric> prefill_tokens_per_s;  ///< to the first token, that is, with the head's one row
  std::optional<Metric> decode_tokens_per_s;   ///< one sequence, plain
  std::optional<Metric> speculative_decode_tokens_per_s;  ///< one sequence, where the plan speculates
  std::vector<BatchedDecode> batched;
  int64_t kv_bytes = 0;  ///< of the cache for one sequence
  std::string runner;
};

/// What is measured; all must outlive the call.
struct BenchSubject {
  Device& device;
  Ops& ops;
  const LlamaModel& model;
  const Tokenizer& tokenizer;
};

/// Throws Error(kUsage) where the plan needs more positions than `context`.
void check_fits(const BenchPlan& plan, int64_t context);

/// Run the plan, each measurement once unmeasured before it counts. `on_progress(done, total)` hears of the
/// samples. Throws what check_fits does, Error(kDevice) where logits are not finite, Error(kCancelled).
BenchFigures run_bench(const BenchSubject& subject, const BenchPlan& plan, const CancelToken& cancel,
                       const std::function<void(int64_t done, int64_t total)>& on_progress = {});

/// `n` fixed pseudo-random ordinary tokens; another `stream`, other tokens.
std::vector<int32_t> bench_prompt(const Tokenizer& tokenizer, int64_t n, uint64_t stream);
/// The beginning of a fixed piece of English prose: what speculation is measured on.
std::vector<int32_t> speculation_prompt(const Tokenizer& tokenizer);

}  // namespace chaski
