// NaN and infinity in weights: finding the first such number in a row, and a weight that refuses to hand one
// out.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "tensor/weight_source.h"

namespace chaski {

/// Index of the first of `n` numbers that is not finite; where a block's scale or minimum is not, that of the
/// block's first number. `row` holds whole blocks of `n` numbers. i32 numbers are always finite.
std::optional<int64_t> first_nonfinite(DType dtype, std::span<const std::byte> row, int64_t n);

/// Hears of a weight with a number that is not finite, once for each weight, from any thread.
using OnNonfinite = std::function<void(const std::string& what)>;

/// `weight`, whose rows are looked at as they are read: a number that is not finite throws Error(kCorrupt)
/// naming file, weight and the first such number; with `on_nonfinite` it is told instead.
WeightSourcePtr checked_finite(WeightSourcePtr weight, OnNonfinite on_nonfinite = {});

}  // namespace chaski
