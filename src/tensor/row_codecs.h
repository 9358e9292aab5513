// The definition of every format: rows of numbers to blocks and back. quantize_scalar.cpp and its siblings
// each compile this text for one instruction set, with the same bits as the result; everything has internal
// linkage.
#pragma once

#include <array>
#include <cmath>

#include "tensor/block_layout.h"
#include "tensor/dtype.h"

namespace chaski {
namespace {

inline float load_f16(const std::byte* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return f16_to_f32(bits);
}

inline void store_f16(std::byte* at, float value) {
  const uint16_t bits = f32_to_f16(value);
  std::memcpy(at, &bits, sizeof bits);
}

/// `value` as an integer in [low, high]; NaN gives low. A plain cast of such a value would be undefined.
inline int clamp_to_int(float value, int low, int high) {
  if (!(value > static_cast<float>(low))) return low;
  if (value >= static_cast<float>(high)) return high;
  return static_cast<int>(value);
}
inline int round_to_int(float value, int low, int high) {
  return clamp_to_int(std::nearbyint(value), low, high);
}

inline float inverse_or_zero(float value) { return value == 0 ? 0.0f : 1.0f / value; }

/// The number of largest magnitude, the first of equals.
inline float extreme_of(const float* values, int n) {
  float extreme = 0;
  for (int i = 0; i < n; ++i) {
    if (std::fabs(values[i]) > std::fabs(extreme)) extreme = values[i];
  }
  return extreme;
}

// ---- plain numbers

inline void store_f32_row(const float* values, std::byte* out, int64_t n) {
  std::memcpy(out, values, static_cast<size_t>(n) * sizeof(float));
}
inline void load_f32_row(const std::byte* in, float* values, int64_t n) {
  std::memcpy(values, in, static_cast<size_t>(n) * sizeof(float));
}

template <uint16_t (*Narrow)(float)>
void store_16bit_row(const float* values, std::byte* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const uint16_t bits = Narrow(values[i]);
    std::memcpy(out + 2 * i, &bits, sizeof bits);
  }
}
template <float (*Widen)(uint16_t)>
void load_16bit_row(const std::byte* in, float* values, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    uint16_t bits;
    std::memcpy(&bits, in + 2 * i, sizeof bits);
    values[i] = Widen(bits);
  }
}

// ---- q8_0: f16 scale, 32 signed bytes

inline void quantize_q8_0(const float* values, std::byte* blocks, int64_t n) {
  for (int64_t at = 0; at < n; at += 32, values += 32, blocks += 34) {
    const float scale = std::fabs(extreme_of(values, 32)) / 127.0f;
    const float inverse = inverse_or_zero(scale);
    store_f16(blocks, scale);
    for (int i = 0; i < 32; ++i) {
      blocks[2 + i] = to_byte(clamp_to_int(std::round(values[i] * inverse), -128, 127));
    }
  }
}

