// One number at the front of a text, in digits, Chinese numerals or English words. Private to the files
// numbers_in_text*.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "lab/rational.h"

namespace chaski {

/// A number read off the front of a text; size 0 where there is none, no value where it does not fit.
struct NumberRead {
  size_t size = 0;
  std::optional<Rational> value;
  int decimals = -1;
  bool is_weak = false;
  bool is_percent = false;
  int64_t below = 0;  ///< of "6/2", which may be a division, what stands below; 0 for all others
};
/// Of plain text (numbers_in_text_tokens.h), without a sign. `may_be_word`: English words count.
NumberRead read_number(std::string_view text, bool may_be_word);

bool begins_with_han_digit(std::string_view text);

}  // namespace chaski
