#include "backend/cpu/panel.h"

#include <array>
#include <cstring>

#include "base/checked.h"
#include "base/error.h"

namespace chaski::cpu {
namespace {

constexpr int64_t kSuperBlock = 256;        // columns of a q6_K block
constexpr int64_t kSuperBytes = 210;        // 128 low nibbles' bytes, 64 of high bits, 16 scales, d
constexpr int64_t kSuperScales = 32 + 256;  // of a panel's 16 rows: d, then 16 scales each

/// Bytes of codes and of scales that `block_columns` columns of a panel take.
struct Geometry {
  int64_t block_columns;
  int64_t codes;
  int64_t scales;
};

Geometry geometry_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return {1, 64, 0};
    case DType::kF16:
      return {1, 32, 0};
    case DType::kBF16:
      return {2, 64, 0};
    case DType::kQ8_0:
      return {32, 512, 32};
    case DType::kQ4_0:
      return {32, 256, 32};
    case DType::kQ4_1:
      return {32, 256, 64};
    case DType::kQ6_K:
      return {kSuperBlock, 8 * 384, kSuperScales};
    default:
      break;
  }
  throw Error(ErrorCode::kUnsupported, "pack weight", fmt::format("a weight matrix of {}", name_of(dtype)));
}

/// Columns of `Word` size, one word of each of the 16 rows after another.
template <class Word>
void interleave(const std::byte* row, int64_t n_words, int64_t lane, std::byte* codes) {
  for (int64_t i = 0; i < n_words; ++i) {
    std::memcpy(codes + (i * kPanelRows + lane) * static_cast<int64_t>(sizeof(Word)),
                row + i * static_cast<int64_t>(sizeof(Word)), sizeof(Word));
  }
}

template <class Word>
void deinterleave(const std::byte* codes, int64_t n_words, int64_t lane, std::byte* row) {
  for (int64_t i = 0; i < n_words; ++i) {
    std::memcpy(row + i * static_cast<int64_t>(sizeof(Word)),
                codes + (i * kPanelRows + lane) * static_cast<int64_t>(sizeof(Word)), sizeof(Word));
  }
}

/// Blocks of `n_scales` f16 followed by 32-bit words of codes: q8_0, q4_0, q4_1.
struct SimpleBlocks {
  int64_t n_scales;
  int64_t n_words;
  int64_t block_bytes() const { return 2 * n_scales + 4 * n_words; }

  void pack_row(const std::byte* row, int64_t n_blocks, int64_t lane, std::byte* codes,
                std::byte* scales) const {
    for (int64_t b = 0; b < n_blocks; ++b) {
      const std::byte* block = row + b * block_bytes();
      interleave<uint16_t>(block, n_scales, lane, scales + b * n_scales * 2 * kPanelRows);
      interleave<uint32_t>(block + 2 * n_scales, n_words, lane, codes + b * n_words * 4 * kPanelRows);
    }
  }
  void unpack_block(const std::byte* codes, const std::byte* scales, int64_t b, int64_t lane,
                    std::byte* block) const {
    deinterleave<uint16_t>(scales + b * n_scales * 2 * kPanelRows, n_scales, lane, block);
    deinterleave<uint32_t>(codes + b * n_words * 4 * kPanelRows, n_words, lane, block + 2 * n_scales);
  }
};

SimpleBlocks simple_blocks(DType dtype) {
  if (dtype == DType::kQ8_0) return {1, 8};
  return {dtype == DType::kQ4_1 ? 2 : 1, 4};
}

/// Where column `k` of a q6_K block has its bits: bytes and shifts in the file's order.
struct SuperBits {
  int64_t low_byte, high_byte;
  int low_shift, high_shift;
  explicit SuperBits(int64_t k) {
    const int64_t half = k / 128, quarter = k % 128 / 32, l = k % 32;
    low_byte = half * 64 + (quarter % 2) * 32 + l;
    low_shift = quarter < 2 ? 0 : 4;
    high_byte = 128 + half * 32 + l;
    high_shift = static_cast<int>(2 * quarter);
  }
};

/// The same in a panel: byte offsets from the codes of the 256 columns.
struct PanelBits {
  int64_t low_byte, high_byte;
  int low_shift, high_shift;
  PanelBits(int64_t k, int64_t lane) {
    const int64_t block = k / 32, half = k % 32 / 16, j = k % 16 / 4, c = k % 4;
    low_byte = block * 384 + j * 64 + lane * 4 + c;
    low_shift = half == 0 ? 0 : 4;
    high_byte = block * 384 + 256 + half * 64 + lane * 4 + c;
    high_shift = static_cast<int>(2 * j);
  }
};

void move_bits(std::byte from, int from_shift, int n_bits, std::byte& to, int to_shift) {
  const unsigned mask = (1u << n_bits) - 1;
  to |= static_cast<std::byte>(((static_cast<unsigned>(from) >> from_shift) & mask) << to_shift);
}

