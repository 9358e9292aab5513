// Numbers as people write them, found in an answer: digits of any width, Chinese numerals, fractions,
// percent, thousands separators, units, LaTeX; which of them is the answer; whether the equations beside it
// are true. All arithmetic is exact, on fractions; what does not fit is no number. What it is worth:
// score_arithmetic.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lab/rational.h"

namespace chaski {

/// A number with what was written around it.
struct Quantity {
  Rational value;     ///< of "25%": 1/4
  int decimals = -1;  ///< digits after the point; −1 where it was not written as a decimal
  bool is_percent = false;
  std::string unit;  ///< as written, where it is a known one, as "km"; empty without
};

/// The one number that a reference gives, as "1/3", "25%", "一百二十三点五", "3.5 km"; nothing where the text
/// holds none or several.
std::optional<Quantity> parse_quantity(std::string_view text);

struct FinalNumber {
  Quantity quantity;
  bool is_stated = false;  ///< boxed, after one of the markers, or the last number of the text
  std::string quote;       ///< the place, short
};
/// Words that say where a text's answer is.
struct AnswerMarkers {
  std::span<const std::string> answers;      ///< "答案是": its number follows
  std::span<const std::string> sums;         ///< "total is": the same, unless a conclusion is drawn later
  std::span<const std::string> conclusions;  ///< "so": what comes last after it
};
/// The number that a text ends up with: boxed, else after the last of the markers, else after the last equals
/// sign, else the last one. Nothing where there is none.
/// One of `given`, which the question says itself, is only what it ends up with where nothing else is.
std::optional<FinalNumber> find_final_number(std::string_view text, const AnswerMarkers& markers,
                                             std::span<const Quantity> given = {});
/// All that a text holds, in order.
std::vector<Quantity> quantities_in(std::string_view text);
/// Whether both are units of one kind and not of one size, as "kg" and "g", but not "kg" and "千克".
bool needs_conversion(std::string_view a, std::string_view b);
/// Whether it stands among them, in a unit of the same size.
bool is_one_of(std::span<const Quantity> quantities, const Quantity& quantity);

struct EquationCheck {
  int64_t n = 0, n_true = 0;
  std::string first_false;  ///< as written, short
};
/// Every "a op b = c" in the text, chains included, by exact arithmetic; c may be rounded to the digits that
/// it shows where the exact value has more, and a division may have a remainder.
EquationCheck check_equations(std::string_view text);

/// Whether `found` is what `expected` means: units of one kind are converted, a missing unit or percent sign
/// is passed over, and a value that ends in no decimal may be rounded to two or more.
bool means_the_same(const Quantity& expected, const Quantity& found);

}  // namespace chaski
