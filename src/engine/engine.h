// The engine: requests in, answers out. Each step is schedule, run, sample, apply. One thread drives it; no
// locks here.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/cancel.h"
#include "engine/request.h"
#include "text/tokenizer.h"

namespace chaski {

/// Who guesses tokens ahead of the model, which then checks several in one step. Never changes a token.
enum class SpeculationKind {
  kOff,    ///< what speed is measured with, and the default here; the command line's is kNgram
  kNgram,  ///< prompt and output so far: see speculator.h
  kDraft   ///< a smaller model, EngineOptions::draft
};
std::string_view name_of(SpeculationKind kind);

struct EngineOptions {
  int64_t context = 4096;       ///< positions a sequence may have; at most the model's
  int32_t max_sequences = 8;    ///< at once
  int32_t max_step_rows = 256;  ///< prompt tokens are taken in chunks of at most so many
  int32_t n_pages = 0;          ///< of the KV cache; 0: enough for max_sequences × context, within reason
  /// Keep full pages of what was computed and use them where a prompt begins alike. Same tokens either way;
  /// off where times must not depend on what was asked before.
  bool reuse_prefixes = false;
  SpeculationKind speculation = SpeculationKind::kOff;
  /// For kDraft: with the same vocabulary and its weights in the same Ops. Must outlive the engine.
  const LlamaModel* draft = nullptr;
  /// Guesses per sequence and step; 0: as many as pay, by measured time and acceptance.
  int32_t n_guesses = 0;
};

struct EngineStats {
  int64_t n_steps = 0;
  int64_t n_prompt_tokens = 0;  ///< computed
  int64_t n_generated_tokens = 0;
  int64_t n_drafted_tokens = 0;   ///< guesses that steps checked
  int64_t n_accepted_tokens = 0;  ///< of these, right ones; they are among the generated
  int64_t n_preemptions = 0;
  double prefill_s = 0;           ///< in steps whose rows are all prompt
  double decode_s = 0;            ///< in all other steps, the making of guesses included
  int64_t n_plain_tokens = 0;     ///< of steps without prompts and guesses
  double plain_s = 0;             ///< in these steps, the making of guesses not included
  int64_t kv_bytes = 0;           ///< of all caches, a draft model's included
  std::string speculation_fault;  ///< why guessing was switched off; empty: it was not
};

using RequestId = int64_t;

/// Logits of the positions [first, first + n_rows) of a text, f32 [n_rows, vocab].
using OnLogits = std::function<void(int64_t first, int64_t n_rows, const float* logits)>;

class Engine {
 public:
  /// Runs `model`, whose weights are in `ops` (the device's own or a decorator). All must outlive the engine.
  Engine(Device& device, Ops& ops, const LlamaModel& model, const Tokenizer& tokenizer,
         const EngineOptions& options);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Admit a request. Throws Error(kUsage) where it is empty, holds ids outside the vocabulary, or leaves no
  /// room for a token in the context or in max_length (both numbers named).
  RequestId submit(Request request, OnText on_text = {});
  /// One step over all that waits and runs; false when there is nothing to do.
  bool step();
  void cancel(RequestId id);
  bool is_finished(RequestId id) const;
  /// The finished answer, which the engine then forgets.
  Answer take(RequestId id);

  /// submit, step until finished, take; stops with what there is when `cancel` is set.
  Answer generate(Request request, OnText on_text = {}, const CancelToken* cancel = nullptr);
  /// Logits of every position of `ids` given those before it, f32 [n, vocab], by prefill in chunks; for
  /// perplexity. `on_rows(first_position, n_rows, logits)` is called chunk by chunk.
  void score(const std::vector<int32_t>& ids, const OnLogits& on_rows) { score_from(ids, 0, on_rows); }
  /// The same of the positions from `first_wanted` on alone; what the cache kept of those before is used,
  /// and kept itself where reuse_prefixes is on.
  void score_from(const std::vector<int32_t>& ids, int64_t first_wanted, const OnLogits& on_rows);

  const EngineStats& stats() const;
  const EngineOptions& options() const;
  int64_t vocab() const;
  Runner& runner();
  /// Throws Error(kInternal) where pages, reference counts and sequences do not agree.
  void check_integrity() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace chaski
