// From one row of logits to the next token: transformers' logits processors in transformers' order, then one
// draw. Arithmetic that the kept set depends on is float32, as there; sums are float64.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/request.h"

namespace chaski {

/// A token that may come next, and how likely.
struct Candidate {
  int32_t id = 0;
  float prob = 0;
};

/// Which tokens a sequence holds, and how often its output does; what the penalties need.
class TokenCounts {
 public:
  void add_prompt(std::span<const int32_t> ids);
  void add_output(int32_t id) { ++output_count_[id]; }
  /// Tokens of prompt and output, each with its occurrences in the output (0: in the prompt only).
  const std::unordered_map<int32_t, int32_t>& tokens() const { return output_count_; }

 private:
  std::unordered_map<int32_t, int32_t> output_count_;
};

/// Penalties (repetition, presence, frequency), temperature, top_k, top_p, min_p, in this order; what is
/// left, in order of id, with probabilities that sum to 1. Equal values at top_k's limit all stay; at top_p's
/// limit higher ids stay. Greedy settings leave the first best token. Empty where a logit is NaN or the
/// best is not finite. Source: docs/sources.md#sampling.
std::vector<Candidate> filtered(std::span<const float> logits, const SamplingParams& params,
                                const TokenCounts& counts);

/// Draw the token for `position` of the sequence: a pure function of its arguments. Nothing where the logits
/// are not finite.
std::optional<int32_t> sample(std::span<const float> logits, const SamplingParams& params,
                              const TokenCounts& counts, uint64_t position);

}  // namespace chaski
