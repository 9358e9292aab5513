// How this backend keeps a weight matrix: panels of 16 rows whose words lie interleaved, so that a vector
// holds one word of each row, an activation is broadcast, and no sum ever crosses lanes. Each code path
// chooses the form that it computes best with (CpuOps::layout_of); a form's bytes are the same for all.
// Scales lie behind the codes of their panel, which keeps both aligned.
//
//   format  codes, in order                         scales, in order
//   f32     [n_cols][16] f32                        -
//   f16     [n_cols][16] f16                        -
//   bf16    [n_cols / 2][16][2] bf16, zero-padded   -
//   blocks  planes of bits and group scales: see panel_format.h
//   wide    f32, f16 and bf16 where they may be rounded: 16-bit codes and exponents, see panel_format.h
#pragma once

#include <span>

#include "backend/cpu/kernels.h"
#include "tensor/tensor.h"

namespace chaski::cpu {

/// What the numbers of a panel are.
enum class PanelForm : uint8_t {
  kStored,  ///< bit for bit what the file has
  kWide,    ///< f32, f16 and bf16 to 14 bits per row and 32 columns; blocks as stored
};

/// Of the bytes that pack() makes. Whoever changes them counts it up, for packed weights are kept in files.
inline constexpr uint32_t kPanelLayoutVersion = 1;

class PanelLayout {
 public:
  PanelLayout() = default;
  /// Throws Error(kCorrupt) where n_cols is no multiple of the block; Error(kUnsupported) for i32.
  PanelLayout(DType dtype, int64_t n_rows, int64_t n_cols, PanelForm form = PanelForm::kStored);

  int64_t n_rows() const { return n_rows_; }
  int64_t n_cols() const { return n_cols_; }
  DType dtype() const { return dtype_; }  ///< of the file
  bool is_wide() const { return is_wide_; }
  int64_t n_panels() const { return (n_rows_ + kPanelRows - 1) / kPanelRows; }
  int64_t panel_bytes() const { return panel_bytes_; }
  int64_t bytes() const { return n_panels() * panel_bytes_; }
  PanelView view(const std::byte* data, int64_t panel) const;

  /// Lay out up to 16 rows as stored (row_bytes each) in `panel`, whose bytes are zero before.
  void pack(std::span<const std::byte> rows, int64_t n_rows, std::byte* panel) const;
  /// One row of the packed matrix, dequantised as the format defines it; rounded where it is wide.
  void unpack_row(const std::byte* data, int64_t row, float* out) const;

 private:
  DType dtype_ = DType::kF32;
  bool is_wide_ = false;
  int64_t n_rows_ = 0;
  int64_t n_cols_ = 0;
  int64_t codes_bytes_ = 0;  ///< of one panel
  int64_t panel_bytes_ = 0;  ///< of one panel, rounded up to 64
};

}  // namespace chaski::cpu
