// Products with int8 activations, the quantising of activations, and the cutting of rows into tiles for both
// kinds of product.
#pragma once

#include "backend/cpu/kernels_linear_f32.h"

namespace chaski::cpu {
namespace {

/// R quantised rows as a block kernel sees them.
template <class V, int R, int H>
struct Q8Tile {
  const std::byte* x;  ///< codes of the first row
  int64_t stride;
  int64_t scales_at, sums_at;
  typename V::F sum[R][H];

  CHASKI_INLINE typename V::I codes(int r, int64_t k) const {
    return V::set_i(load_as<int32_t>(x + r * stride + k));
  }
  CHASKI_INLINE float scale(int r, int64_t block) const {
    return load_as<float>(x + r * stride + scales_at + 4 * block);
  }
  /// The sum of the codes of the 16 columns from 16 × piece.
  CHASKI_INLINE int32_t sum_of_16(int r, int64_t piece) const {
    return load_as<int32_t>(x + r * stride + sums_at + 4 * piece);
  }
  CHASKI_INLINE int32_t sum_of_32(int r, int64_t block) const {
    return sum_of_16(r, 2 * block) + sum_of_16(r, 2 * block + 1);
  }
};

struct DotQ8_0 {
  template <class V, int R, int H>
  CHASKI_INLINE static void run(const PanelView& w, int lane, Q8Tile<V, R, H>& t) {
    for (int64_t b = 0; b < w.n_cols / 32; ++b) {
      typename V::I acc[R][H];
      CHASKI_UNROLL
      for (int r = 0; r < R; ++r) {
        CHASKI_UNROLL
        for (int h = 0; h < H; ++h)
          acc[r][h] = V::set_i(V::kS8Bias == 0 ? 0 : -V::kS8Bias * t.sum_of_32(r, b));
      }
      CHASKI_UNROLL
      for (int g = 0; g < 8; ++g) {
        const std::byte* codes = w.codes + b * 512 + g * 64;
        V::prefetch(codes + kPrefetchBytes);
        CHASKI_UNROLL
        for (int h = 0; h < H; ++h) {
          const typename V::S8 word = V::make_s8(V::load_i(codes + 4 * (lane + h * V::kLanes)));
          CHASKI_UNROLL
          for (int r = 0; r < R; ++r) acc[r][h] = V::dot_s8(acc[r][h], word, t.codes(r, b * 32 + 4 * g));
        }
      }
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h) {
        const typename V::F d = scales_at<V>(w.scales + b * 32, lane + h * V::kLanes);
        CHASKI_UNROLL
        for (int r = 0; r < R; ++r)
          t.sum[r][h] = V::fma(V::to_f32(acc[r][h]), V::mul(d, V::set(t.scale(r, b))), t.sum[r][h]);
      }
    }
  }
};

template <int kZero, bool kHasMin>
struct DotNibbles {
  template <class V, int R, int H>
  CHASKI_INLINE static void run(const PanelView& w, int lane, Q8Tile<V, R, H>& t) {
    const typename V::I mask = V::set_i(0x0f0f0f0f);
    for (int64_t b = 0; b < w.n_cols / 32; ++b) {
      typename V::I acc[R][H];
      CHASKI_UNROLL
      for (int r = 0; r < R; ++r) {
        CHASKI_UNROLL
        for (int h = 0; h < H; ++h) acc[r][h] = V::set_i(0);
      }
      CHASKI_UNROLL
      for (int j = 0; j < 4; ++j) {
        const std::byte* codes = w.codes + b * 256 + j * 64;
        V::prefetch(codes + kPrefetchBytes);
        CHASKI_UNROLL
        for (int h = 0; h < H; ++h) {
          const typename V::I word = V::load_i(codes + 4 * (lane + h * V::kLanes));
          const typename V::I low = V::and_i(word, mask);
          const typename V::I high = V::and_i(V::template shr<4>(word), mask);
          CHASKI_UNROLL
          for (int r = 0; r < R; ++r) {
            acc[r][h] = V::dot_small(acc[r][h], low, t.codes(r, b * 32 + 4 * j));
            acc[r][h] = V::dot_small(acc[r][h], high, t.codes(r, b * 32 + 16 + 4 * j));
          }
        }
      }
      finish(w, lane, b, acc, t);
    }
  }

 private:
  template <class V, int R, int H>
  CHASKI_INLINE static void finish(const PanelView& w, int lane, int64_t b, typename V::I (&acc)[R][H],
                                   Q8Tile<V, R, H>& t) {
    CHASKI_UNROLL
    for (int h = 0; h < H; ++h) {
      const std::byte* scales = w.scales + b * (kHasMin ? 64 : 32);
      const typename V::F d = scales_at<V>(scales, lane + h * V::kLanes);
      CHASKI_UNROLL
      for (int r = 0; r < R; ++r) {
        const int32_t sum = t.sum_of_32(r, b);
        const float dx = t.scale(r, b);
        const typename V::I dot = V::add_i(V::widen_small(acc[r][h]), V::set_i(-kZero * sum));
        t.sum[r][h] = V::fma(V::to_f32(dot), V::mul(d, V::set(dx)), t.sum[r][h]);
        if constexpr (kHasMin) {
          const typename V::F m = scales_at<V>(scales + 32, lane + h * V::kLanes);
          t.sum[r][h] = V::fma(m, V::set(dx * static_cast<float>(sum)), t.sum[r][h]);
        }
      }
    }
  }
};

struct DotQ6_K {
  template <class V, int R, int H>
  CHASKI_INLINE static void run(const PanelView& w, int lane, Q8Tile<V, R, H>& t) {
    for (int64_t b = 0; b < w.n_cols / 32; ++b) {
      CHASKI_UNROLL
      for (int at = 0; at < 384; at += 64) V::prefetch(w.codes + b * 384 + at + kPrefetchBytes);
      half<0>(w, lane, b, t);
      half<1>(w, lane, b, t);
    }
  }

