// The table of kernels that one instruction set offers, and the data layouts they agree on. Each table is
// filled in a translation unit of its own flags from the templates of kernels_impl.h; dispatch.cpp chooses.
// No threads, no allocation and no errors here: callers (ops_cpu.cpp) split the work and check the shapes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"

namespace chaski::cpu {

inline constexpr int kPanelRows = 16;    ///< weight rows that lie interleaved, one per vector lane (panel.h)
inline constexpr int kQ8Block = 32;      ///< activations that share a scale
inline constexpr int kChunkTokens = 32;  ///< cached tokens of a page
inline constexpr int kPiecePages = 8;    ///< pages whose scores attention holds at once
inline constexpr int kPieceTokens = kPiecePages * kChunkTokens;
inline constexpr int kMaxHeadDim = 256;
inline constexpr int kMaxQueries = 64;  ///< rows times heads that share a pass over a piece
// Rows of queries and of scores are a line longer than a power of two, so that they spread over the cache.
inline constexpr int kQueryStride = kMaxHeadDim + 16;
inline constexpr int kScoreStride = kPieceTokens + 16;
inline constexpr int kDTypes = kDTypeCount;

/// One panel of 16 weight rows: codes and scales as panel.h lays them out.
struct PanelView {
  const std::byte* codes = nullptr;
  const std::byte* scales = nullptr;
  int64_t n_cols = 0;
};

/// Rows of activations as linear kernels take them; either half may be absent.
struct Activations {
  const float* f32 = nullptr;
  int64_t f32_stride = 0;         ///< in floats
  const std::byte* q8 = nullptr;  ///< rows laid out by Q8Row
  int64_t q8_stride = 0;          ///< in bytes

  Activations from_row(int64_t row) const {
    return {f32 == nullptr ? nullptr : f32 + row * f32_stride, f32_stride,
            q8 == nullptr ? nullptr : q8 + row * q8_stride, q8_stride};
  }
};

/// Where the parts of a quantised activation row lie: int8 codes [n_cols], f32 scales [n_cols / 32], i32
/// sums of codes [n_cols / 16].
struct Q8Row {
  int64_t n_cols;
  constexpr int64_t scales_at() const { return n_cols; }
  constexpr int64_t sums_at() const { return n_cols + n_cols / kQ8Block * 4; }
  constexpr int64_t bytes() const { return (sums_at() + n_cols / kQ8Block * 8 + 63) / 64 * 64; }
};

/// tile[r][i] = Σ_k x[r][k] w[i][k] for the panel's 16 rows; tile f32 [n_rows, 16]. What a row gets does not
/// depend on n_rows.
using LinearKernel = void (*)(const PanelView& w, const Activations& x, int64_t n_rows, float* tile);

/// Up to 256 consecutive cached tokens of one kv head, in pages of 32 as they lie in the cache.
struct KvPiece {
  const std::byte* k[kPiecePages];  ///< [head_dim, 32]: token t of dimension d is element d × 32 + t
  const std::byte*
      v[kPiecePages];  ///< [32, v_stride elements], readable to the next multiple of 32 dimensions
  const std::byte* next_k[kPiecePages];  ///< keys that are wanted next; fetched ahead
  int64_t v_stride = 0;
  int64_t head_dim = 0;
  int64_t k_scales_at = 0;  ///< of a cache in q8_0: bytes from k[i] to f16 scales [head_dim / 32, 32]
  int64_t v_scales_at = 0;  ///< the same from v[i]
};

/// Queries that look at one kv head: all heads of its group, for some rows of a sequence.
struct AttentionRows {
  const float* q = nullptr;  ///< [n_rows × group, kQueryStride], multiplied by log2(e) / sqrt(head_dim)
  const int32_t* n_tokens = nullptr;  ///< [n_rows] tokens of the piece a row sees: 1 … 256, never decreasing
  int64_t n_rows = 0;
  int64_t group = 0;
};

/// A softmax over some tokens: weighted values [n, stride], largest score and sum of weights [n], scores in
/// powers of two. Stride: head_dim rounded up to 32.
struct AttentionPart {
  float* acc = nullptr;
  float* max = nullptr;
  float* sum = nullptr;
};

/// A piece's part for each of the rows' heads; `scores` f32 [2 × n_rows × group, kScoreStride] is scratch.
using AttendKernel = void (*)(const KvPiece& piece, const AttentionRows& rows, float* scores,
                              const AttentionPart& part);

struct KernelTable {
  const char* isa;
  LinearKernel linear_f32[kDTypes];  ///< by DType: f32 activations, weights dequantised as stored
  LinearKernel linear_q8[kDTypes];   ///< by DType: int8 activations; null for formats without blocks

  /// A row of Q8Row; n a multiple of 32. A block with a NaN or infinity gets the scale NaN.
  void (*quantize_q8)(const float* x, int64_t n, std::byte* row);
  void (*rms_norm)(const float* x, const float* gain, float eps, int64_t n, float* out);
  void (*swiglu)(const float* gate, const float* up, int64_t n, float* out);
  void (*add)(const float* x, const float* y, int64_t n, float* out);
  /// Rotate one head in place: pairs (d, d + half) by cosines [half] and sines [half].
  void (*rope)(float* head, const float* cosines, const float* sines, int64_t half);
  /// f32, f16 or bf16 numbers to f32.
  void (*widen)(const void* from, DType dtype, int64_t n, float* to);
  AttendKernel attend[kDTypes];  ///< by the cache's DType: f32, f16, bf16, q8_0
  /// total = both together, for n heads of `stride` dimensions.
  void (*merge)(const AttentionPart& part, int64_t n, int64_t stride, const AttentionPart& total);
  /// Index of the first largest; −1 where there is a NaN or the largest is not finite.
  int32_t (*argmax)(const float* x, int64_t n);
};

}  // namespace chaski::cpu
