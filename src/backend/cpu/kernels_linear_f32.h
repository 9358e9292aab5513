// Products with f32 activations: how the weights of each format become f32 vectors, and the tile that sums
// them.
#pragma once

#include "backend/cpu/kernels_blocks.h"

namespace chaski::cpu {
namespace {

/// R rows of activations by H vectors of weight rows, two chains over k.
template <class V, int R, int H>
struct F32Tile {
  const float* x;
  int64_t stride;
  typename V::F sum[2][R][H];

  template <int kParity>
  CHASKI_INLINE void step(int64_t k, int h, typename V::F w) {
    CHASKI_UNROLL
    for (int r = 0; r < R; ++r) sum[kParity][r][h] = V::fma(w, V::set(x[r * stride + k]), sum[kParity][r][h]);
  }
};

// How the weights of each format become f32 vectors: run(panel, first lane, tile) steps through all columns.

struct WeightF32 {
  template <class V, int R, int H>
  CHASKI_INLINE static void run(const PanelView& w, int lane, F32Tile<V, R, H>& tile) {
    int64_t k = 0;
    const auto at = [&](int64_t column, int h) {
      return V::load(reinterpret_cast<const float*>(w.codes) + column * kPanelRows + lane + h * V::kLanes);
    };
    for (; k + 2 <= w.n_cols; k += 2) {
      V::prefetch(w.codes + k * 64 + kPrefetchBytes);
      V::prefetch(w.codes + k * 64 + kPrefetchBytes + 64);
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h) {
        tile.template step<0>(k, h, at(k, h));
        tile.template step<1>(k + 1, h, at(k + 1, h));
      }
    }
    if (k < w.n_cols) {
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h) tile.template step<0>(k, h, at(k, h));
    }
  }
};

struct WeightF16 {
  template <class V, int R, int H>
  CHASKI_INLINE static void run(const PanelView& w, int lane, F32Tile<V, R, H>& tile) {
    int64_t k = 0;
    const auto at = [&](int64_t column, int h) {
      return V::load_f16(w.codes + 2 * (column * kPanelRows + lane + h * V::kLanes));
    };
    for (; k + 2 <= w.n_cols; k += 2) {
      V::prefetch(w.codes + k * 32 + kPrefetchBytes);
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h) {
        tile.template step<0>(k, h, at(k, h));
        tile.template step<1>(k + 1, h, at(k + 1, h));
      }
    }
    if (k < w.n_cols) {
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h) tile.template step<0>(k, h, at(k, h));
    }
  }
};

struct WeightBF16 {
  template <class V, int R, int H>
  CHASKI_INLINE static void run(const PanelView& w, int lane, F32Tile<V, R, H>& tile) {
    const auto pair = [&](int64_t k, int h) {
      return V::load_i(w.codes + k * 32 + 4 * (lane + h * V::kLanes));
    };
    const auto low = [](typename V::I i) { return V::from_bits(V::template shl<16>(i)); };
    int64_t k = 0;
    for (; k + 2 <= w.n_cols; k += 2) {
      V::prefetch(w.codes + k * 32 + kPrefetchBytes);
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h) {
        const typename V::I i = pair(k, h);
        tile.template step<0>(k, h, low(i));
        tile.template step<1>(k + 1, h, V::from_bits(V::and_i(i, V::set_i(-65536))));
      }
    }
    if (k < w.n_cols) {
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h) tile.template step<0>(k, h, low(pair(k, h)));
    }
  }
};

/// Four columns from the bytes of a word; `value(byte, from the word's byte c)` makes the weight.
template <class V, int R, int H, class Fn>
CHASKI_INLINE void step_word(F32Tile<V, R, H>& tile, int64_t k, int h, Fn&& value) {
  tile.template step<0>(k, h, value.template operator()<0>());
  tile.template step<1>(k + 1, h, value.template operator()<1>());
  tile.template step<0>(k + 2, h, value.template operator()<2>());
  tile.template step<1>(k + 3, h, value.template operator()<3>());
}

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
  template <class V, int R, int H>
  CHASKI_INLINE static void run(const PanelView& w, int lane, F32Tile<V, R, H>& tile) {
    for_pieces<V, kF, H>(
        w, lane,
        [&]<int kPiece>(int64_t b, int64_t piece, const std::byte* codes, const auto& scales)
            CHASKI_INLINE_LAMBDA {
              constexpr int kWords = kF.piece_columns / 4;
              CHASKI_UNROLL
              for (int h = 0; h < H; ++h) {
                const typename V::F scale = scales.scale(piece, h), minimum = scales.minimum(piece, h);
                unrolled<kWords>([&]<int kWord>() CHASKI_INLINE_LAMBDA {
                  constexpr int kJ = kPiece * kWords + kWord;
                  const typename V::I values = values_at<V, kF, kJ>(codes, lane + h * V::kLanes);
                  step_word(tile, b * 32 + 4 * kJ, h, [&]<int kByte>() CHASKI_INLINE_LAMBDA {
                    const typename V::F product = V::mul(scale, value_of_byte<V, kF, kByte>(values));
                    return kF.has_minimum ? V::add(product, minimum) : product;
                  });
                });
              }
            });
  }
};

template <class V, class Weight, int R>
[[gnu::noinline]] void rows_f32(const PanelView& w, const Activations& x, float* tile) {
  constexpr int H = V::vectors_at_once(R);
  for (int lane = 0; lane < kPanelRows; lane += H * V::kLanes) {
    F32Tile<V, R, H> t;
    t.x = x.f32;
    t.stride = x.f32_stride;
    CHASKI_UNROLL
    for (int r = 0; r < R; ++r) {
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h) t.sum[0][r][h] = t.sum[1][r][h] = V::set(0.0f);
    }
    Weight::template run<V, R, H>(w, lane, t);
    CHASKI_UNROLL
    for (int r = 0; r < R; ++r) {
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h)
        V::store(tile + r * kPanelRows + lane + h * V::kLanes, V::add(t.sum[0][r][h], t.sum[1][r][h]));
    }
  }
}

}  // namespace
}  // namespace chaski::cpu
