#include "backend/cpu/panel_blocks.h"

#include <cstring>

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

/// Calls `move(word, from, to, mask)` for each four columns of 32 and each plane of their codes: bits `from`
/// … of the plane's word, which lies at byte `word`, are bits `to` … of the codes.
template <class Move>
void for_planes(int bits, Move&& move) {
  int at = 0;
  for (int done = 0; done < bits;) {
    const int plane = plane_bits(bits - done), per_word = 8 / plane;
    const uint32_t mask = ((1u << plane) - 1) * 0x01010101u;
    for (int j = 0; j < 8; ++j) move(j, at + j / per_word * 4 * kPanelRows, j % per_word * plane, done, mask);
    done += plane;
    at += plane * 4 * kPanelRows;
  }
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
      for_planes(f.bits, [&](int j, int at, int shift, int bit, uint32_t mask) {
        uint32_t word;
        std::memcpy(&word, codes + at + 4 * lane, 4);
        word |= (words[j] >> bit & mask) << shift;
        std::memcpy(codes + at + 4 * lane, &word, 4);
      });
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
    for_planes(f.bits, [&](int j, int at, int shift, int bit, uint32_t mask) {
      uint32_t word;
      std::memcpy(&word, panel.codes + k / 32 * f.code_bytes() + at + 4 * lane, 4);
      words[j] |= (word >> shift & mask) << bit;
    });
    uint8_t codes[32];
    std::memcpy(codes, words, sizeof codes);
    for (int i = 0; i < f.piece_columns; ++i) {
      const float product = scale * value(codes[k % 32 + i]);
      out[k + i] = f.has_minimum ? product + minimum : product;
    }
  }
}

}  // namespace chaski::cpu
