// The sides of an equation in a text. Private to the files numbers_in_text*.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "lab/numbers_in_text_tokens.h"

namespace chaski {

using MathTokens = std::span<const MathToken>;

/// Whether the token is an operator, and one of these.
bool is_operator(const MathToken& token, std::string_view which);

/// A stretch between two signs of equality.
struct Side {
  MathTokens tokens;
  bool is_near = false;  ///< the sign before it says nearly
};

/// What the signs = and ~ part; one side without them.
std::vector<Side> sides_of(MathTokens run);

/// A side without what clings to it: bullets before, signs after, brackets around the whole equation.
MathTokens trimmed(MathTokens side);

/// Whether `shown` is `exact` rounded to the digits that it shows.
bool is_rounded(const Rational& exact, const Quantity& shown, int least_decimals);

}  // namespace chaski
