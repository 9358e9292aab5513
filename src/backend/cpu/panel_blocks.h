// Blocks, and numbers made wide, between their stored form and the panel's. How panels keep them:
// panel_format.h.
#pragma once

#include "backend/cpu/kernels.h"

namespace chaski::cpu {

/// Lay out one stored row of `n_cols` as row `lane` of a panel.
void pack_blocks(DType dtype, const std::byte* row, int64_t n_cols, int64_t lane, std::byte* codes,
                 std::byte* scales);

/// Row `lane` of a panel as numbers, with the bits that the format's definition gives.
void unpack_blocks(DType dtype, const PanelView& panel, int64_t lane, float* out);

/// The same for f32, f16 and bf16 rows rounded to kWideFormat, and back.
void pack_wide(DType dtype, const std::byte* row, int64_t n_cols, int64_t lane, std::byte* codes,
               std::byte* scales);
void unpack_wide(const PanelView& panel, int64_t lane, float* out);

}  // namespace chaski::cpu
