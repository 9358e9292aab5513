// Rows of plain numbers: f32, f16, bf16. The same bits as the functions of dtype.h give number by number.
#pragma once

#include "tensor/dtype.h"
#include "tensor/lanes.h"

namespace chaski {
namespace {

inline float load_f16(const std::byte* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return f16_to_f32(bits);
}

/// Which NaN arithmetic gives depends on the machine; what is stored does not.
inline void store_f16(std::byte* at, float value) {
  const uint16_t bits = value != value ? uint16_t{0x7E00} : f32_to_f16(value);
  std::memcpy(at, &bits, sizeof bits);
}

inline void store_f32_row(const float* values, std::byte* out, int64_t n) {
  std::memcpy(out, values, static_cast<size_t>(n) * sizeof(float));
}
inline void load_f32_row(const std::byte* in, float* values, int64_t n) {
  std::memcpy(values, in, static_cast<size_t>(n) * sizeof(float));
}

typedef F32s::Register F32Register;
typedef U32s::Register U32Register;

struct F16 {
  static CHASKI_INLINE F32Register widen(U32Register half) {
    const U32Register magnitude = half & 0x7FFFu;
    // As if the exponent were f32's, then moved by 2^112: right for subnormal numbers as well.
    const U32Register finite = (U32Register)((F32Register)(magnitude << 13) * 0x1p112f);
    const U32Register special = 0x7F800000u | magnitude << 13;
    const U32Register bits = magnitude >= 0x7C00u ? special : finite;
    return (F32Register)((half & 0x8000u) << 16 | bits);
  }
  static CHASKI_INLINE U32Register narrow(F32Register value) {
    const U32Register bits = (U32Register)value, magnitude = bits & 0x7FFFFFFFu;
    const U32Register nan = 0x7E00u | (magnitude >> 13 & 0x3FFu);
    const U32Register normal = (magnitude - 0x38000000u + 0xFFFu + (magnitude >> 13 & 1u)) >> 13;
    // Below 2^-14: adding 0.5 leaves the rounded subnormal in the low bits.
    const U32Register tiny = (U32Register)((F32Register)magnitude + 0.5f) - 0x3F000000u;
    const U32Register infinity = U32Register{} + 0x7C00u;
    U32Register half = magnitude < 0x38800000u ? tiny : normal;
    half = magnitude >= 0x477FF000u ? infinity : half;  // 65520 and above
    half = magnitude > 0x7F800000u ? nan : half;
    return (bits >> 16 & 0x8000u) | half;
  }
};

struct BF16 {
  static CHASKI_INLINE F32Register widen(U32Register half) { return (F32Register)(half << 16); }
  static CHASKI_INLINE U32Register narrow(F32Register value) {
    const U32Register bits = (U32Register)value;
    const U32Register quiet = bits >> 16 | 0x40u, rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
    return (bits & 0x7FFFFFFFu) > 0x7F800000u ? quiet : rounded;
  }
};

typedef uint16_t HalfRegister __attribute__((vector_size(kRegisterBytes / 2)));
constexpr int64_t kInRegister = kRegisterBytes / 4;

template <class Half>
void store_16bit_row(const float* values, std::byte* out, int64_t n) {
  for (int64_t at = 0; at < n; at += kInRegister) {
    const auto count = static_cast<size_t>(n - at < kInRegister ? n - at : kInRegister);
    F32Register value{};
    if (count == kInRegister) {
      std::memcpy(&value, values + at, sizeof value);
    } else {
      std::memcpy(&value, values + at, count * sizeof(float));
    }
    const HalfRegister half = __builtin_convertvector(Half::narrow(value), HalfRegister);
    if (count == kInRegister) {
      std::memcpy(out + 2 * at, &half, sizeof half);
    } else {
      std::memcpy(out + 2 * at, &half, count * sizeof(uint16_t));
    }
  }
}

template <class Half>
void load_16bit_row(const std::byte* in, float* values, int64_t n) {
  for (int64_t at = 0; at < n; at += kInRegister) {
    const auto count = static_cast<size_t>(n - at < kInRegister ? n - at : kInRegister);
    HalfRegister half{};
    if (count == kInRegister) {
      std::memcpy(&half, in + 2 * at, sizeof half);
    } else {
      std::memcpy(&half, in + 2 * at, count * sizeof(uint16_t));
    }
    const F32Register value = Half::widen(__builtin_convertvector(half, U32Register));
    if (count == kInRegister) {
      std::memcpy(values + at, &value, sizeof value);
    } else {
      std::memcpy(values + at, &value, count * sizeof(float));
    }
  }
}

}  // namespace
}  // namespace chaski
