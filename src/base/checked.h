// Arithmetic on numbers that come from a file or a request. Every size derived from untrusted input goes
// through these; raw * and + on such numbers is what loaders are broken by.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>

namespace chaski {

template <typename T>
std::optional<T> checked_add(T a, T b) {
  T sum;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

template <typename T>
std::optional<T> checked_mul(T a, T b) {
  T product;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

/// `value` rounded up to a multiple of `unit` (> 0), or nothing on overflow.
template <typename T>
std::optional<T> checked_round_up(T value, T unit) {
  const auto bumped = checked_add<T>(value, unit - 1);
  if (!bumped) return std::nullopt;
  return *bumped / unit * unit;
}

/// `value` as another integer type, or nothing where it does not fit.
template <typename To, typename From>
std::optional<To> checked_cast(From value) {
  static_assert(std::is_integral_v<To> && std::is_integral_v<From>);
  const To narrowed = static_cast<To>(value);
  if (static_cast<From>(narrowed) != value || (narrowed < To{}) != (value < From{})) return std::nullopt;
  return narrowed;
}

}  // namespace chaski
