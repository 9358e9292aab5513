// The fixed texts of benches: pseudo-random tokens for speed, prose where what the text is matters.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "report/lang.h"
#include "text/tokenizer.h"

namespace chaski {

/// `n` fixed pseudo-random ordinary tokens; another `stream`, other tokens.
std::vector<int32_t> bench_prompt(const Tokenizer& tokenizer, int64_t n, uint64_t stream);

/// A fixed piece of prose of that language, the same story in both.
std::string_view bench_prose(Lang lang);

/// The beginning of the English prose: what speculation and soaks are run on.
std::vector<int32_t> prose_prompt(const Tokenizer& tokenizer);

/// Characters (code points) that a token of that language's prose has in the mean: what turns tokens/s into
/// characters/s.
double chars_per_token(const Tokenizer& tokenizer, Lang lang);

}  // namespace chaski
