// The classes of characters that split rules speak of. The ranges are generated; the lookup is in split.cpp.
#pragma once

#include <cstdint>
#include <span>

namespace chaski {

/// What a split rule sees in a character. kUpper holds title case too, kLetter the letters without case.
/// kLaterNumber is a number by Unicode 17 but not by 16: "Digits" rules take it for a number, `\p{N}` does
/// not. Letters come first and what is no letter, number or space last, so that one comparison tells them.
enum class CharClass : uint8_t {
  kUpper,
  kLower,
  kLetter,
  kNumber,
  kSpace,
  kMark,
  kPunctuation,
  kSymbol,
  kOther,
  kLaterNumber
};

/// Characters `first` to `last`, both included.
struct CharRange {
  uint32_t first;
  uint32_t last;
  CharClass char_class;
};

/// All ranges that are not kOther, in order.
std::span<const CharRange> char_ranges();

}  // namespace chaski