void pack_super(const std::byte* block, int64_t lane, std::byte* codes, std::byte* scales) {
  for (int64_t k = 0; k < kSuperBlock; ++k) {
    const SuperBits from(k);
    const PanelBits to(k, lane);
    move_bits(block[from.low_byte], from.low_shift, 4, codes[to.low_byte], to.low_shift);
    move_bits(block[from.high_byte], from.high_shift, 2, codes[to.high_byte], to.high_shift);
  }
  std::memcpy(scales + 2 * lane, block + 208, 2);
  interleave<std::byte>(block + 192, 16, lane, scales + 32);
}

void unpack_super(const std::byte* codes, const std::byte* scales, int64_t lane, std::byte* block) {
  std::memset(block, 0, kSuperBytes);
  for (int64_t k = 0; k < kSuperBlock; ++k) {
    const SuperBits to(k);
    const PanelBits from(k, lane);
    move_bits(codes[from.low_byte], from.low_shift, 4, block[to.low_byte], to.low_shift);
    move_bits(codes[from.high_byte], from.high_shift, 2, block[to.high_byte], to.high_shift);
  }
  std::memcpy(block + 208, scales + 2 * lane, 2);
  deinterleave<std::byte>(scales + 32, 16, lane, block + 192);
}

}  // namespace

PanelLayout::PanelLayout(DType dtype, int64_t n_rows, int64_t n_cols)
    : dtype_(dtype), n_rows_(n_rows), n_cols_(n_cols) {
  const Geometry g = geometry_of(dtype);
  const int64_t stored = row_bytes(dtype, n_cols);  // checks n_cols against the format
  CHECK(stored < (int64_t{1} << 40) && n_rows < (int64_t{1} << 40), "a matrix of {} rows of {} bytes", n_rows,
        stored);
  const int64_t n_blocks = (n_cols + g.block_columns - 1) / g.block_columns;
  codes_bytes_ = n_blocks * g.codes;
  panel_bytes_ = (codes_bytes_ + n_blocks * g.scales + 63) / 64 * 64;
  CHECK(checked_mul(n_panels(), panel_bytes_).has_value(), "{} panels of {} bytes", n_panels(), panel_bytes_);
}

PanelView PanelLayout::view(const std::byte* data, int64_t panel) const {
  const std::byte* codes = data + panel * panel_bytes_;
  return {codes, codes + codes_bytes_, n_cols_};
}

void PanelLayout::pack(std::span<const std::byte> rows, int64_t n_rows, std::byte* panel) const {
  const int64_t stride = row_bytes(dtype_, n_cols_);
  CHECK(n_rows <= kPanelRows && static_cast<int64_t>(rows.size()) >= n_rows * stride,
        "{} rows in {} bytes for a panel", n_rows, rows.size());
  std::byte* scales = panel + codes_bytes_;
  for (int64_t lane = 0; lane < n_rows; ++lane) {
    const std::byte* row = rows.data() + lane * stride;
    if (dtype_ == DType::kF32) {
      interleave<uint32_t>(row, n_cols_, lane, panel);
    } else if (dtype_ == DType::kF16) {
      interleave<uint16_t>(row, n_cols_, lane, panel);
    } else if (dtype_ == DType::kBF16) {
      interleave<uint32_t>(row, n_cols_ / 2, lane, panel);
      if (n_cols_ % 2 != 0) std::memcpy(panel + (n_cols_ / 2 * kPanelRows + lane) * 4, row + stride - 2, 2);
    } else if (dtype_ == DType::kQ6_K) {
      for (int64_t b = 0; b < n_cols_ / kSuperBlock; ++b)
        pack_super(row + b * kSuperBytes, lane, panel + b * 8 * 384, scales + b * kSuperScales);
    } else {
      simple_blocks(dtype_).pack_row(row, n_cols_ / 32, lane, panel, scales);
    }
  }
}

void PanelLayout::unpack_row(const std::byte* data, int64_t row, float* out) const {
  const PanelView panel = view(data, row / kPanelRows);
  const int64_t lane = row % kPanelRows;
  if (dtype_ == DType::kF32) {
    deinterleave<uint32_t>(panel.codes, n_cols_, lane, reinterpret_cast<std::byte*>(out));
    return;
  }
  const auto code = [&](int64_t index) {
    uint16_t bits = 0;
    std::memcpy(&bits, panel.codes + 2 * index, 2);
    return bits;
  };
  if (dtype_ == DType::kF16) {
    for (int64_t k = 0; k < n_cols_; ++k) out[k] = f16_to_f32(code(k * kPanelRows + lane));
    return;
  }
  if (dtype_ == DType::kBF16) {
    for (int64_t k = 0; k < n_cols_; ++k) out[k] = bf16_to_f32(code((k / 2 * kPanelRows + lane) * 2 + k % 2));
    return;
  }
  // Blocks go back to their stored form, one at a time, and through the format's own definition.
  const BlockFormat& format = format_of(dtype_);
  std::array<std::byte, kSuperBytes> block;
  for (int64_t b = 0; b < n_cols_ / format.block_elements; ++b) {
    if (dtype_ == DType::kQ6_K) {
      unpack_super(panel.codes + b * 8 * 384, panel.scales + b * kSuperScales, lane, block.data());
    } else {
      simple_blocks(dtype_).unpack_block(panel.codes, panel.scales, b, lane, block.data());
    }
    format.dequantize_row(block.data(), out + b * format.block_elements, format.block_elements);
  }
}

}  // namespace chaski::cpu
