// Formats whose blocks are 32 numbers with one scale: q8_0, q4_0, q4_1, q5_0, q5_1. Plain rounding, as the
// format's home does it, bit for bit.
#pragma once

#include "tensor/block_layout.h"
#include "tensor/half_lanes.h"

namespace chaski {
namespace {

/// Codes are the numbers over `scale`, halves away from zero, in -127 to 127.
CHASKI_INLINE I32s round_away(F32s a) {
  const F32s magnitude = min(abs(a), all(127));
  const F32s whole = to_float(to_int(magnitude));
  const F32s up = if_less(magnitude - whole, all(0.5f), all(0), all(1));
  return to_int(if_less(a, all(0), all(0) - whole - up, whole + up));
}

inline float inverse_or_zero(float value) { return value == 0 ? 0.0f : 1.0f / value; }

// ---- q8_0: f16 scale, 32 signed bytes

inline void quantize_q8_0(const float* values, std::byte* blocks, int64_t n) {
  for (int64_t at = 0; at < n; at += 32, values += 32, blocks += 34) {
    const F32s a = load(values), b = load(values + 16);
    const float scale = largest(max(abs(a), abs(b))) / 127.0f;
    const float inverse = inverse_or_zero(scale);
    store_f16(blocks, scale);
    store_bytes(round_away(a * inverse), blocks + 2);
    store_bytes(round_away(b * inverse), blocks + 18);
  }
}

inline void dequantize_q8_0(const std::byte* blocks, float* values, int64_t n) {
  for (int64_t at = 0; at < n; at += 32, values += 32, blocks += 34) {
    const float scale = load_f16(blocks);
    store(load_bytes<int8_t>(blocks + 2) * scale, values);
    store(load_bytes<int8_t>(blocks + 18) * scale, values + 16);
  }
}

// ---- q4_0, q4_1, q5_0, q5_1: f16 scale, f16 minimum where there is one, fifth bits where there are five, 16
// bytes of halves. With a minimum a code stands for code * scale + minimum; without, for (code - half) *
// scale, and the largest magnitude gets the code 0.

template <int kBits, bool kHasMinimum>
struct SimpleBlock {
  static constexpr int kHalf = 1 << (kBits - 1), kMost = (1 << kBits) - 1;
  static constexpr int kFifthAt = kHasMinimum ? 4 : 2, kCodesAt = kFifthAt + (kBits == 5 ? 4 : 0);
  static constexpr int kBytes = kCodesAt + 16;
};

/// The number of largest magnitude, the first of equals.
inline float extreme_of(const float* values, F32s a, F32s b) {
  const float high = largest(max(a, b)), low = smallest(min(a, b));
  if (high > -low) return high;
  if (high < -low) return low;
  for (int i = 0; i < 32; ++i) {
    if (values[i] == high || values[i] == low) return values[i];
  }
  return 0;
}

template <int kBits, bool kHasMinimum>
void quantize_simple(const float* values, std::byte* blocks, int64_t n) {
  using Block = SimpleBlock<kBits, kHasMinimum>;
  for (int64_t at = 0; at < n; at += 32, values += 32, blocks += Block::kBytes) {
    F32s a = load(values), b = load(values + 16);
    float scale, offset = static_cast<float>(Block::kHalf) + 0.5f;
    if (kHasMinimum) {
      const float low = smallest(min(a, b));
      scale = (largest(max(a, b)) - low) / static_cast<float>(Block::kMost);
      offset = 0.5f;
      store_f16(blocks + 2, low);
      a = a - low;
      b = b - low;
    } else {
      scale = extreme_of(values, a, b) / static_cast<float>(-Block::kHalf);
    }
    store_f16(blocks, scale);
    const float inverse = inverse_or_zero(scale);
    const F32s most = all(Block::kMost);
    const I32s first = to_int(max(min(a * inverse + offset, most), all(0)));
    const I32s second = to_int(max(min(b * inverse + offset, most), all(0)));
    uint8_t codes[32];
    store_bytes(first, codes);
    store_bytes(second, codes + 16);
    if (kBits == 5) pack_fifth_bits_32(codes, blocks + Block::kFifthAt);
    pack_nibbles_32(codes, blocks + Block::kCodesAt);
  }
}

template <int kBits, bool kHasMinimum>
void dequantize_simple(const std::byte* blocks, float* values, int64_t n) {
  using Block = SimpleBlock<kBits, kHasMinimum>;
  for (int64_t at = 0; at < n; at += 32, values += 32, blocks += Block::kBytes) {
    const float scale = load_f16(blocks);
    const float minimum = kHasMinimum ? load_f16(blocks + 2) : 0;
    uint8_t codes[32];
    unpack_nibbles_32(blocks + Block::kCodesAt, codes);
    if (kBits == 5) unpack_fifth_bits_32(blocks + Block::kFifthAt, codes);
    for (int i = 0; i < 32; i += kLanes) {
      const F32s code = load_bytes<uint8_t>(codes + i);
      store(kHasMinimum ? code * scale + minimum : (code - static_cast<float>(Block::kHalf)) * scale,
            values + i);
    }
  }
}

}  // namespace
}  // namespace chaski
