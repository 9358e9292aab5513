// Products with f32 activations: how the weights of each format become f32 vectors, and the tile that sums
// them.
#pragma once

#include "backend/cpu/kernels_base.h"

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

/// The 16 rows' f16 numbers at `at`, those of vector `lane / kLanes`.
template <class V>
CHASKI_INLINE typename V::F scales_at(const std::byte* at, int lane) {
  return V::load_f16(at + 2 * lane);
}

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

struct WeightQ8_0 {
  template <class V, int R, int H>
  CHASKI_INLINE static void run(const PanelView& w, int lane, F32Tile<V, R, H>& tile) {
    for (int64_t b = 0; b < w.n_cols / 32; ++b) {
      const std::byte* codes = w.codes + b * 512;
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h) {
        const int first = lane + h * V::kLanes;
        const typename V::F d = scales_at<V>(w.scales + b * 32, first);
        for (int g = 0; g < 8; ++g) {
          V::prefetch(codes + g * 64 + kPrefetchBytes);
          const typename V::I word = V::load_i(codes + g * 64 + 4 * first);
          step_word(tile, b * 32 + 4 * g, h, [&]<int kByte>() {
            return V::mul(d, V::to_f32(V::template sar<24>(V::template shl<24 - 8 * kByte>(word))));
          });
        }
      }
    }
  }
};

/// d × (code − kZero), or d × code + m.
template <int kZero, bool kHasMin>
struct WeightNibbles {
  template <class V, int R, int H>
  CHASKI_INLINE static void run(const PanelView& w, int lane, F32Tile<V, R, H>& tile) {
    constexpr int kScaleBytes = kHasMin ? 64 : 32;
    for (int64_t b = 0; b < w.n_cols / 32; ++b) {
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h) {
        const int first = lane + h * V::kLanes;
        const std::byte* scales = w.scales + b * kScaleBytes;
        const typename V::F d = scales_at<V>(scales, first);
        const typename V::F m = kHasMin ? scales_at<V>(scales + 32, first) : V::set(0.0f);
        const auto weight = [&](typename V::I code) {
          code = V::and_i(code, V::set_i(15));
          if constexpr (kHasMin) return V::add(V::mul(d, V::to_f32(code)), m);
          return V::mul(d, V::to_f32(V::sub_i(code, V::set_i(kZero))));
        };
        for (int j = 0; j < 4; ++j) {
          V::prefetch(w.codes + b * 256 + j * 64 + kPrefetchBytes);
          const typename V::I word = V::load_i(w.codes + b * 256 + j * 64 + 4 * first);
          step_word(tile, b * 32 + 4 * j, h,
                    [&]<int kByte>() { return weight(V::template shr<8 * kByte>(word)); });
        }
        for (int j = 0; j < 4; ++j) {
          const typename V::I word = V::load_i(w.codes + b * 256 + j * 64 + 4 * first);
          step_word(tile, b * 32 + 16 + 4 * j, h,
                    [&]<int kByte>() { return weight(V::template shr<8 * kByte + 4>(word)); });
        }
      }
    }
  }
};

/// The four bytes of codes 0 … 63 of columns 16 kHalf + 4 kJ … of a q6_K block of 32.
template <class V, int kHalf, int kJ>
CHASKI_INLINE typename V::I codes_q6(const std::byte* block, int first) {
  const typename V::I low = V::load_i(block + kJ * 64 + 4 * first);
  const typename V::I high = V::load_i(block + 256 + kHalf * 64 + 4 * first);
  const typename V::I two = V::and_i(V::template shr<2 * kJ>(high), V::set_i(0x03030303));
  return V::or_i(V::and_i(V::template shr<4 * kHalf>(low), V::set_i(0x0f0f0f0f)), V::template shl<4>(two));
}

/// Scales of one 16-column piece of a q6_K panel: d × its int8 scale.
template <class V>
CHASKI_INLINE typename V::F scale_q6(const std::byte* super_scales, int64_t piece, int first) {
  return V::mul(scales_at<V>(super_scales, first),
                V::to_f32(V::load_i8(super_scales + 32 + piece * kPanelRows + first)));
}

struct WeightQ6_K {
  template <class V, int R, int H>
  CHASKI_INLINE static void run(const PanelView& w, int lane, F32Tile<V, R, H>& tile) {
    for (int64_t b = 0; b < w.n_cols / 32; ++b) {
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h) {
        half<0>(w, b, lane + h * V::kLanes, h, tile);
        half<1>(w, b, lane + h * V::kLanes, h, tile);
      }
    }
  }

 private:
  template <int kHalf, class V, int R, int H>
  CHASKI_INLINE static void half(const PanelView& w, int64_t b, int first, int h, F32Tile<V, R, H>& tile) {
    const std::byte* block = w.codes + b * 384;
    const typename V::F scale = scale_q6<V>(w.scales + b / 8 * 288, b % 8 * 2 + kHalf, first);
    const auto word = [&]<int kJ>() {
      const typename V::I codes = codes_q6<V, kHalf, kJ>(block, first);
      step_word(tile, b * 32 + 16 * kHalf + 4 * kJ, h, [&]<int kByte>() {
        const typename V::I code = V::and_i(V::template shr<8 * kByte>(codes), V::set_i(63));
        return V::mul(scale, V::to_f32(V::sub_i(code, V::set_i(32))));
      });
    };
    word.template operator()<0>();
    word.template operator()<1>();
    word.template operator()<2>();
    word.template operator()<3>();
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
