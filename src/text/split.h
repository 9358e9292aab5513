// Split rules: how text is cut into pre-tokens before byte-pair merging. Hand-written scanners, one pass, no
// regular expressions; each does exactly what the pattern in its comment does. Merging is in bpe.h.
#pragma once

#include <cstdint>
#include <string_view>

#include "text/unicode_tables.h"

namespace chaski {

/// The split rules known. kSmolLm isolates each number character and then splits as kGpt2 does.
enum class SplitRule : uint8_t { kLlama3, kSmolLm, kGpt2 };

/// The patterns as tokenizer files spell them; both rules give the same pieces as these.
inline constexpr std::string_view kLlama3Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

/// The end, in bytes, of the pre-token of `text` that begins at `at` (< text.size()). `text` is valid UTF-8
/// and one segment: its end is the end of text for look-ahead. Constant stack; calls over a text take linear
/// time in all.
size_t next_split(SplitRule rule, std::string_view text, size_t at);

/// The class of a Unicode character.
CharClass char_class(uint32_t code);

}  // namespace chaski
