// Looking formats up, and the two half-precision types number by number. The formats' definitions are in
// codecs_*.h.
#include "tensor/dtype.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/checked.h"
#include "base/error.h"
#include "tensor/quantize.h"

namespace chaski {
extern const std::array<RowCodec, kDTypeCount> kScalarCodecs;  // codecs_scalar.cpp

namespace {

using Formats = std::array<BlockFormat, kDTypeCount>;

/// Made when first asked for, so that it may be asked before main.
const Formats& formats() {
  static const Formats table = [] {
    Formats made{{
        {DType::kF32, "f32", 1, 4},
        {DType::kF16, "f16", 1, 2},
        {DType::kBF16, "bf16", 1, 2},
        {DType::kI32, "i32", 1, 4},
        {DType::kQ8_0, "q8_0", 32, 34},
        {DType::kQ4_0, "q4_0", 32, 18},
        {DType::kQ4_1, "q4_1", 32, 20},
        {DType::kQ6_K, "q6_K", 256, 210},
        {DType::kQ5_0, "q5_0", 32, 22},
        {DType::kQ5_1, "q5_1", 32, 24},
        {DType::kQ2_K, "q2_K", 256, 84},
        {DType::kQ3_K, "q3_K", 256, 110},
        {DType::kQ4_K, "q4_K", 256, 144},
        {DType::kQ5_K, "q5_K", 256, 176},
        {DType::kIQ4_NL, "iq4_nl", 32, 18},
        {DType::kIQ4_XS, "iq4_xs", 256, 136},
    }};
    for (size_t i = 0; i < made.size(); ++i) {
      made[i].quantize_row = kScalarCodecs[i].quantize_row;
      made[i].dequantize_row = kScalarCodecs[i].dequantize_row;
    }
    return made;
  }();
  return table;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

const BlockFormat& format_of(DType dtype) {
  const BlockFormat& format = formats()[static_cast<size_t>(dtype)];
  CHECK(format.dtype == dtype, "the table of formats is out of order");
  return format;
}

std::span<const BlockFormat> all_formats() { return formats(); }

std::optional<DType> dtype_named(std::string_view name) {
  const auto same = [](char a, char b) { return lower(a) == lower(b); };
  for (const BlockFormat& format : formats()) {
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
