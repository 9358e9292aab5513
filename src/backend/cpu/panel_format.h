// How a panel keeps the formats of blocks, as facts that packing and kernels share: of how many bits the
// codes are, what they stand for, and where scales come from. A weight is scale × value(code) + minimum.
//
// Codes, per 32 columns: planes of 8, 4, 2 and 1 bits that add up to the code's, low bits first. A plane of n
// bits is [n][16][4] bytes; in word w of a row, bits n i … of byte c belong to column 4 (w 8 / n + i) + c.
// Scales, per group of 32 columns: [16] f16 d and, with minima, [16] f16 m. With sub-scales the group is 256
// columns, and [pieces][16] int8 follow, by which d is multiplied, then as many for m.
// Wide codes are 16 bits, two a word: word 2 i of a row has columns 4 i and 4 i + 2, the next 4 i + 1 and
// 4 i + 3. Their scales are powers of two, [16] int8 exponents per group of 32; −128 stands for no number.
#pragma once

#include <array>

#include "backend/cpu/kernels.h"

namespace chaski::cpu {

enum class CodeKind : uint8_t {
  kUnsigned,  ///< stands for code − zero
  kSigned,    ///< a signed byte that stands for itself
  kIq4,       ///< stands for kIq4Values[code]
};

struct PanelFormat {
  int bits = 0;  ///< of a code; 0 for numbers without blocks
  CodeKind kind = CodeKind::kUnsigned;
  int zero = 0;
  bool has_minimum = false;
  bool has_sub_scales = false;
  int piece_columns = 32;      ///< columns that share a scale: 32 or 16
  bool has_exponents = false;  ///< the scales are exponents

  constexpr int group_columns() const { return has_sub_scales ? 256 : 32; }
  constexpr int group_pieces() const { return group_columns() / piece_columns; }
  constexpr int code_bytes() const { return 4 * kPanelRows * bits; }  ///< of 32 columns
  constexpr int sub_scales_at() const { return 2 * kPanelRows * (has_minimum ? 2 : 1); }
  constexpr int sub_minima_at() const { return sub_scales_at() + kPanelRows * group_pieces(); }
  constexpr int scale_bytes() const {  ///< of a group
    if (has_exponents) return kPanelRows;
    if (!has_sub_scales) return sub_scales_at();
    return sub_scales_at() + kPanelRows * group_pieces() * (has_minimum ? 2 : 1);
  }
};

/// Numbers without blocks of their own, where they may be rounded to 14 bits per row and 32 columns.
inline constexpr PanelFormat kWideFormat = {16, CodeKind::kSigned, 0, false, false, 32, true};

/// The widest plane of codes of so many bits.
constexpr int plane_bits(int bits) { return bits >= 8 ? 8 : bits >= 4 ? 4 : bits >= 2 ? 2 : 1; }

constexpr PanelFormat panel_format(DType dtype) {
  constexpr auto kUnsigned = CodeKind::kUnsigned, kSigned = CodeKind::kSigned, kIq4 = CodeKind::kIq4;
  switch (dtype) {
    case DType::kQ8_0:
      return {8, kSigned, 0, false, false, 32};
    case DType::kQ4_0:
      return {4, kUnsigned, 8, false, false, 32};
    case DType::kQ4_1:
      return {4, kUnsigned, 0, true, false, 32};
    case DType::kQ5_0:
      return {5, kUnsigned, 16, false, false, 32};
    case DType::kQ5_1:
      return {5, kUnsigned, 0, true, false, 32};
    case DType::kQ2_K:
      return {2, kUnsigned, 0, true, true, 16};
    case DType::kQ3_K:
      return {3, kUnsigned, 4, false, true, 16};
    case DType::kQ4_K:
      return {4, kUnsigned, 0, true, true, 32};
    case DType::kQ5_K:
      return {5, kUnsigned, 0, true, true, 32};
    case DType::kQ6_K:
      return {6, kUnsigned, 32, false, true, 16};
    case DType::kIQ4_NL:
      return {4, kIq4, 0, false, false, 32};
    case DType::kIQ4_XS:
      return {4, kIq4, 0, false, true, 32};
    default:
      return {};
  }
}

}  // namespace chaski::cpu
