// The formats' definitions in plain scalar code, after GGUF. Nothing here is fast: kernels are elsewhere and
// are tested against this file.
#include "tensor/dtype.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/checked.h"
#include "base/error.h"

namespace chaski {
namespace {

float load_f16(const std::byte* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return f16_to_f32(bits);
}

void store_f16(std::byte* at, float value) {
  const uint16_t bits = f32_to_f16(value);
  std::memcpy(at, &bits, sizeof bits);
}

/// `value` as an integer in [low, high]; NaN gives low. A plain cast of such a value would be undefined.
int clamp_to_int(float value, int low, int high) {
  if (!(value > static_cast<float>(low))) return low;
  if (value >= static_cast<float>(high)) return high;
  return static_cast<int>(value);
}

float inverse_or_zero(float value) { return value == 0 ? 0.0f : 1.0f / value; }

// ---- plain numbers

void store_f32_row(const float* values, std::byte* out, int64_t n) {
  std::memcpy(out, values, static_cast<size_t>(n) * sizeof(float));
}
void load_f32_row(const std::byte* in, float* values, int64_t n) {
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

void quantize_q8_0(const float* values, std::byte* blocks, int64_t n) {
  for (int64_t at = 0; at < n; at += 32, values += 32, blocks += 34) {
    float largest = 0;
    for (int i = 0; i < 32; ++i) largest = std::max(largest, std::fabs(values[i]));
    const float scale = largest / 127.0f;
    const float inverse = inverse_or_zero(scale);
    store_f16(blocks, scale);
    for (int i = 0; i < 32; ++i) {
      const int q = clamp_to_int(std::round(values[i] * inverse), -128, 127);
      blocks[2 + i] = static_cast<std::byte>(static_cast<int8_t>(q));
    }
  }
}

void dequantize_q8_0(const std::byte* blocks, float* values, int64_t n) {
  for (int64_t at = 0; at < n; at += 32, values += 32, blocks += 34) {
    const float scale = load_f16(blocks);
    for (int i = 0; i < 32; ++i) {
      values[i] = static_cast<float>(static_cast<int8_t>(blocks[2 + i])) * scale;
    }
  }
}

// ---- q4_0 and q4_1: the low halves of the 16 bytes are elements 0 to 15, the high halves 16 to 31

void pack_nibbles(const std::array<int, 32>& codes, std::byte* out) {
  for (size_t i = 0; i < 16; ++i) out[i] = static_cast<std::byte>(codes[i] | codes[i + 16] << 4);
}

int low_nibble(std::byte b) { return std::to_integer<int>(b) & 15; }
int high_nibble(std::byte b) { return std::to_integer<int>(b) >> 4; }

/// f16 scale, 16 bytes; a code stands for (code - 8) * scale, and the largest magnitude gets the code 0.
void quantize_q4_0(const float* values, std::byte* blocks, int64_t n) {
  for (int64_t at = 0; at < n; at += 32, values += 32, blocks += 18) {
    float extreme = 0;
    for (int i = 0; i < 32; ++i) {
      if (std::fabs(values[i]) > std::fabs(extreme)) extreme = values[i];
    }
    const float scale = extreme / -8.0f;
    const float inverse = inverse_or_zero(scale);
    store_f16(blocks, scale);
    std::array<int, 32> codes;
    for (size_t i = 0; i < 32; ++i) {
      codes[i] = clamp_to_int(values[i] * inverse + 8.5f, 0, 15);
    }
    pack_nibbles(codes, blocks + 2);
  }
}

void dequantize_q4_0(const std::byte* blocks, float* values, int64_t n) {
  for (int64_t at = 0; at < n; at += 32, values += 32, blocks += 18) {
    const float scale = load_f16(blocks);
    for (int i = 0; i < 16; ++i) {
      values[i] = static_cast<float>(low_nibble(blocks[2 + i]) - 8) * scale;
      values[i + 16] = static_cast<float>(high_nibble(blocks[2 + i]) - 8) * scale;
    }
  }
}

/// f16 scale, f16 minimum, 16 bytes; a code stands for code * scale + minimum.
void quantize_q4_1(const float* values, std::byte* blocks, int64_t n) {
  for (int64_t at = 0; at < n; at += 32, values += 32, blocks += 20) {
    const auto [low, high] = std::minmax_element(values, values + 32);
    const float minimum = *low;
    const float scale = (*high - minimum) / 15.0f;
    const float inverse = inverse_or_zero(scale);
    store_f16(blocks, scale);
    store_f16(blocks + 2, minimum);
    std::array<int, 32> codes;
    for (size_t i = 0; i < 32; ++i) {
      codes[i] = clamp_to_int((values[i] - minimum) * inverse + 0.5f, 0, 15);
    }
    pack_nibbles(codes, blocks + 4);
  }
}

void dequantize_q4_1(const std::byte* blocks, float* values, int64_t n) {
  for (int64_t at = 0; at < n; at += 32, values += 32, blocks += 20) {
    const float scale = load_f16(blocks);
    const float minimum = load_f16(blocks + 2);
    for (int i = 0; i < 16; ++i) {
      values[i] = static_cast<float>(low_nibble(blocks[4 + i])) * scale + minimum;
      values[i + 16] = static_cast<float>(high_nibble(blocks[4 + i])) * scale + minimum;
    }
  }
}

// ---- q6_K: 256 numbers as 128 bytes of low halves, 64 bytes of high pairs of bits, 16 signed scales, f16
// scale. A number is scale * sub-scale * (code - 32); 16 neighbours share a sub-scale.

struct Q6Place {
  int low_byte, low_shift, high_byte, high_shift;
};

/// Where the six bits of element `i` (0 to 255) lie.
Q6Place q6_place(int i) {
  const int half = i / 128, quarter = i % 128 / 32, lane = i % 32;
  return {half * 64 + (quarter & 1) * 32 + lane, (quarter >> 1) * 4, 128 + half * 32 + lane, quarter * 2};
}

/// The step of 16 values on a grid of codes -32 to 31 that loses least, large values weighing more.
float best_q6_step(const float* values) {
  float extreme = 0;
  for (int i = 0; i < 16; ++i) {
    if (std::fabs(values[i]) > std::fabs(extreme)) extreme = values[i];
  }
  if (extreme == 0 || !std::isfinite(extreme)) return extreme;
  float best_step = 0, best_gain = -1;
  for (int tenths = -9; tenths <= 9; ++tenths) {
    const float inverse = -(32.0f + 0.1f * static_cast<float>(tenths)) / extreme;
    float along = 0, norm = 0;
    for (int i = 0; i < 16; ++i) {
      const float code = static_cast<float>(clamp_to_int(std::nearbyint(values[i] * inverse), -32, 31));
      const float weight = values[i] * values[i];
      along += weight * values[i] * code;
      norm += weight * code * code;
    }
    if (norm > 0 && along * along > best_gain * norm) {
      best_step = along / norm;
      best_gain = along * along / norm;
    }
  }
  return best_step;
}

void quantize_q6_K(const float* values, std::byte* blocks, int64_t n) {
  for (int64_t at = 0; at < n; at += 256, values += 256, blocks += 210) {
    std::array<float, 16> steps;
    float extreme = 0;
    for (size_t s = 0; s < 16; ++s) {
      steps[s] = best_q6_step(values + 16 * s);
      if (std::fabs(steps[s]) > std::fabs(extreme)) extreme = steps[s];
    }
    std::fill(blocks, blocks + 210, std::byte{0});
    const float scale = extreme / -128.0f;
    store_f16(blocks + 208, scale);
    const float stored_scale = load_f16(blocks + 208);
    const float inverse = inverse_or_zero(scale);
    for (int i = 0; i < 256; ++i) {
      const int sub_scale =
          clamp_to_int(std::nearbyint(steps[static_cast<size_t>(i / 16)] * inverse), -128, 127);
      blocks[192 + i / 16] = static_cast<std::byte>(static_cast<int8_t>(sub_scale));
      const float step = stored_scale * static_cast<float>(sub_scale);
      const int code = step == 0 ? 32 : 32 + clamp_to_int(std::nearbyint(values[i] / step), -32, 31);
      const Q6Place place = q6_place(i);
      blocks[place.low_byte] |= static_cast<std::byte>((code & 15) << place.low_shift);
      blocks[place.high_byte] |= static_cast<std::byte>(code >> 4 << place.high_shift);
    }
  }
}

void dequantize_q6_K(const std::byte* blocks, float* values, int64_t n) {
  for (int64_t at = 0; at < n; at += 256, values += 256, blocks += 210) {
    const float scale = load_f16(blocks + 208);
    for (int i = 0; i < 256; ++i) {
      const Q6Place place = q6_place(i);
      const int low = std::to_integer<int>(blocks[place.low_byte]) >> place.low_shift & 15;
      const int high = std::to_integer<int>(blocks[place.high_byte]) >> place.high_shift & 3;
      const float step = scale * static_cast<float>(static_cast<int8_t>(blocks[192 + i / 16]));
      values[i] = step * static_cast<float>((low | high << 4) - 32);
    }
  }
}

constexpr std::array<BlockFormat, 8> kFormats{{
    {DType::kF32, "f32", 1, 4, store_f32_row, load_f32_row},
    {DType::kF16, "f16", 1, 2, store_16bit_row<f32_to_f16>, load_16bit_row<f16_to_f32>},
    {DType::kBF16, "bf16", 1, 2, store_16bit_row<f32_to_bf16>, load_16bit_row<bf16_to_f32>},
    {DType::kI32, "i32", 1, 4, nullptr, nullptr},
    {DType::kQ8_0, "q8_0", 32, 34, quantize_q8_0, dequantize_q8_0},
    {DType::kQ4_0, "q4_0", 32, 18, quantize_q4_0, dequantize_q4_0},
    {DType::kQ4_1, "q4_1", 32, 20, quantize_q4_1, dequantize_q4_1},
    {DType::kQ6_K, "q6_K", 256, 210, quantize_q6_K, dequantize_q6_K},
}};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

const BlockFormat& format_of(DType dtype) {
  const BlockFormat& format = kFormats[static_cast<size_t>(dtype)];
  CHECK(format.dtype == dtype, "the table of formats is out of order");
  return format;
}

std::span<const BlockFormat> all_formats() { return kFormats; }

std::optional<DType> dtype_named(std::string_view name) {
  const auto same = [](char a, char b) { return lower(a) == lower(b); };
  for (const BlockFormat& format : kFormats) {
    if (std::equal(name.begin(), name.end(), format.name.begin(), format.name.end(), same)) {
      return format.dtype;
    }
  }
  return std::nullopt;
}

int64_t row_bytes(DType dtype, int64_t n) {
  const BlockFormat& format = format_of(dtype);
  const auto bytes = checked_mul<int64_t>(n / format.block_elements, format.block_bytes);
  if (n < 0 || n % format.block_elements != 0 || !bytes) {
    throw Error(ErrorCode::kCorrupt, "measure row",
                fmt::format("a row of {} numbers in format {}: expected a multiple of {}", n, format.name,
                            format.block_elements));
  }
  return *bytes;
}

float f16_to_f32(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t magnitude = bits & 0x7FFFu;
  if (magnitude >= 0x7C00u) {  // infinity and NaN
    return std::bit_cast<float>(sign | 0x7F800000u | (magnitude & 0x3FFu) << 13);
  }
  // As if the exponent were f32's, then moved by 2^112: right for subnormal numbers as well.
  const float value = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(value));
}

uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  uint32_t half;
  if (magnitude > 0x7F800000u) {
    half = 0x7E00u | (magnitude >> 13 & 0x3FFu);
  } else if (magnitude >= 0x477FF000u) {  // 65520 and above round to infinity
    half = 0x7C00u;
  } else if (magnitude <
             0x38800000u) {  // below 2^-14: adding 0.5 leaves the rounded subnormal in the low bits
    half = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3F000000u;
  } else {
    half = (magnitude - 0x38000000u + 0xFFFu + (magnitude >> 13 & 1u)) >> 13;
  }
  return static_cast<uint16_t>(sign | half);
}

uint16_t f32_to_bf16(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  bits += 0x7FFFu + (bits >> 16 & 1u);
  return static_cast<uint16_t>(bits >> 16);
}

}  // namespace chaski
