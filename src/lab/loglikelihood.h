// How probable a model finds given continuations of a text: what multiple choice is scored by. Perplexity of
// whole texts is cli/perplexity.cpp's.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "report/run_record.h"
#include "text/prompt.h"

namespace chaski {

/// How an answer ends that is one of the choices: AnswerRecord::finish_reason.
inline constexpr std::string_view kChoiceEnd = "choice";

/// The one with the highest log-likelihood, of equal ones the first. Not of an empty list.
const ChoiceRecord& most_probable(std::span<const ChoiceRecord> choices);

/// ln p of `token` under the softmax of `logits`, f32 [vocab]; summed in float64.
double log_probability(const float* logits, int64_t vocab, int32_t token);

struct ContinuationScore {
  double loglikelihood = 0;  ///< of all its tokens, in nats
  bool is_greedy = false;    ///< each of its tokens is the most probable one
};

/// Scores of one context's continuations.
struct ContinuationScores {
  std::vector<ContinuationScore> continuations;
  int64_t n_context_tokens = 0;
};

/// Scores each of `continuations` of `context`, at least one. Context and continuation are tokenised as one
/// text, as lm-evaluation-harness does: what it has more tokens than the context alone is the continuation.
/// What they share is computed once. Throws Error(kUsage) where a prompt template puts text around the
/// context or the context is too long, kDevice where logits are not finite.
ContinuationScores score_continuations(Engine& engine, const PromptMaker& prompts, const std::string& context,
                                       std::span<const std::string> continuations);

}  // namespace chaski
