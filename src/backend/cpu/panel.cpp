#include "backend/cpu/panel.h"

#include <cstring>

#include "backend/cpu/panel_blocks.h"
#include "backend/cpu/panel_format.h"
#include "base/checked.h"
#include "base/error.h"

namespace chaski::cpu {
namespace {

/// Bytes of codes and of scales that `block_columns` columns of a panel take.
struct Geometry {
  int64_t block_columns;
  int64_t codes;
  int64_t scales;
};

Geometry geometry_of(const PanelFormat& f) {
  return {f.group_columns(), int64_t{f.code_bytes()} * f.group_columns() / 32, f.scale_bytes()};
}

Geometry geometry_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return {1, 64, 0};
    case DType::kF16:
      return {1, 32, 0};
    case DType::kBF16:
      return {2, 64, 0};
    default:
      break;
  }
  if (const PanelFormat f = panel_format(dtype); f.bits > 0) return geometry_of(f);
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

}  // namespace

PanelLayout::PanelLayout(DType dtype, int64_t n_rows, int64_t n_cols, PanelForm form)
    : dtype_(dtype),
      is_wide_(form == PanelForm::kWide && format_of(dtype).block_elements == 1 && dtype != DType::kI32),
      n_rows_(n_rows),
      n_cols_(n_cols) {
  const Geometry g = is_wide_ ? geometry_of(kWideFormat) : geometry_of(dtype);
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
    if (is_wide_) {
      pack_wide(dtype_, row, n_cols_, lane, panel, scales);
    } else if (dtype_ == DType::kF32) {
      interleave<uint32_t>(row, n_cols_, lane, panel);
    } else if (dtype_ == DType::kF16) {
      interleave<uint16_t>(row, n_cols_, lane, panel);
    } else if (dtype_ == DType::kBF16) {
      interleave<uint32_t>(row, n_cols_ / 2, lane, panel);
      if (n_cols_ % 2 != 0) std::memcpy(panel + (n_cols_ / 2 * kPanelRows + lane) * 4, row + stride - 2, 2);
    } else {
      pack_blocks(dtype_, row, n_cols_, lane, panel, scales);
    }
  }
}

void PanelLayout::unpack_row(const std::byte* data, int64_t row, float* out) const {
  const PanelView panel = view(data, row / kPanelRows);
  const int64_t lane = row % kPanelRows;
  const auto code = [&](int64_t index) {
    uint16_t bits = 0;
    std::memcpy(&bits, panel.codes + 2 * index, 2);
    return bits;
  };
  if (is_wide_) {
    unpack_wide(panel, lane, out);
  } else if (dtype_ == DType::kF32) {
    for (int64_t k = 0; k < n_cols_; ++k) {
      std::memcpy(out + k, panel.codes + 4 * (k * kPanelRows + lane), 4);
    }
  } else if (dtype_ == DType::kF16) {
    for (int64_t k = 0; k < n_cols_; ++k) out[k] = f16_to_f32(code(k * kPanelRows + lane));
  } else if (dtype_ == DType::kBF16) {
    for (int64_t k = 0; k < n_cols_; ++k) out[k] = bf16_to_f32(code((k / 2 * kPanelRows + lane) * 2 + k % 2));
  } else {
    unpack_blocks(dtype_, panel, lane, out);
  }
}

}  // namespace chaski::cpu