 private:
  template <int kHalf, class V, int R, int H>
  CHASKI_INLINE static void half(const PanelView& w, int lane, int64_t b, Q8Tile<V, R, H>& t) {
    const std::byte* block = w.codes + b * 384;
    CHASKI_UNROLL
    for (int h = 0; h < H; ++h) {
      const int first = lane + h * V::kLanes;
      typename V::I dot[R];
      CHASKI_UNROLL
      for (int r = 0; r < R; ++r) dot[r] = V::set_i(-32 * t.sum_of_16(r, 2 * b + kHalf));
      // dot_small holds two products of six bits.
      const auto two_words = [&]<int kJ>() {
        const typename V::I w0 = codes_q6<V, kHalf, kJ>(block, first);
        const typename V::I w1 = codes_q6<V, kHalf, kJ + 1>(block, first);
        CHASKI_UNROLL
        for (int r = 0; r < R; ++r) {
          const int64_t k = b * 32 + kHalf * 16 + kJ * 4;
          const typename V::I acc = V::dot_small(V::set_i(0), w0, t.codes(r, k));
          dot[r] = V::add_i(dot[r], V::widen_small(V::dot_small(acc, w1, t.codes(r, k + 4))));
        }
      };
      two_words.template operator()<0>();
      two_words.template operator()<2>();
      const typename V::F scale = scale_q6<V>(w.scales + b / 8 * 288, b % 8 * 2 + kHalf, first);
      CHASKI_UNROLL
      for (int r = 0; r < R; ++r)
        t.sum[r][h] = V::fma(V::to_f32(dot[r]), V::mul(scale, V::set(t.scale(r, b))), t.sum[r][h]);
    }
  }
};

template <class V, class Weight, int R>
[[gnu::noinline]] void rows_q8(const PanelView& w, const Activations& x, float* tile) {
  constexpr int H = V::vectors_at_once(R);
  const Q8Row row{w.n_cols};
  for (int lane = 0; lane < kPanelRows; lane += H * V::kLanes) {
    Q8Tile<V, R, H> t;
    t.x = x.q8;
    t.stride = x.q8_stride;
    t.scales_at = row.scales_at();
    t.sums_at = row.sums_at();
    CHASKI_UNROLL
    for (int r = 0; r < R; ++r) {
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h) t.sum[r][h] = V::set(0.0f);
    }
    Weight::template run<V, R, H>(w, lane, t);
    CHASKI_UNROLL
    for (int r = 0; r < R; ++r) {
      CHASKI_UNROLL
      for (int h = 0; h < H; ++h) V::store(tile + r * kPanelRows + lane + h * V::kLanes, t.sum[r][h]);
    }
  }
}

/// Rows in tiles of 8, 4, 2 and 1.
template <class V, class Weight, bool kIsQ8>
void linear(const PanelView& w, const Activations& x, int64_t n_rows, float* tile) {
  int64_t done = 0;
  const auto tiles_of = [&]<int R>() {
    if constexpr (R <= V::kMaxRows) {
      for (; done + R <= n_rows; done += R) {
        const Activations rows = {x.f32 + done * x.f32_stride, x.f32_stride, x.q8 + done * x.q8_stride,
                                  x.q8_stride};
        if constexpr (kIsQ8) {
          rows_q8<V, Weight, R>(w, rows, tile + done * kPanelRows);
        } else {
          rows_f32<V, Weight, R>(w, rows, tile + done * kPanelRows);
        }
      }
    }
  };
  tiles_of.template operator()<8>();
  tiles_of.template operator()<4>();
  tiles_of.template operator()<2>();
  tiles_of.template operator()<1>();
}

template <class V>
void quantize_q8(const float* x, int64_t n, std::byte* row) {
  using I = typename V::I;
  constexpr float kRound = 12582912.0f;
  const Q8Row layout{n};
  for (int64_t b = 0; b < n / kQ8Block; ++b) {
    // As integers, the bits of absolute values order like the values, and NaN above infinity.
    I most = V::set_i(0);
    for (int i = 0; i < kQ8Block; i += V::kLanes)
      most = V::max_i(most, V::and_i(V::bits(V::load(x + b * kQ8Block + i)), V::set_i(0x7fffffff)));
    const int32_t most_bits = V::reduce_max_i(most);
    const bool is_finite = most_bits < 0x7f800000;
    const float largest = __builtin_bit_cast(float, most_bits);
    const bool is_zero = largest < 1e-30f;
    const float scale = !is_finite ? __builtin_nanf("") : is_zero ? 0.0f : largest / 127.0f;
    const float inverse = 127.0f / largest;
    int32_t sums[2] = {0, 0};
    for (int i = 0; i < kQ8Block; i += V::kLanes) {
      I codes = V::set_i(0);
      if (is_finite && !is_zero) {
        const typename V::F scaled = V::mul(V::load(x + b * kQ8Block + i), V::set(inverse));
        codes = V::sub_i(V::bits(V::add(scaled, V::set(kRound))), V::bits(V::set(kRound)));
      }
      sums[i / 16] += V::reduce_add_i(codes);
      V::store_i8(row + b * kQ8Block + i, codes);
    }
    __builtin_memcpy(row + layout.scales_at() + 4 * b, &scale, 4);
    __builtin_memcpy(row + layout.sums_at() + 8 * b, sums, 8);
  }
}

}  // namespace
}  // namespace chaski::cpu
