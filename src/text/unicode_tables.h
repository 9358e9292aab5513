// The classes of characters that split rules speak of. The ranges are generated; the lookup is in split.cpp.
#pragma once

#include <cstdint>
#include <span>

namespace chaski {

/// What a split rule sees in a character. kLaterNumber is a number by Unicode 17 but not by 16: "Digits"
/// rules take it for a number, `\p{N}` does not.
enum class CharClass : uint8_t { kOther, kLetter, kNumber, kSpace, kLaterNumber };

/// Characters `first` to `last`, both included.
struct CharRange {
  uint32_t first;
  uint32_t last;
  CharClass char_class;
};

/// All ranges that are not kOther, in order.
std::span<const CharRange> char_ranges();

}  // namespace chaski
