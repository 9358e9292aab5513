#include "lab/rational.h"

#include <limits>
#include <numeric>

namespace chaski {
namespace {

constexpr int64_t kMaxPower = 62;

/// a + sign * b.
std::optional<Rational> sum(const Rational& a, const Rational& b, int64_t sign) {
  int64_t left = 0, right = 0, num = 0, den = 0;
  if (__builtin_mul_overflow(a.num, b.den, &left) || __builtin_mul_overflow(b.num, a.den, &right) ||
      __builtin_mul_overflow(right, sign, &right) || __builtin_add_overflow(left, right, &num) ||
      __builtin_mul_overflow(a.den, b.den, &den)) {
    return std::nullopt;
  }
  return make_rational(num, den);
}

}  // namespace

std::optional<Rational> make_rational(int64_t num, int64_t den) {
  constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
  if (den == 0 || num == kLeast || den == kLeast) return std::nullopt;
  if (den < 0) num = -num, den = -den;
  const int64_t common = std::gcd(num, den);
  return Rational{num / common, den / common};
}

std::optional<Rational> add(const Rational& a, const Rational& b) { return sum(a, b, 1); }
std::optional<Rational> subtract(const Rational& a, const Rational& b) { return sum(a, b, -1); }

std::optional<Rational> multiply(const Rational& a, const Rational& b) {
  int64_t num = 0, den = 0;
  if (__builtin_mul_overflow(a.num, b.num, &num) || __builtin_mul_overflow(a.den, b.den, &den)) {
    return std::nullopt;
  }
  return make_rational(num, den);
}

std::optional<Rational> divide(const Rational& a, const Rational& b) {
  if (b.num == 0) return std::nullopt;
  int64_t num = 0, den = 0;
  if (__builtin_mul_overflow(a.num, b.den, &num) || __builtin_mul_overflow(a.den, b.num, &den)) {
    return std::nullopt;
  }
  return make_rational(num, den);
}

std::optional<Rational> power(const Rational& base, const Rational& exponent) {
  if (exponent.den != 1 || exponent.num < 0 || exponent.num > kMaxPower) return std::nullopt;
  std::optional<Rational> value = Rational{1, 1};
  for (int64_t i = 0; i < exponent.num && value; ++i) value = multiply(*value, base);
  return value;
}

bool is_terminating(const Rational& value) {
  int64_t den = value.den;
  while (den % 2 == 0) den /= 2;
  while (den % 5 == 0) den /= 5;
  return den == 1;
}

}  // namespace chaski
