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

/// What linear kernels want activations as.
enum class ActivationForm : uint8_t {
  kF32,  ///< through order_f32
  kQ8,   ///< Q8Row
  kQ16,  ///< Q16Row
};

/// Rows of activations in the form that a kernel takes; the stride is in bytes.
struct ActivationRows {
  const std::byte* data = nullptr;
  int64_t stride = 0;
};

/// Where the parts of a row of int8 activations lie: codes [n], facts about each block of 32, and about the
/// halves of each block. n is a multiple of 32.
struct Q8Row {
  int64_t n;
  static constexpr int kScaleAt = 0;        ///< in a block's facts: f32
  static constexpr int kMinusSumAt = 4;     ///< i32 −Σ codes
  static constexpr int kWeightedSumAt = 8;  ///< f32 scale × Σ codes
  static constexpr int kHalfWeightedSumsAt =
      8;  ///< in the facts of halves, after i32 [2] of −Σ codes: f32 [2]
  static constexpr int kFactsBytes = 16, kHalvesBytes = 16;

  constexpr int64_t codes_at(int64_t column) const { return column; }
  constexpr int64_t facts_at(int64_t column) const { return n + column / kQ8Block * kFactsBytes; }
  constexpr int64_t halves_at(int64_t column) const {
    return n + n / kQ8Block * kFactsBytes + column / kQ8Block * kHalvesBytes;
  }
  constexpr int64_t bytes() const { return (halves_at(n) + 63) / 64 * 64; }
};

/// The largest code of int16 activations and of wide weights: 32 products of two fit an int32.
inline constexpr int kWideMost = 8191;
/// Where in each four of columns int16 codes lie: a 32-bit word holds columns 0 and 2, the next 1 and 3,
/// which is how the bytes of a word come apart.
inline constexpr int kPairOrder[4] = {0, 2, 1, 3};

/// The same of int16 activations, padded with zeros to a multiple of 32: codes, and f32 scales of blocks.
struct Q16Row {
  int64_t n;
  constexpr int64_t n_blocks() const { return (n + kQ8Block - 1) / kQ8Block; }
  constexpr int64_t codes_at(int64_t column) const { return 2 * column; }
  constexpr int64_t facts_at(int64_t column) const {
    return 2 * kQ8Block * n_blocks() + column / kQ8Block * 4;
  }
  constexpr int64_t halves_at(int64_t) const { return 0; }
  constexpr int64_t bytes() const { return (facts_at(n_blocks() * kQ8Block) + 63) / 64 * 64; }
};

/// tile[r][i] = Σ_k x[r][k] w[i][k] for the panel's 16 rows; tile f32 [n_rows, 16]. What a row gets does not
/// depend on n_rows.
using LinearKernel = void (*)(const PanelView& w, const ActivationRows& x, int64_t n_rows, float* tile);

/// A kernel and what it takes.
struct FastLinear {
  LinearKernel kernel = nullptr;
  ActivationForm form = ActivationForm::kF32;
};

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
  FastLinear linear_fast[kDTypes];   ///< by DType: integer activations; no kernel for formats without blocks
  FastLinear linear_wide;            ///< for numbers packed as PanelForm::kWide; none where f32 is faster

  /// f32 activations [n_rows, n_cols] in the order in which linear_f32 reads so many rows, into as much room;
  /// the order of one row is its own.
  void (*order_f32)(const float* x, int64_t n_rows, int64_t n_cols, float* out);
  /// Rows of Q8Row and Q16Row. A block with a NaN or infinity gets the scale NaN.
  void (*quantize_q8)(const float* x, int64_t n, std::byte* row);
  void (*quantize_q16)(const float* x, int64_t n, std::byte* row);
  void (*rms_norm)(const float* x, const float* gain, float eps, int64_t n, float* out);
  void (*swiglu)(const float* gate, const float* up, int64_t n, float* out);
  void (*add)(const float* x, const float* y, int64_t n, float* out);
  /// Rotate one head in place: pairs (d, d + half) by cosines [half] and sines [half].
  void (*rope)(float* head, const float* cosines, const float* sines, int64_t half);
  AttendKernel attend[kDTypes];  ///< by the cache's DType: f32, f16, bf16, q8_0
  /// total = both together, for n heads of `stride` dimensions.
  void (*merge)(const AttentionPart& part, int64_t n, int64_t stride, const AttentionPart& total);
  /// Index of the first largest; −1 where there is a NaN or the largest is not finite.
  int32_t (*argmax)(const float* x, int64_t n);
};

}  // namespace chaski::cpu
