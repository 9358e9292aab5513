// Exact fractions of whole numbers, and arithmetic on them. What does not fit is nothing.
#pragma once

#include <cstdint>
#include <optional>

namespace chaski {

/// In lowest terms, the denominator above zero.
struct Rational {
  int64_t num = 0, den = 1;
  bool operator==(const Rational&) const = default;
};
/// num / den in lowest terms; nothing where den is 0 or a part does not fit.
std::optional<Rational> make_rational(int64_t num, int64_t den);

/// Nothing where the result, or what leads to it, does not fit.
std::optional<Rational> add(const Rational& a, const Rational& b);
std::optional<Rational> subtract(const Rational& a, const Rational& b);
std::optional<Rational> multiply(const Rational& a, const Rational& b);
/// Nothing for b = 0, too.
std::optional<Rational> divide(const Rational& a, const Rational& b);
/// Whole exponents from 0 to 62.
std::optional<Rational> power(const Rational& base, const Rational& exponent);

/// Whether the decimal expansion ends.
bool is_terminating(const Rational& value);

}  // namespace chaski
