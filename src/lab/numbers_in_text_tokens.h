// Text as arithmetic: numbers, operators, and what breaks an expression. Private to the files
// numbers_in_text*.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lab/numbers_in_text.h"

namespace chaski {

/// The text with one way to write everything: narrow digits and signs, LaTeX as plain arithmetic with what it
/// boxes between kBoxBegin and kBoxEnd, no Markdown, letters in lower case.
std::string plain_arithmetic(std::string_view text);
inline constexpr char kBoxBegin = '\x01', kBoxEnd = '\x02';

struct MathToken {
  enum class Kind : uint8_t {
    kNumber,
    kOperator,  ///< op is one of + - * / ^ ( ) = ~ (nearly equal) r (remainder)
    kBreak,     ///< words, commas, what is unknown: no expression goes across
    kSentenceEnd,
  };
  Kind kind = Kind::kBreak;
  char op = 0;
  bool is_weak = false;  ///< a number that may be part of a word: "一", "one", the 2 of "H2O"
  /// Of "6/2", which is a number and a division as well, the parts as written; 0 for all others.
  int64_t above = 0, below = 0;
  Quantity quantity;
  size_t begin = 0, end = 0;  ///< bytes of the plain text
};

/// Of a plain text.
std::vector<MathToken> math_tokens(std::string_view plain);

}  // namespace chaski
