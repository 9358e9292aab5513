// Element types and block formats. The scalar functions here are the definition of each format: every kernel
// and every file reader is tested against them. Source: docs/sources.md#block-formats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace chaski {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kI32,
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ6_K,
  kQ5_0,
  kQ5_1,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kIQ4_NL,
  kIQ4_XS,
};
inline constexpr int kDTypeCount = 16;

/// What the codes of iq4_nl and iq4_xs stand for, denser around zero.
inline constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};

/// How a row of numbers lies in bytes: `block_elements` numbers in `block_bytes` bytes, blocks one after
/// another.
struct BlockFormat {
  DType dtype;
  std::string_view name;  ///< as users write it: "f32", "q8_0", …
  int block_elements;
  int block_bytes;
  /// `n` f32 numbers to blocks; `n` is a multiple of block_elements. Null for i32.
  void (*quantize_row)(const float* values, std::byte* blocks, int64_t n) = nullptr;
  /// Blocks to `n` f32 numbers. Null for i32.
  void (*dequantize_row)(const std::byte* blocks, float* values, int64_t n) = nullptr;

  bool is_quantized() const { return block_elements > 1; }
};

const BlockFormat& format_of(DType dtype);
std::span<const BlockFormat> all_formats();
std::optional<DType> dtype_named(std::string_view name);
inline std::string_view name_of(DType dtype) { return format_of(dtype).name; }

/// Bytes of a row of `n` elements. Throws Error(kCorrupt) where `n` is negative, no multiple of the block, or
/// wraps.
int64_t row_bytes(DType dtype, int64_t n);

float f16_to_f32(uint16_t bits);
uint16_t f32_to_f16(float value);  ///< round to nearest even, overflow to infinity
inline float bf16_to_f32(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  return __builtin_bit_cast(float, wide);
}
uint16_t f32_to_bf16(float value);  ///< round to nearest even, NaN stays NaN

}  // namespace chaski
