// Activations to integers.
#pragma once

#include "backend/cpu/kernels_base.h"

namespace chaski::cpu {
namespace {

/// The scale of 32 numbers whose codes reach to `most`, and what to multiply them with; 0 and NaN as scales
/// where all are (nearly) zero or one is not finite, with codes of 0.
struct BlockScale {
  float scale, inverse;
};
template <class V>
CHASKI_INLINE BlockScale scale_of(const float* x, float most) {
  // As integers, the bits of absolute values order like the values, and NaN above infinity.
  typename V::I bits = V::set_i(0);
  for (int i = 0; i < kQ8Block; i += V::kLanes)
    bits = V::max_i(bits, V::and_i(V::bits(V::load(x + i)), V::set_i(0x7fffffff)));
  const int32_t largest_bits = V::reduce_max_i(bits);
  const float largest = __builtin_bit_cast(float, largest_bits);
  if (largest_bits >= 0x7f800000) return {__builtin_nanf(""), 0.0f};
  if (largest < 1e-30f) return {0.0f, 0.0f};
  return {largest / most, most / largest};
}

/// Rounded to the nearest integer.
template <class V>
CHASKI_INLINE typename V::I codes_of(const float* x, float inverse) {
  constexpr float kRound = 12582912.0f;  // 1.5 · 2^23
  const typename V::F scaled = V::mul(V::load(x), V::set(inverse));
  return V::sub_i(V::bits(V::add(scaled, V::set(kRound))), V::bits(V::set(kRound)));
}

template <class V>
void quantize_q8(const float* x, int64_t n, std::byte* row) {
  const Q8Row layout{n};
  for (int64_t k = 0; k < n; k += kQ8Block) {
    const BlockScale s = scale_of<V>(x + k, 127.0f);
    int32_t sums[2] = {0, 0};
    for (int i = 0; i < kQ8Block; i += V::kLanes) {
      // Infinity times zero is no number, whose code would be anything.
      const typename V::I codes = s.inverse == 0.0f ? V::set_i(0) : codes_of<V>(x + k + i, s.inverse);
      sums[i / 16] += V::reduce_add_i(codes);
      V::store_i8(row + layout.codes_at(k) + i, codes);
    }
    const int32_t sum = sums[0] + sums[1];
    std::byte* facts = row + layout.facts_at(k);
    store_as(facts + Q8Row::kScaleAt, s.scale);
    store_as(facts + Q8Row::kMinusSumAt, -sum);
    store_as(facts + Q8Row::kWeightedSumAt, s.scale * static_cast<float>(sum));
    std::byte* halves = row + layout.halves_at(k);
    for (int half = 0; half < 2; ++half) {
      store_as(halves + 4 * half, -sums[half]);
      store_as(halves + Q8Row::kHalfWeightedSumsAt + 4 * half, s.scale * static_cast<float>(sums[half]));
    }
  }
}

template <class V>
void quantize_q16(const float* x, int64_t n, std::byte* row) {
  const Q16Row layout{n};
  float last[kQ8Block] = {};
  for (int64_t k = 0; k < n; k += kQ8Block) {
    const float* from = x + k;
    if (n - k < kQ8Block) {
      __builtin_memcpy(last, from, static_cast<size_t>(n - k) * sizeof(float));
      from = last;
    }
    const BlockScale s = scale_of<V>(from, static_cast<float>(kWideMost));
    int32_t codes[kQ8Block] = {};
    for (int i = 0; i < kQ8Block && s.inverse != 0.0f; i += V::kLanes)
      V::store_i(codes + i, codes_of<V>(from + i, s.inverse));
    int16_t ordered[kQ8Block];
    for (int i = 0; i < kQ8Block; i += 4) {
      for (int j = 0; j < 4; ++j) ordered[i + kPairOrder[j]] = static_cast<int16_t>(codes[i + j]);
    }
    __builtin_memcpy(row + layout.codes_at(k), ordered, sizeof ordered);
    store_as(row + layout.facts_at(k), s.scale);
  }
}

}  // namespace
}  // namespace chaski::cpu
