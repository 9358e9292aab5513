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

template <PanelFormat kF>
struct DotBlocks {
  static constexpr bool kIsSmall = kF.kind == CodeKind::kUnsigned;
  static constexpr int kWords = kF.piece_columns / 4;
  /// Words of codes whose products dot_small may add up.
  static constexpr int kChain = kF.bits <= 4 || !kIsSmall ? kWords : kF.bits == 5 ? 4 : 2;

  template <class V, int R, int H>
  CHASKI_INLINE static void run(const PanelView& w, int lane, Q8Tile<V, R, H>& t) {
    for_pieces<V, kF, H>(
        w, lane,
        [&]<int kPiece>(int64_t b, int64_t piece, const std::byte* codes, const auto& scales)
            CHASKI_INLINE_LAMBDA {
              typename V::I dots[R][H];
              dot<kPiece>(b, codes, lane, t, dots);
              CHASKI_UNROLL
              for (int h = 0; h < H; ++h) {
                const typename V::F scale = scales.scale(piece, h), minimum = scales.minimum(piece, h);
                CHASKI_UNROLL
                for (int r = 0; r < R; ++r) {
                  const float dx = t.scale(r, b);
                  t.sum[r][h] = V::fma(V::to_f32(dots[r][h]), V::mul(scale, V::set(dx)), t.sum[r][h]);
                  if constexpr (kF.has_minimum)
                    t.sum[r][h] = V::fma(minimum, V::set(dx * static_cast<float>(sum_of<kPiece>(t, r, b))),
                                         t.sum[r][h]);
                }
              }
            });
  }

 private:
  /// The sum of a row's codes over a piece.
  template <int kPiece, class V, int R, int H>
  CHASKI_INLINE static int32_t sum_of(const Q8Tile<V, R, H>& t, int r, int64_t b) {
    return kWords == 8 ? t.sum_of_32(r, b) : t.sum_of_16(r, 2 * b + kPiece);
  }

  /// A piece's products of activations' codes with what the weights' codes stand for.
  template <int kPiece, class V, int R, int H>
  CHASKI_INLINE static void dot(int64_t b, const std::byte* codes, int lane, const Q8Tile<V, R, H>& t,
                                typename V::I (&dots)[R][H]) {
    constexpr int32_t kZero = kIsSmall ? kF.zero : V::kS8Bias;
    unrolled<kWords / kChain>([&]<int kLink>() CHASKI_INLINE_LAMBDA {
      // Asked for where V adds it, at the start or at the end: registers are short.
      const auto before = [&](int r, int h) CHASKI_INLINE_LAMBDA {
        if constexpr (kLink > 0) return dots[r][h];
        return V::set_i(kZero == 0 ? 0 : -kZero * sum_of<kPiece>(t, r, b));
      };
      typename V::I acc[R][H];
      CHASKI_UNROLL
      for (int r = 0; r < R; ++r) {
        CHASKI_UNROLL
        for (int h = 0; h < H; ++h) acc[r][h] = kIsSmall ? V::begin_small(before(r, h)) : before(r, h);
      }
      unrolled<kChain>([&]<int kWord>() CHASKI_INLINE_LAMBDA {
        constexpr int kJ = kPiece * kWords + kLink * kChain + kWord;
        CHASKI_UNROLL
        for (int h = 0; h < H; ++h) {
          const typename V::I values = values_at<V, kF, kJ>(codes, lane + h * V::kLanes);
          CHASKI_UNROLL
          for (int r = 0; r < R; ++r) {
            const typename V::I x = t.codes(r, b * 32 + 4 * kJ);
            if constexpr (kIsSmall) {
              acc[r][h] = V::dot_small(acc[r][h], values, x);
            } else {
              acc[r][h] = V::dot_s8(acc[r][h], V::make_s8(values), x);
            }
          }
        }
      });
      CHASKI_UNROLL
      for (int r = 0; r < R; ++r) {
        CHASKI_UNROLL
        for (int h = 0; h < H; ++h) dots[r][h] = kIsSmall ? V::end_small(before(r, h), acc[r][h]) : acc[r][h];
      }
    });
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
