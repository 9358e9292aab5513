// The emulator's arithmetic on rows: f16, bf16 and integers to f32 and back, dot products with f32 sums, work
// shared by two threads. What an operator accepts and how it rounds is in op_*.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "backend/ascend/acl_types.h"

namespace ascend_emulator {

using chaski::acl::DataType;

float half_to_float(uint16_t bits);
uint16_t float_to_half(float value);  ///< to nearest, ties to even
float bfloat16_to_float(uint16_t bits);
uint16_t float_to_bfloat16(float value);  ///< to nearest, ties to even

/// `value` as a tensor of `dtype` (f32, f16, bf16) would hold it.
float rounded_to(DataType dtype, float value);

/// `n` contiguous elements (f32, f16, bf16) as f32.
void load_row(DataType dtype, const void* from, int64_t n, float* to);
/// `n` values rounded to `dtype` (f32, f16, bf16).
void store_row(DataType dtype, const float* from, int64_t n, void* to);
/// Every value as `dtype` would hold it.
void round_row(DataType dtype, float* values, int64_t n);

/// sums[4·i + j] = x[i] · rows[j] over k in f32, for `n_x` of 1 or 2; `dtype` is that of the rows. A sum has
/// the same order of additions whatever its place, so it does not depend on how many rows go together.
void dot_tile(const float* const x[2], int n_x, DataType dtype, const void* const rows[4], int64_t k,
              float sums[8]);

/// (q + offset) · scale of `n` int8, each step rounded as `dtype` does: f16 after the addition and after the
/// product, bf16 after the product.
void dequantize_row(DataType dtype, const int8_t* q, int64_t n, float offset, float scale, float* to);

/// y[i] += a · x[i].
void add_scaled(float a, const float* x, int64_t n, float* y);

/// Calls body(first, last) for two parts of [0, n), cut at a multiple of `step`, on two threads where `work`
/// (multiplications, say) is worth it. The body must not throw.
void parallel_for(int64_t n, int64_t step, int64_t work, const std::function<void(int64_t, int64_t)>& body);

}  // namespace ascend_emulator
