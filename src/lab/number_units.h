// Units that numbers in answers carry, and how those of one kind are converted.
#pragma once

#include <cstdint>
#include <string_view>

namespace chaski {

/// One unit is num / den of its kind's base unit.
struct NumberUnit {
  std::string_view name;  ///< in lower case
  std::string_view kind;  ///< "length", …
  int64_t num, den;
};

/// The longest unit's name that the text begins with and that ends there as a word; null without one.
const NumberUnit* unit_at(std::string_view text);
/// By its whole name; null for another text.
const NumberUnit* find_unit(std::string_view name);

}  // namespace chaski
