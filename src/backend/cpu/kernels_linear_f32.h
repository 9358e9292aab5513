// Products with f32 activations: some columns of a panel are unpacked to f32 where they stay in the first
// cache, and multiplied with all rows of activations. Those lie in the order in which they are read: for the
// same columns, tile of rows by tile of rows, [columns, rows of the tile].
#pragma once

#include "backend/cpu/kernels_blocks.h"

namespace chaski::cpu {
namespace {

constexpr int kUnpackedColumns = 256;  // at once; a multiple of every group of columns
constexpr int kSumColumns = 64;        // whose products are summed in a register before the sum is added

// How the weights of each format become f32 columns of 16: run(panel, first column, n, out [n, 16]).

struct WeightF32 {
  template <class V>
  CHASKI_INLINE static void run(const PanelView& w, int64_t first, int n, float* out) {
    __builtin_memcpy(out, w.codes + first * kPanelRows * 4, static_cast<size_t>(n) * kPanelRows * 4);
  }
};

struct WeightF16 {
  template <class V>
  CHASKI_INLINE static void run(const PanelView& w, int64_t first, int n, float* out) {
    for (int i = 0; i < n * kPanelRows; i += V::kLanes)
      V::store(out + i, V::load_f16(w.codes + 2 * (first * kPanelRows + i)));
  }
};

struct WeightBF16 {
  template <class V>
  CHASKI_INLINE static void run(const PanelView& w, int64_t first, int n, float* out) {
    // Columns lie in pairs; of the last pair of a panel, the second may be padding.
    for (int k = 0; k < n; k += 2, out += 2 * kPanelRows) {
      const std::byte* pairs = w.codes + (first + k) * kPanelRows * 2;
      V::prefetch(pairs + kPrefetchBytes);
      for (int lane = 0; lane < kPanelRows; lane += V::kLanes) {
        const typename V::I pair = V::load_i(pairs + 4 * lane);
        V::store(out + lane, V::from_bits(V::template shl<16>(pair)));
        V::store(out + kPanelRows + lane, V::from_bits(V::and_i(pair, V::set_i(-65536))));
      }
    }
  }
};

/// The number that byte kByte of `values` stands for.
template <class V, PanelFormat kF, int kByte>
CHASKI_INLINE typename V::F value_of_byte(typename V::I values) {
  if constexpr (kF.kind != CodeKind::kUnsigned) {
    return V::to_f32(V::template sar<24>(V::template shl<24 - 8 * kByte>(values)));
  } else {
    typename V::I code = V::template shr<8 * kByte>(values);
    if constexpr (kByte < 3) code = V::and_i(code, V::set_i(255));
    if constexpr (kF.zero != 0) code = V::sub_i(code, V::set_i(kF.zero));
    return V::to_f32(code);
  }
}

template <PanelFormat kF>
struct WeightBlocks {
  template <class V>
  CHASKI_INLINE static void run(const PanelView& w, int64_t first, int n, float* out) {
    const PanelView columns = from_column<kF>(w, first, n);
    for (int lane = 0; lane < kPanelRows; lane += V::kLanes) {
      for_pieces<V, kF, 1>(
          columns, lane, true,
          [&]<int kPiece>(int64_t b, int64_t piece, const std::byte* codes, const auto& scales)
              CHASKI_INLINE_LAMBDA {
                constexpr int kWords = kF.piece_columns / 4;
                const typename V::F scale = scales.scale(piece, 0), minimum = scales.minimum(piece, 0);
                unrolled<kWords>([&]<int kWord>() CHASKI_INLINE_LAMBDA {
                  constexpr int kJ = kPiece * kWords + kWord;
                  const typename V::I values = values_at<V, kF, kJ>(codes, lane);
                  unrolled<4>([&]<int kByte>() CHASKI_INLINE_LAMBDA {
                    const typename V::F product = V::mul(scale, value_of_byte<V, kF, kByte>(values));
                    V::store(out + (b * 32 + 4 * kJ + kByte) * kPanelRows + lane,
                             kF.has_minimum ? V::add(product, minimum) : product);
                  });
                });
              });
    }
  }
};

/// Columns at once, from `first` on.
CHASKI_INLINE int unpacked_columns(int64_t first, int64_t n_cols) {
  return static_cast<int>(n_cols - first < kUnpackedColumns ? n_cols - first : kUnpackedColumns);
}

/// Rows [n_rows, n_cols] of activations in the order of linear_f32; `out` is as large.
template <class V>
void order_f32(const float* x, int64_t n_rows, int64_t n_cols, float* out) {
  for (int64_t first = 0; first < n_cols; first += kUnpackedColumns) {
    const int n = unpacked_columns(first, n_cols);
    for_tiles<V::kF32Rows>(n_rows, [&]<int R>(int64_t row) CHASKI_INLINE_LAMBDA {
      float* to = out + first * n_rows + row * n;
      for (int k = 0; k < n; ++k) {
        for (int r = 0; r < R; ++r) to[k * R + r] = x[(row + r) * n_cols + first + k];
      }
    });
  }
}

/// tile[r][i] += Σ_k x[k][r] w[k][i] over n columns of the panel's 16 rows.
template <class V, int R>
[[gnu::noinline]] void multiply_f32(const float* w, int n, const float* x, float* tile) {
  constexpr int H = V::vectors_at_once(R);
  for (int lane = 0; lane < kPanelRows; lane += H * V::kLanes) {
    typename V::F sum[R][H];
    CHASKI_UNROLL
    for (int r = 0; r < R; ++r) {
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h) sum[r][h] = V::set(0.0f);
    }
    for (int k = 0; k < n; ++k) {
      typename V::F column[H];
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h) column[h] = V::load(w + k * kPanelRows + lane + h * V::kLanes);
      CHASKI_UNROLL
      for (int r = 0; r < R; ++r) {
        const typename V::F value = V::set(x[k * R + r]);
        CHASKI_UNROLL
        for (int h = 0; h < H; ++h) sum[r][h] = V::fma(column[h], value, sum[r][h]);
      }
    }
    CHASKI_UNROLL
    for (int r = 0; r < R; ++r) {
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h) {
        float* at = tile + r * kPanelRows + lane + h * V::kLanes;
        V::store(at, V::add(V::load(at), sum[r][h]));
      }
    }
  }
}

template <class V, class Weight>
void linear_f32(const PanelView& w, const ActivationRows& x, int64_t n_rows, float* tile) {
  alignas(64) float columns[kUnpackedColumns * kPanelRows];
  __builtin_memset(tile, 0, static_cast<size_t>(n_rows) * kPanelRows * sizeof(float));
  for (int64_t first = 0; first < w.n_cols; first += kUnpackedColumns) {
    const int n = unpacked_columns(first, w.n_cols);
    Weight::template run<V>(w, first, n, columns);
    const float* now = reinterpret_cast<const float*>(x.data) + first * n_rows;
    for_tiles<V::kF32Rows>(n_rows, [&]<int R>(int64_t row) CHASKI_INLINE_LAMBDA {
      for (int k = 0; k < n; k += kSumColumns) {
        multiply_f32<V, R>(columns + k * kPanelRows, n - k < kSumColumns ? n - k : kSumColumns,
                           now + row * n + k * R, tile + row * kPanelRows);
      }
    });
  }
}

}  // namespace
}  // namespace chaski::cpu