inline void dequantize_q8_0(const std::byte* blocks, float* values, int64_t n) {
  for (int64_t at = 0; at < n; at += 32, values += 32, blocks += 34) {
    const float scale = load_f16(blocks);
    for (int i = 0; i < 32; ++i) values[i] = static_cast<float>(static_cast<int8_t>(blocks[2 + i])) * scale;
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

template <int kBits, bool kHasMinimum>
void quantize_simple(const float* values, std::byte* blocks, int64_t n) {
  using Block = SimpleBlock<kBits, kHasMinimum>;
  for (int64_t at = 0; at < n; at += 32, values += 32, blocks += Block::kBytes) {
    float scale, minimum = 0, offset = static_cast<float>(Block::kHalf) + 0.5f;
    if (kHasMinimum) {
      float low = values[0], high = values[0];
      for (int i = 1; i < 32; ++i) {
        low = values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
      }
      scale = (high - low) / static_cast<float>(Block::kMost);
      minimum = low;
      offset = 0.5f;
      store_f16(blocks + 2, minimum);
    } else {
      scale = extreme_of(values, 32) / static_cast<float>(-Block::kHalf);
    }
    store_f16(blocks, scale);
    const float inverse = inverse_or_zero(scale);
    uint8_t codes[32];
    for (int i = 0; i < 32; ++i) {
      codes[i] =
          static_cast<uint8_t>(clamp_to_int((values[i] - minimum) * inverse + offset, 0, Block::kMost));
    }
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
    for (int i = 0; i < 32; ++i) {
      values[i] = kHasMinimum ? scale * static_cast<float>(codes[i]) + minimum
                              : scale * static_cast<float>(codes[i] - Block::kHalf);
    }
  }
}

// ---- K-quants: 256 numbers in sub-blocks of 16 or 32, each with a sub-scale of few bits.

/// What one K-block holds, unpacked. A number is scale * sub_scale * code - minimum * sub_minimum.
struct KBlock {
  float scale = 0, minimum = 0;
  uint8_t scales[16], minima[16], codes[256];
};

/// Codes 0 to `most` over each sub-block's range; sub-scales and sub-minima 0 to `most_scale`.
inline void fit_with_minima(const float* values, int sub, int most, int most_scale, KBlock& block) {
  float steps[16], lows[16], largest_step = 0, largest_low = 0;
  for (int s = 0; s < 256 / sub; ++s) {
    float low = 0, high = 0;
    for (int i = 0; i < sub; ++i) {
      low = values[s * sub + i] < low ? values[s * sub + i] : low;
      high = values[s * sub + i] > high ? values[s * sub + i] : high;
    }
    steps[s] = (high - low) / static_cast<float>(most);
    lows[s] = -low;
    largest_step = steps[s] > largest_step ? steps[s] : largest_step;
    largest_low = lows[s] > largest_low ? lows[s] : largest_low;
  }
  block.scale = f16_to_f32(f32_to_f16(largest_step / static_cast<float>(most_scale)));
  block.minimum = f16_to_f32(f32_to_f16(largest_low / static_cast<float>(most_scale)));
  for (int s = 0; s < 256 / sub; ++s) {
    block.scales[s] =
        static_cast<uint8_t>(round_to_int(steps[s] * inverse_or_zero(block.scale), 0, most_scale));
    block.minima[s] =
        static_cast<uint8_t>(round_to_int(lows[s] * inverse_or_zero(block.minimum), 0, most_scale));
    const float inverse = inverse_or_zero(block.scale * static_cast<float>(block.scales[s]));
    const float low = block.minimum * static_cast<float>(block.minima[s]);
    for (int i = s * sub; i < (s + 1) * sub; ++i) {
      block.codes[i] = static_cast<uint8_t>(round_to_int((values[i] + low) * inverse, 0, most));
    }
  }
}

/// Codes 0 to 2 half - 1, the code `half` standing for zero; sub-scales -half_scale to half_scale - 1, stored
/// as signed bytes.
inline void fit_symmetric(const float* values, int half, int half_scale, KBlock& block) {
  float steps[16];
  for (int s = 0; s < 16; ++s) steps[s] = extreme_of(values + 16 * s, 16) / static_cast<float>(-half);
  block.scale = f16_to_f32(f32_to_f16(extreme_of(steps, 16) / static_cast<float>(-half_scale)));
  for (int s = 0; s < 16; ++s) {
    const int sub_scale = round_to_int(steps[s] * inverse_or_zero(block.scale), -half_scale, half_scale - 1);
    block.scales[s] = static_cast<uint8_t>(sub_scale);
    const float inverse = inverse_or_zero(block.scale * static_cast<float>(sub_scale));
    for (int i = 16 * s; i < 16 * s + 16; ++i) {
      block.codes[i] = static_cast<uint8_t>(half + round_to_int(values[i] * inverse, -half, half - 1));
    }
  }
}

inline void quantize_q2_K(const float* values, std::byte* blocks, int64_t n) {
  for (int64_t at = 0; at < n; at += 256, values += 256, blocks += 84) {
    KBlock block;
    fit_with_minima(values, 16, 3, 15, block);
    for (int s = 0; s < 16; ++s) blocks[s] = to_byte(block.scales[s] | block.minima[s] << 4);
    pack_pairs_256(block.codes, blocks + 16);
    store_f16(blocks + 80, block.scale);
    store_f16(blocks + 82, block.minimum);
  }
}

inline void quantize_q3_K(const float* values, std::byte* blocks, int64_t n) {
  for (int64_t at = 0; at < n; at += 256, values += 256, blocks += 110) {
    KBlock block;
    fit_symmetric(values, 4, 32, block);
    pack_bits_256(block.codes, 2, blocks);
    pack_pairs_256(block.codes, blocks + 32);
    for (uint8_t& scale : block.scales) scale = static_cast<uint8_t>(scale + 32);
    pack_scales_q3(block.scales, blocks + 96);
    store_f16(blocks + 108, block.scale);
  }
}

template <int kBits>
void quantize_q45_K(const float* values, std::byte* blocks, int64_t n) {
  constexpr int kCodesAt = kBits == 5 ? 48 : 16;
  for (int64_t at = 0; at < n; at += 256, values += 256, blocks += kCodesAt + 128) {
    KBlock block;
    fit_with_minima(values, 32, (1 << kBits) - 1, 63, block);
    store_f16(blocks, block.scale);
    store_f16(blocks + 2, block.minimum);
    pack_scales_and_minima(block.scales, block.minima, blocks + 4);
    if (kBits == 5) pack_bits_256(block.codes, 4, blocks + 16);
    pack_nibbles_256(block.codes, blocks + kCodesAt);
  }
}

inline void quantize_q6_K(const float* values, std::byte* blocks, int64_t n) {
  for (int64_t at = 0; at < n; at += 256, values += 256, blocks += 210) {
    KBlock block;
    fit_symmetric(values, 32, 128, block);
    pack_sixes_256(block.codes, blocks);
    std::memcpy(blocks + 192, block.scales, 16);
    store_f16(blocks + 208, block.scale);
  }
}

inline void dequantize_q2_K(const std::byte* blocks, float* values, int64_t n) {
  for (int64_t at = 0; at < n; at += 256, values += 256, blocks += 84) {
    uint8_t codes[256];
    unpack_pairs_256(blocks + 16, codes);
    const float scale = load_f16(blocks + 80), minimum = load_f16(blocks + 82);
    for (int s = 0; s < 16; ++s) {
      const float step = scale * static_cast<float>(byte_of(blocks + s) & 15);
      const float low = minimum * static_cast<float>(byte_of(blocks + s) >> 4);
      for (int i = 16 * s; i < 16 * s + 16; ++i) values[i] = step * static_cast<float>(codes[i]) - low;
    }
  }
}

template <int kHalf>
void scale_symmetric(float scale, const int8_t* sub_scales, const uint8_t* codes, float* values) {
  for (int s = 0; s < 16; ++s) {
    const float step = scale * static_cast<float>(sub_scales[s]);
    for (int i = 16 * s; i < 16 * s + 16; ++i) values[i] = step * static_cast<float>(codes[i] - kHalf);
  }
}

inline void dequantize_q3_K(const std::byte* blocks, float* values, int64_t n) {
  for (int64_t at = 0; at < n; at += 256, values += 256, blocks += 110) {
    uint8_t codes[256], scales[16];
    int8_t sub_scales[16];
    unpack_pairs_256(blocks + 32, codes);
    unpack_bits_256(blocks, 2, codes);
    unpack_scales_q3(blocks + 96, scales);
    for (int s = 0; s < 16; ++s) sub_scales[s] = static_cast<int8_t>(scales[s] - 32);
    scale_symmetric<4>(load_f16(blocks + 108), sub_scales, codes, values);
  }
}

template <int kBits>
void dequantize_q45_K(const std::byte* blocks, float* values, int64_t n) {
  constexpr int kCodesAt = kBits == 5 ? 48 : 16;
  for (int64_t at = 0; at < n; at += 256, values += 256, blocks += kCodesAt + 128) {
    uint8_t codes[256], scales[8], minima[8];
    unpack_nibbles_256(blocks + kCodesAt, codes);
    if (kBits == 5) unpack_bits_256(blocks + 16, 4, codes);
    unpack_scales_and_minima(blocks + 4, scales, minima);
    const float scale = load_f16(blocks), minimum = load_f16(blocks + 2);
    for (int s = 0; s < 8; ++s) {
      const float step = scale * static_cast<float>(scales[s]), low = minimum * static_cast<float>(minima[s]);
      for (int i = 32 * s; i < 32 * s + 32; ++i) values[i] = step * static_cast<float>(codes[i]) - low;
    }
  }
}

inline void dequantize_q6_K(const std::byte* blocks, float* values, int64_t n) {
  for (int64_t at = 0; at < n; at += 256, values += 256, blocks += 210) {
    uint8_t codes[256];
    int8_t sub_scales[16];
    unpack_sixes_256(blocks, codes);
    std::memcpy(sub_scales, blocks + 192, 16);
    scale_symmetric<32>(load_f16(blocks + 208), sub_scales, codes, values);
  }
}

// ---- iq4_nl and iq4_xs: a code names one of kIq4Values

inline uint8_t nearest_iq4(float value) {
  int code = 0;
  for (int k = 1; k < 16; ++k) {
    code += value > 0.5f * static_cast<float>(kIq4Values[k - 1] + kIq4Values[k]) ? 1 : 0;
  }
  return static_cast<uint8_t>(code);
}

inline void quantize_iq4_nl(const float* values, std::byte* blocks, int64_t n) {
  for (int64_t at = 0; at < n; at += 32, values += 32, blocks += 18) {
    store_f16(blocks, extreme_of(values, 32) / -127.0f);
    const float inverse = inverse_or_zero(load_f16(blocks));
    uint8_t codes[32];
    for (int i = 0; i < 32; ++i) codes[i] = nearest_iq4(values[i] * inverse);
    pack_nibbles_32(codes, blocks + 2);
  }
}

inline void dequantize_iq4_nl(const std::byte* blocks, float* values, int64_t n) {
  for (int64_t at = 0; at < n; at += 32, values += 32, blocks += 18) {
    const float scale = load_f16(blocks);
    uint8_t codes[32];
    unpack_nibbles_32(blocks + 2, codes);
    for (int i = 0; i < 32; ++i) values[i] = scale * static_cast<float>(kIq4Values[codes[i]]);
  }
}

inline void quantize_iq4_xs(const float* values, std::byte* blocks, int64_t n) {
  for (int64_t at = 0; at < n; at += 256, values += 256, blocks += 136) {
    float steps[8];
    for (int s = 0; s < 8; ++s) steps[s] = extreme_of(values + 32 * s, 32) / -127.0f;
    store_f16(blocks, extreme_of(steps, 8) / -32.0f);
    const float scale = load_f16(blocks);
    uint8_t scales[8], codes[32];
    for (int s = 0; s < 8; ++s) {
      const int sub_scale = round_to_int(steps[s] * inverse_or_zero(scale), -32, 31);
      scales[s] = static_cast<uint8_t>(sub_scale + 32);
      const float inverse = inverse_or_zero(scale * static_cast<float>(sub_scale));
      for (int i = 0; i < 32; ++i) codes[i] = nearest_iq4(values[32 * s + i] * inverse);
      pack_nibbles_32(codes, blocks + 8 + 16 * s);
    }
    pack_scales_iq4(scales, blocks + 2);
  }
}

inline void dequantize_iq4_xs(const std::byte* blocks, float* values, int64_t n) {
  for (int64_t at = 0; at < n; at += 256, values += 256, blocks += 136) {
    const float scale = load_f16(blocks);
    uint8_t scales[8], codes[32];
    unpack_scales_iq4(blocks + 2, scales);
    for (int s = 0; s < 8; ++s) {
      const float step = scale * static_cast<float>(scales[s] - 32);
      unpack_nibbles_32(blocks + 8 + 16 * s, codes);
      for (int i = 0; i < 32; ++i) values[32 * s + i] = step * static_cast<float>(kIq4Values[codes[i]]);
    }
  }
}

}  // namespace
}  // namespace chaski
