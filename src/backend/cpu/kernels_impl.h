// The kernels, written once over a vector type `V` and included by one translation unit per instruction set.
// Everything lies in an unnamed namespace: what is compiled here with wide instructions must never be picked
// by the linker for other code. For the same reason nothing of the standard library is called.
//
// Bitwise promises. What a row gets does not depend on how many rows come along: tiles change which sums
// stand side by side, never the order within a sum. A linear's sum over columns k has two chains (even and
// odd k) where activations are f32, one chain over blocks where they are int8.
//
// V offers: kLanes (a divisor of 16), kMaxRows, kHeadTile, kS8Bias; F (floats), I (32-bit words), S8 (signed
// bytes made ready for dot_s8); the functions used below. min(a, b) is b where either is NaN, and max too.
#pragma once

#include "backend/cpu/kernels.h"

#if defined(__clang__)
#define CHASKI_UNROLL _Pragma("clang loop unroll(full)")
#else
#define CHASKI_UNROLL _Pragma("GCC unroll 16")
#endif
#define CHASKI_INLINE [[gnu::always_inline]] inline

namespace chaski::cpu {
namespace {

constexpr int64_t kPrefetchBytes = 2048;

template <class T>
CHASKI_INLINE T load_as(const void* from) {
  T value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

template <class V>
CHASKI_INLINE typename V::F load_part(const float* x, int64_t n) {
  float lanes[V::kLanes] = {};
  for (int64_t i = 0; i < n; ++i) lanes[i] = x[i];
  return V::load(lanes);
}

template <class V>
CHASKI_INLINE void store_part(float* x, int64_t n, typename V::F value) {
  float lanes[V::kLanes];
  V::store(lanes, value);
  for (int64_t i = 0; i < n; ++i) x[i] = lanes[i];
}

/// out[i] = f(i) for whole vectors and then the rest: `load(p)` reads what belongs to the place.
template <class V, class Fn>
CHASKI_INLINE void for_vectors(int64_t n, float* out, Fn&& f) {
  int64_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) {
    V::store(out + i, f([i](const float* p) { return V::load(p + i); }));
  }
  if (i < n) {
    store_part<V>(out + i, n - i, f([i, n](const float* p) { return load_part<V>(p + i, n - i); }));
  }
}

/// e^x to about one unit in the last place, NaN for NaN, subnormal results included.
template <class V>
CHASKI_INLINE typename V::F exp(typename V::F x) {
  using F = typename V::F;
  using I = typename V::I;
  constexpr float kRound = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer in the low bits
  x = V::max(V::set(-104.0f), V::min(V::set(89.0f), x));
  const F shifted = V::add(V::mul(x, V::set(1.44269504f)), V::set(kRound));
  const I n = V::sub_i(V::bits(shifted), V::bits(V::set(kRound)));
  const F whole = V::sub(shifted, V::set(kRound));
  F r = V::fma(whole, V::set(-0.693359375f), x);  // ln 2 in two parts; the first has few bits
  r = V::fma(whole, V::set(2.12194440e-4f), r);
  F p = V::set(1.0f / 5040);
  p = V::fma(p, r, V::set(1.0f / 720));
  p = V::fma(p, r, V::set(1.0f / 120));
  p = V::fma(p, r, V::set(1.0f / 24));
  p = V::fma(p, r, V::set(1.0f / 6));
  p = V::fma(p, r, V::set(0.5f));
  p = V::fma(V::mul(r, r), p, r);
  p = V::add(p, V::set(1.0f));
  // 2^n in two factors, so that both are normal numbers.
  const I half = V::template sar<1>(n);
  const I bias = V::set_i(127);
  p = V::mul(p, V::from_bits(V::template shl<23>(V::add_i(half, bias))));
  return V::mul(p, V::from_bits(V::template shl<23>(V::add_i(V::sub_i(n, half), bias))));
}

// Linear, f32 activations.

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

// Linear, int8 activations.

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

// Element-wise.

template <class V>
void rms_norm(const float* x, const float* gain, float eps, int64_t n, float* out) {
  typename V::F sums[4] = {V::set(0.0f), V::set(0.0f), V::set(0.0f), V::set(0.0f)};
  int64_t i = 0;
  for (; i + 4 * V::kLanes <= n; i += 4 * V::kLanes) {
    CHASKI_UNROLL
    for (int j = 0; j < 4; ++j) {
      const typename V::F v = V::load(x + i + j * V::kLanes);
      sums[j] = V::fma(v, v, sums[j]);
    }
  }
  for (; i < n; i += V::kLanes) {
    const typename V::F v = n - i >= V::kLanes ? V::load(x + i) : load_part<V>(x + i, n - i);
    sums[0] = V::fma(v, v, sums[0]);
  }
  const float total = V::reduce_add(V::add(V::add(sums[0], sums[1]), V::add(sums[2], sums[3])));
  const float inverse = 1.0f / __builtin_sqrtf(total / static_cast<float>(n) + eps);
  for_vectors<V>(n, out, [&](auto load) { return V::mul(V::mul(load(x), V::set(inverse)), load(gain)); });
}

template <class V>
void swiglu(const float* gate, const float* up, int64_t n, float* out) {
  for_vectors<V>(n, out, [&](auto load) {
    const typename V::F g = load(gate);
    const typename V::F e = exp<V>(V::sub(V::set(0.0f), g));
    return V::mul(V::div(g, V::add(V::set(1.0f), e)), load(up));
  });
}

template <class V>
void add(const float* x, const float* y, int64_t n, float* out) {
  for_vectors<V>(n, out, [&](auto load) { return V::add(load(x), load(y)); });
}

template <class V>
void rope(float* head, const float* cosines, const float* sines, int64_t half) {
  for (int64_t i = 0; i < half; i += V::kLanes) {
    const int64_t n = half - i;
    const bool is_whole = n >= V::kLanes;
    const auto load = [&](const float* p) { return is_whole ? V::load(p + i) : load_part<V>(p + i, n); };
    const typename V::F a = load(head), b = load(head + half), c = load(cosines), s = load(sines);
    const typename V::F first = V::sub(V::mul(a, c), V::mul(b, s));
    const typename V::F second = V::add(V::mul(b, c), V::mul(a, s));
    if (is_whole) {
      V::store(head + i, first);
      V::store(head + half + i, second);
    } else {
      store_part<V>(head + i, n, first);
      store_part<V>(head + half + i, n, second);
    }
  }
}

template <class V>
void widen(const void* from, DType dtype, int64_t n, float* to) {
  const auto* bytes = static_cast<const std::byte*>(from);
  if (dtype == DType::kF32) {
    __builtin_memcpy(to, from, static_cast<size_t>(n) * 4);
    return;
  }
  const bool is_half = dtype == DType::kF16;
  const auto load = [&](const std::byte* p) { return is_half ? V::load_f16(p) : V::load_bf16(p); };
  int64_t i = 0;
  for (; i + V::kLanes <= n; i += V::kLanes) V::store(to + i, load(bytes + 2 * i));
  if (i < n) {
    std::byte rest[2 * V::kLanes] = {};
    for (int64_t j = 0; j < 2 * (n - i); ++j) rest[j] = bytes[2 * i + j];
    store_part<V>(to + i, n - i, load(rest));
  }
}

template <class V>
int32_t argmax(const float* x, int64_t n) {
  // As in quantize_q8: a NaN has the largest bits of all.
  typename V::I most = V::set_i(0);
  typename V::F best = V::set(-__builtin_inff());
  for (int64_t i = 0; i < n; i += V::kLanes) {
    // The last vector overlaps the one before where the row is long enough.
    const int64_t at = i + V::kLanes <= n ? i : n - V::kLanes;
    typename V::F v;
    if (at >= 0) {
      v = V::load(x + at);
    } else {
      float lanes[V::kLanes];
      for (int64_t j = 0; j < V::kLanes; ++j) lanes[j] = x[j < n ? j : 0];
      v = V::load(lanes);
    }
    most = V::max_i(most, V::and_i(V::bits(v), V::set_i(0x7fffffff)));
    best = V::max(best, v);
  }
  const float largest = V::reduce_max(best);
  if (V::reduce_max_i(most) > 0x7f800000 || !(__builtin_fabsf(largest) < __builtin_inff())) return -1;
  for (int64_t i = 0; i < n; ++i) {
    if (x[i] == largest) return static_cast<int32_t>(i);
  }
  return -1;
}

// Attention.

/// Scores of N heads for a chunk: p[h][t] = scale × q[h] · k[t], −infinity beyond the chunk's tokens.
template <class V, int N>
CHASKI_INLINE void scores(const KvChunk& c, const float* q, int64_t stride, float (&p)[N][kChunkTokens]) {
  constexpr int kVectors = kChunkTokens / V::kLanes;
  typename V::F sum[N][kVectors];
  CHASKI_UNROLL
  for (int h = 0; h < N; ++h) {
    CHASKI_UNROLL
    for (int t = 0; t < kVectors; ++t) sum[h][t] = V::set(0.0f);
  }
  for (int d = 0; d < c.head_dim; ++d) {
    CHASKI_UNROLL
    for (int t = 0; t < kVectors; ++t) {
      const typename V::F k = V::load(c.k + d * kChunkTokens + t * V::kLanes);
      CHASKI_UNROLL
      for (int h = 0; h < N; ++h) sum[h][t] = V::fma(k, V::set(q[h * stride + d]), sum[h][t]);
    }
  }
  CHASKI_UNROLL
  for (int h = 0; h < N; ++h) {
    CHASKI_UNROLL
    for (int t = 0; t < kVectors; ++t) {
      const typename V::F scaled = V::mul(sum[h][t], V::set(c.scale));
      V::store(p[h] + t * V::kLanes,
               V::keep_below(c.n_tokens - t * V::kLanes, scaled, V::set(-__builtin_inff())));
    }
  }
}

/// Scores to weights against the running maximum; returns the factor for what was summed before.
template <class V>
CHASKI_INLINE float reweigh(float (&p)[kChunkTokens], float& max, float& sum) {
  typename V::F most = V::load(p);
  for (int t = V::kLanes; t < kChunkTokens; t += V::kLanes) most = V::max(most, V::load(p + t));
  const float chunk_max = V::reduce_max(most);
  const float new_max = max > chunk_max ? max : chunk_max;
  typename V::F total = V::set(0.0f);
  for (int t = 0; t < kChunkTokens; t += V::kLanes) {
    const typename V::F weight = exp<V>(V::sub(V::load(p + t), V::set(new_max)));
    V::store(p + t, weight);
    total = V::add(total, weight);
  }
  float before[V::kLanes];
  V::store(before, exp<V>(V::set(max - new_max)));
  sum = sum * before[0] + V::reduce_add(total);
  max = new_max;
  return before[0];
}

template <class V, int N>
CHASKI_INLINE void attend_heads(const KvChunk& c, const float* q, int64_t first, const AttentionState& s) {
  float p[N][kChunkTokens];
  float before[N];
  scores<V, N>(c, q + first * s.stride, s.stride, p);
  CHASKI_UNROLL
  for (int h = 0; h < N; ++h) before[h] = reweigh<V>(p[h], s.max[first + h], s.sum[first + h]);
  for (int d = 0; d < c.head_dim; d += V::kLanes) {
    typename V::F acc[N];
    CHASKI_UNROLL
    for (int h = 0; h < N; ++h)
      acc[h] = V::mul(V::load(s.acc + (first + h) * s.stride + d), V::set(before[h]));
    for (int t = 0; t < c.n_tokens; ++t) {
      const typename V::F v = V::load(c.v + t * c.v_stride + d);
      CHASKI_UNROLL
      for (int h = 0; h < N; ++h) acc[h] = V::fma(v, V::set(p[h][t]), acc[h]);
    }
    CHASKI_UNROLL
    for (int h = 0; h < N; ++h) V::store(s.acc + (first + h) * s.stride + d, acc[h]);
  }
}

template <class V>
void attend(const KvChunk& chunk, const float* q, int64_t n_heads, const AttentionState& state) {
  int64_t h = 0;
  for (; h + V::kHeadTile <= n_heads; h += V::kHeadTile) attend_heads<V, V::kHeadTile>(chunk, q, h, state);
  for (; h < n_heads; ++h) attend_heads<V, 1>(chunk, q, h, state);
}

template <class V>
constexpr KernelTable make_table(const char* isa) {
  KernelTable t{};
  const auto set = [&t](DType dtype, LinearKernel f32, LinearKernel q8) {
    t.linear_f32[static_cast<int>(dtype)] = f32;
    t.linear_q8[static_cast<int>(dtype)] = q8;
  };
  t.isa = isa;
  set(DType::kF32, linear<V, WeightF32, false>, nullptr);
  set(DType::kF16, linear<V, WeightF16, false>, nullptr);
  set(DType::kBF16, linear<V, WeightBF16, false>, nullptr);
  set(DType::kQ8_0, linear<V, WeightQ8_0, false>, linear<V, DotQ8_0, true>);
  set(DType::kQ4_0, linear<V, WeightNibbles<8, false>, false>, linear<V, DotNibbles<8, false>, true>);
  set(DType::kQ4_1, linear<V, WeightNibbles<0, true>, false>, linear<V, DotNibbles<0, true>, true>);
  set(DType::kQ6_K, linear<V, WeightQ6_K, false>, linear<V, DotQ6_K, true>);
  t.quantize_q8 = quantize_q8<V>;
  t.rms_norm = rms_norm<V>;
  t.swiglu = swiglu<V>;
  t.add = add<V>;
  t.rope = rope<V>;
  t.widen = widen<V>;
  t.attend = attend<V>;
  t.argmax = argmax<V>;
  return t;
}

}  // namespace
}  // namespace chaski::cpu
