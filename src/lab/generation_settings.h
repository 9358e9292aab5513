// How answers are generated, where someone says so: a suite, a model's makers, the command line. Names and
// meanings are transformers'; what nobody sets is off.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "engine/request.h"
#include "format/checkpoint.h"

namespace chaski {

struct GenerationSettings {
  std::optional<double> temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty;
  std::optional<int64_t> top_k;
  std::optional<int64_t> max_length;      ///< of prompt and answer together
  std::optional<int64_t> max_new_tokens;  ///< of the answer
  std::optional<uint64_t> seed;
  std::optional<std::string> system;
  std::vector<std::string> stop;
  bool ignores_eos = false;  ///< answers go on to the length limit
};

/// Seeds end below 2^53, so that every JSON reader keeps them exact.
inline constexpr uint64_t kMaxSeed = (uint64_t{1} << 53) - 1;
/// A seed as it is written in decimal; nothing outside 0 … kMaxSeed.
std::optional<uint64_t> parse_seed(std::string_view text);

/// What the model's makers advise; temperature 0.7 and top_p 0.9 where they advise nothing on sampling.
GenerationSettings advised_settings(const GenerationDefaults& advised);

/// Take into `base` what `over` says. The limit that `over` sets puts aside the one of `base`; max_new_tokens
/// puts aside max_length where both are left, as in transformers.
void overlay(GenerationSettings& base, const GenerationSettings& over);

/// The sampling that the settings ask for. Throws Error(kUsage) naming the setting that is out of range, the
/// limits of length among them.
SamplingParams sampling_of(const GenerationSettings& settings);

/// The request that asks for an answer to `ids`, which `eos` ends unless the settings ignore it.
Request request_of(const GenerationSettings& settings, const std::vector<int32_t>& eos,
                   std::vector<int32_t> ids);

/// The settings as a record holds them, each by its name; limits and system text that are not set are null.
OrderedJson to_json(const GenerationSettings& settings);

}  // namespace chaski
