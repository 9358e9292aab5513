// What a caller asks for and what it gets back, token by token.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace chaski {

/// How the next token is chosen; names and meanings are transformers'.
struct SamplingParams {
  double temperature = 1.0;         ///< 0 is greedy
  int64_t top_k = 0;                ///< 0: off
  double top_p = 1.0;               ///< 1: off
  double min_p = 0.0;               ///< 0: off
  double repetition_penalty = 1.0;  ///< over prompt and output; 1: off
  double presence_penalty = 0.0;    ///< subtracted once from tokens of the output
  double frequency_penalty = 0.0;   ///< subtracted per occurrence in the output
  uint64_t seed = 0;
  uint64_t sample = 0;  ///< index of the sample within the request

  bool is_greedy() const { return temperature == 0.0 || top_k == 1; }
  /// Greedy with nothing that changes the logits: the device's own argmax decides.
  bool is_plain_greedy() const;
  /// Throws Error(kUsage) naming the setting, its range and the value.
  void validate() const;
};

struct Request {
  std::vector<int32_t> prompt;  ///< not empty
  SamplingParams sampling;
  std::vector<std::string> stop;          ///< texts that end the answer, not part of it
  std::vector<int32_t> eos;               ///< tokens that end the answer, not part of it
  std::optional<int64_t> max_new_tokens;  ///< of the answer
  std::optional<int64_t> max_length;      ///< of prompt and answer together
};

enum class FinishReason { kNone, kStop, kLength, kCancelled, kError };
/// "stop", "length", "cancelled", "error"; kNone is "".
std::string_view name_of(FinishReason reason);

/// Seconds on the monotonic clock, all from the moment the request was admitted.
struct RequestTimings {
  double queued_s = 0;          ///< until its first step began
  double ttft_s = 0;            ///< until its first token was known
  double total_s = 0;           ///< until it ended
  std::vector<double> token_s;  ///< when each token was known, from admission
};

struct Answer {
  std::string text;          ///< valid UTF-8, without stop text
  std::vector<int32_t> ids;  ///< generated tokens, the ending eos not among them
  FinishReason finish_reason = FinishReason::kNone;
  std::string error;                            ///< what ended it, for kError
  ErrorCode error_code = ErrorCode::kInternal;  ///< the same
  bool is_nonfinite = false;                    ///< what ended it were logits that are not finite
  int64_t n_prompt = 0;
  int64_t n_reused = 0;    ///< tokens of the prompt found in the cache
  int64_t n_drafted = 0;   ///< tokens guessed ahead and checked
  int64_t n_accepted = 0;  ///< of these, right ones
  RequestTimings timings;
};

/// TPOT: mean seconds between the answer's tokens; nothing where it has fewer than two.
std::optional<double> tpot_s(const Answer& answer);

/// Called on the engine's thread for each new piece of text (may be empty while a character or stop text is
/// pending).
using OnText = std::function<void(std::string_view piece)>;

}  // namespace chaski
