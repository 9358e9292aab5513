#include "backend/cpu/panel_blocks.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "backend/cpu/panel_format.h"
#include "tensor/block_layout.h"

namespace chaski::cpu {
namespace {

/// What a group of a row holds, whatever its format: f16 bits, sub-scales by piece, one code a byte.
struct RowGroup {
  uint16_t d = 0, m = 0;
  int8_t scales[16] = {}, minima[16] = {};
  uint8_t codes[256];
};

uint16_t u16_at(const std::byte* at) {
  uint16_t bits;
  std::memcpy(&bits, at, sizeof bits);
  return bits;
}

void read_simple(const std::byte* block, const PanelFormat& f, RowGroup& group) {
  group.d = u16_at(block);
  if (f.has_minimum) group.m = u16_at(block + 2);
  block += f.has_minimum ? 4 : 2;
  if (f.bits == 8) {
    std::memcpy(group.codes, block, 32);
    return;
  }
  unpack_nibbles_32(block + (f.bits == 5 ? 4 : 0), group.codes);
  if (f.bits == 5) unpack_fifth_bits_32(block, group.codes);
}

/// The factor of minima in a K-block, which subtracts them: with its sign changed, they are added.
uint16_t negated_f16_at(const std::byte* at) { return static_cast<uint16_t>(u16_at(at) ^ 0x8000u); }

void read_q2_K(const std::byte* block, RowGroup& group) {
  for (int i = 0; i < 16; ++i) {
    group.scales[i] = static_cast<int8_t>(byte_of(block + i) & 15);
    group.minima[i] = static_cast<int8_t>(byte_of(block + i) >> 4);
  }
  unpack_pairs_256(block + 16, group.codes);
  group.d = u16_at(block + 80);
  group.m = negated_f16_at(block + 82);
}

void read_q3_K(const std::byte* block, RowGroup& group) {
  unpack_pairs_256(block + 32, group.codes);
  unpack_bits_256(block, 2, group.codes);
  uint8_t scales[16];
  unpack_scales_q3(block + 96, scales);
  for (int i = 0; i < 16; ++i) group.scales[i] = static_cast<int8_t>(scales[i] - 32);
  group.d = u16_at(block + 108);
}

void read_q45_K(const std::byte* block, const PanelFormat& f, RowGroup& group) {
  unpack_nibbles_256(block + (f.bits == 5 ? 48 : 16), group.codes);
  if (f.bits == 5) unpack_bits_256(block + 16, 4, group.codes);
  uint8_t scales[8], minima[8];
  unpack_scales_and_minima(block + 4, scales, minima);
  for (int i = 0; i < 8; ++i) {
    group.scales[i] = static_cast<int8_t>(scales[i]);
    group.minima[i] = static_cast<int8_t>(minima[i]);
  }
  group.d = u16_at(block);
  group.m = negated_f16_at(block + 2);
}

void read_q6_K(const std::byte* block, RowGroup& group) {
  unpack_sixes_256(block, group.codes);
  std::memcpy(group.scales, block + 192, 16);
  group.d = u16_at(block + 208);
}

void read_iq4_xs(const std::byte* block, RowGroup& group) {
  group.d = u16_at(block);
  uint8_t scales[8];
  unpack_scales_iq4(block + 2, scales);
  for (int i = 0; i < 8; ++i) {
    group.scales[i] = static_cast<int8_t>(scales[i] - 32);
    unpack_nibbles_32(block + 8 + 16 * i, group.codes + 32 * i);
  }
}

void read_group(DType dtype, const PanelFormat& f, const std::byte* block, RowGroup& group) {
  switch (dtype) {
    case DType::kQ2_K:
      return read_q2_K(block, group);
    case DType::kQ3_K:
      return read_q3_K(block, group);
    case DType::kQ4_K:
    case DType::kQ5_K:
      return read_q45_K(block, f, group);
    case DType::kQ6_K:
      return read_q6_K(block, group);
    case DType::kIQ4_XS:
      return read_iq4_xs(block, group);
    default:
      return read_simple(block, f, group);
  }
}

/// Calls `word` for each 32-bit word of a row's planes with its place in the panel and the first of the fours
/// of columns that it is about; kPlane bits of a code from bit kTo are there.
template <int kBits, int kTo = 0, class Byte, class Word>
void for_plane_words(Byte* codes, Word&& word) {
  constexpr int kPlane = plane_bits(kBits);
  for (int w = 0; w < kPlane; ++w, codes += 4 * kPanelRows) {
    word.template operator()<kPlane, kTo>(codes, w * (8 / kPlane));
  }
  if constexpr (kBits > kPlane) for_plane_words<kBits - kPlane, kTo + kPlane>(codes, word);
}

template <int kPlane>
constexpr uint32_t kPlaneMask = ((1u << kPlane) - 1) * 0x01010101u;

/// 32 codes, a byte each and four a word, to the row's place in a panel.
template <int kBits>
void pack_codes(const uint32_t* fours, std::byte* at) {
  for_plane_words<kBits>(at, [fours]<int kPlane, int kTo>(std::byte* to, int first) {
    uint32_t word = 0;
    for (int i = 0; i < 8 / kPlane; ++i) word |= (fours[first + i] >> kTo & kPlaneMask<kPlane>) << i * kPlane;
    std::memcpy(to, &word, sizeof word);
  });
}
/// The way back, into words that are zero before.
template <int kBits>
void unpack_codes(const std::byte* at, uint32_t* fours) {
  for_plane_words<kBits>(at, [fours]<int kPlane, int kTo>(const std::byte* from, int first) {
    uint32_t word;
    std::memcpy(&word, from, sizeof word);
    for (int i = 0; i < 8 / kPlane; ++i) fours[first + i] |= (word >> i * kPlane & kPlaneMask<kPlane>) << kTo;
  });
}

/// fn<kBits>() for the format's bits.
template <class Fn>
void with_bits(int bits, Fn&& fn) {
  if (bits == 2) fn.template operator()<2>();
  if (bits == 3) fn.template operator()<3>();
  if (bits == 4) fn.template operator()<4>();
  if (bits == 5) fn.template operator()<5>();
  if (bits == 6) fn.template operator()<6>();
  if (bits == 8) fn.template operator()<8>();
}

}  // namespace

void pack_blocks(DType dtype, const std::byte* row, int64_t n_cols, int64_t lane, std::byte* codes,
                 std::byte* scales) {
  const PanelFormat f = panel_format(dtype);
  RowGroup group;
  for (int64_t k = 0; k < n_cols; k += f.group_columns()) {
    read_group(dtype, f, row, group);
    row += format_of(dtype).block_bytes;
    for (int b = 0; b < f.group_columns() / 32; ++b, codes += f.code_bytes()) {
      uint32_t words[8];
      std::memcpy(words, group.codes + 32 * b, sizeof words);
      with_bits(f.bits, [&]<int kBits>() { pack_codes<kBits>(words, codes + 4 * lane); });
    }
    std::memcpy(scales + 2 * lane, &group.d, 2);
    if (f.has_minimum) std::memcpy(scales + 2 * (kPanelRows + lane), &group.m, 2);
    for (int p = 0; f.has_sub_scales && p < f.group_pieces(); ++p) {
      std::memcpy(scales + f.sub_scales_at() + p * kPanelRows + lane, &group.scales[p], 1);
      if (f.has_minimum) std::memcpy(scales + f.sub_minima_at() + p * kPanelRows + lane, &group.minima[p], 1);
    }
    scales += f.scale_bytes();
  }
}

void unpack_blocks(DType dtype, const PanelView& panel, int64_t lane, float* out) {
  const PanelFormat f = panel_format(dtype);
  const auto value = [&f](int code) {
    if (f.kind == CodeKind::kIq4) return static_cast<float>(kIq4Values[code]);
    return static_cast<float>(f.kind == CodeKind::kSigned ? static_cast<int8_t>(code) : code - f.zero);
  };
  for (int64_t k = 0; k < panel.n_cols; k += f.piece_columns) {
    const std::byte* scales = panel.scales + k / f.group_columns() * f.scale_bytes();
    const int64_t piece = k % f.group_columns() / f.piece_columns;
    const auto part = [&](int64_t d_at, int64_t sub_at) {
      const float d = f16_to_f32(u16_at(scales + d_at + 2 * lane));
      if (!f.has_sub_scales) return d;
      return d * static_cast<float>(static_cast<int8_t>(scales[sub_at + piece * kPanelRows + lane]));
    };
    const float scale = part(0, f.sub_scales_at());
    const float minimum = f.has_minimum ? part(2 * kPanelRows, f.sub_minima_at()) : 0.0f;
    uint32_t words[8] = {};
    const std::byte* block = panel.codes + k / 32 * f.code_bytes() + 4 * lane;
    with_bits(f.bits, [&]<int kBits>() { unpack_codes<kBits>(block, words); });
    uint8_t codes[32];
    std::memcpy(codes, words, sizeof codes);
    for (int i = 0; i < f.piece_columns; ++i) {
      const float product = scale * value(codes[k % 32 + i]);
      out[k + i] = f.has_minimum ? product + minimum : product;
    }
  }
}

// Wide: a code is the number over a power of two, chosen so that the largest of the block has 13 bits. What
// is within a 32nd of the largest keeps all bits of a bf16.

namespace {

constexpr int kNoNumber = -128;  // as exponent: the scale is then infinite

/// The float whose code is 1, by the bits of the largest absolute value.
int exponent_of(uint32_t largest_bits) {
  if (largest_bits >= 0x7f800000u) return kNoNumber;
  return std::max(static_cast<int>(largest_bits >> 23) - 127 - 12, -126);
}
float power_of_two(int exponent) { return std::bit_cast<float>(static_cast<uint32_t>(exponent + 127) << 23); }

/// Columns k … k + 31 of a row, zeros beyond its end.
void load_numbers(DType dtype, const std::byte* row, int64_t k, int64_t n, float (&out)[32]) {
  std::fill_n(out, 32, 0.0f);
  if (dtype == DType::kF32) {
    std::memcpy(out, row + 4 * k, static_cast<size_t>(4 * n));
    return;
  }
  uint16_t bits[32] = {};
  std::memcpy(bits, row + 2 * k, static_cast<size_t>(2 * n));
  for (int i = 0; i < 32; ++i) out[i] = dtype == DType::kF16 ? f16_to_f32(bits[i]) : bf16_to_f32(bits[i]);
}

}  // namespace

void pack_wide(DType dtype, const std::byte* row, int64_t n_cols, int64_t lane, std::byte* codes,
               std::byte* scales) {
  for (int64_t k = 0; k < n_cols; k += 32, codes += kWideFormat.code_bytes(), scales += kPanelRows) {
    float numbers[32];
    load_numbers(dtype, row, k, std::min<int64_t>(32, n_cols - k), numbers);
    uint32_t largest = 0;
    for (const float x : numbers) largest = std::max(largest, std::bit_cast<uint32_t>(x) & 0x7fffffffu);
    const int exponent = exponent_of(largest);
    scales[lane] = static_cast<std::byte>(exponent);
    if (exponent == kNoNumber) {
      std::fill_n(numbers, 32, 1.0f);  // times infinity
    } else {
      // In two steps, since the inverse alone may be out of range.
      const int half = exponent / 2;
      for (float& x : numbers) x = x * power_of_two(-half) * power_of_two(half - exponent);
    }
    int16_t ordered[32];
    for (int i = 0; i < 32; ++i) {
      constexpr float kRound = 12582912.0f;  // 1.5 · 2^23: adding it rounds
      const int code = static_cast<int>((numbers[i] + kRound) - kRound);
      ordered[i / 4 * 4 + kPairOrder[i % 4]] = static_cast<int16_t>(std::clamp(code, -kWideMost, kWideMost));
    }
    for (int word = 0; word < 16; ++word)
      std::memcpy(codes + 4 * (word * kPanelRows + lane), ordered + 2 * word, 4);
  }
}

void unpack_wide(const PanelView& panel, int64_t lane, float* out) {
  for (int64_t k = 0; k < panel.n_cols; ++k) {
    const int64_t block = k / 32;
    const int at = static_cast<int>(k % 32 / 4 * 4) + kPairOrder[k % 4];  // among the block's codes
    int16_t code;
    std::memcpy(
        &code,
        panel.codes + block * kWideFormat.code_bytes() + 4 * (at / 2 * kPanelRows + lane) + 2 * (at % 2), 2);
    const int exponent = static_cast<int8_t>(panel.scales[block * kPanelRows + lane]);
    const float scale =
        exponent == kNoNumber ? std::numeric_limits<float>::infinity() : power_of_two(exponent);
    out[k] = static_cast<float>(code) * scale;
  }
}

}  // namespace chaski::cpu
