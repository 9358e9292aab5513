// Attention of some query heads over a piece of the cache: scores, their softmax, the weighted sum of values.
// Both products are tiles of N heads by two vectors that read the cache as it lies; every number is one chain
// of sums in the order of dimensions, or of tokens, whatever other heads and rows come along.
#pragma once

#include "backend/cpu/kernels_base.h"

namespace chaski::cpu {
namespace {

// Types of the cache: how 2 × kLanes of its numbers become two vectors, and how those go to floats in order.

struct KvF32 {
  static constexpr int kBytes = 4;
  static constexpr bool kHasScales = false;
  template <class V>
  CHASKI_INLINE static void load(const std::byte* p, typename V::F& a, typename V::F& b) {
    a = V::load(reinterpret_cast<const float*>(p));
    b = V::load(reinterpret_cast<const float*>(p) + V::kLanes);
  }
  template <class V>
  CHASKI_INLINE static void load_sums(const float* p, typename V::F& a, typename V::F& b) {
    a = V::load(p);
    b = V::load(p + V::kLanes);
  }
  template <class V>
  CHASKI_INLINE static void store_sums(float* p, typename V::F a, typename V::F b) {
    V::store(p, a);
    V::store(p + V::kLanes, b);
  }
};

struct KvF16 : KvF32 {
  static constexpr int kBytes = 2;
  template <class V>
  CHASKI_INLINE static void load(const std::byte* p, typename V::F& a, typename V::F& b) {
    a = V::load_f16(p);
    b = V::load_f16(p + 2 * V::kLanes);
  }
};

struct KvBF16 {
  static constexpr int kBytes = 2;
  static constexpr bool kHasScales = false;
  template <class V>
  CHASKI_INLINE static void load(const std::byte* p, typename V::F& a, typename V::F& b) {
    V::load_bf16_pair(p, a, b);
  }
  template <class V>
  CHASKI_INLINE static void load_sums(const float* p, typename V::F& a, typename V::F& b) {
    V::load_pair(p, a, b);
  }
  template <class V>
  CHASKI_INLINE static void store_sums(float* p, typename V::F a, typename V::F b) {
    V::store_pair(p, a, b);
  }
};

/// Codes; 32 dimensions of a token share a scale.
struct KvQ8 : KvF32 {
  static constexpr int kBytes = 1;
  static constexpr bool kHasScales = true;
  template <class V>
  CHASKI_INLINE static void load(const std::byte* p, typename V::F& a, typename V::F& b) {
    a = V::to_f32(V::load_i8(p));
    b = V::to_f32(V::load_i8(p + V::kLanes));
  }
};

/// 2^x for x ≤ 0 to about one unit in the last place, NaN for NaN; 2^-126 for anything below −126.
template <class V>
CHASKI_INLINE typename V::F exp2_nonpositive(typename V::F x) {
  using F = typename V::F;
  constexpr float kRound = 12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer in the low bits
  constexpr int32_t kRoundBits = 0x4b400000;
  x = V::max(V::set(-126.0f), x);
  const F shifted = V::add(x, V::set(kRound));
  const F r = V::sub(x, V::sub(shifted, V::set(kRound)));
  // The best polynomial of degree 5 on [−½, ½] that is 1 at 0: relative error 9e-8.
  F p = V::set(0.001326472614891827f);
  p = V::fma(p, r, V::set(0.009671512991189957f));
  p = V::fma(p, r, V::set(0.05550733581185341f));
  p = V::fma(p, r, V::set(0.24022242426872253f));
  p = V::fma(p, r, V::set(0.6931470036506653f));
  p = V::fma(p, r, V::set(1.0f));
  const typename V::I exponent = V::add_i(V::bits(shifted), V::set_i(127 - kRoundBits));
  return V::mul(p, V::from_bits(V::template shl<23>(exponent)));
}

template <class V, int N>
struct Tile {
  typename V::F a[N], b[N];
};

template <class V, int N>
CHASKI_INLINE void clear(Tile<V, N>& t) {
  CHASKI_UNROLL
  for (int n = 0; n < N; ++n) t.a[n] = t.b[n] = V::set(0.0f);
}

/// t[n] += Σ_i x[n][i] y[i] for i < depth; each step also fetches a line at `ahead`.
template <class V, class Kv, int kStride, int N>
CHASKI_INLINE void accumulate(Tile<V, N>& t, const float* x, const std::byte* y, int64_t y_step,
                              int64_t depth, const std::byte* ahead, int64_t ahead_step) {
  for (int64_t i = 0; i < depth; ++i) {
    typename V::F a, b;
    Kv::template load<V>(y, a, b);
    y += y_step;
    V::prefetch_far(ahead);
    ahead += ahead_step;
    CHASKI_UNROLL
    for (int n = 0; n < N; ++n) {
      const typename V::F factor = V::set(x[n * kStride + i]);
      t.a[n] = V::fma(a, factor, t.a[n]);
      t.b[n] = V::fma(b, factor, t.b[n]);
    }
  }
}

/// Scores of N heads for a page: 32 floats from `scores` on, a head's row kScoreStride long.
template <class V, class Kv, int N>
CHASKI_INLINE void score_page(const KvPiece& piece, int page, const float* q, bool is_first, float* scores) {
  constexpr int64_t kStep = int64_t{kChunkTokens} * Kv::kBytes;
  const std::byte* k = piece.k[page];
  const std::byte* ahead = is_first ? piece.v[page] : k;  // the values, so that they come while we compute
  for (int column = 0; column < kChunkTokens; column += 2 * V::kLanes) {
    Tile<V, N> t;
    clear(t);
    const std::byte* from = k + column * Kv::kBytes;
    const int64_t ahead_step = is_first && column == 0 ? kStep : 0;
    if constexpr (Kv::kHasScales) {
      for (int64_t d = 0; d < piece.head_dim; d += kQ8Block) {
        Tile<V, N> block;
        clear(block);
        accumulate<V, Kv, kQueryStride>(block, q + d, from + d * kStep, kStep, kQ8Block,
                                        ahead + d * ahead_step, ahead_step);
        const std::byte* scales = k + piece.k_scales_at + (d + column) * 2;
        const typename V::F a = V::load_f16(scales), b = V::load_f16(scales + 2 * V::kLanes);
        CHASKI_UNROLL
        for (int n = 0; n < N; ++n) {
          t.a[n] = V::fma(block.a[n], a, t.a[n]);
          t.b[n] = V::fma(block.b[n], b, t.b[n]);
        }
      }
    } else {
      accumulate<V, Kv, kQueryStride>(t, q, from, kStep, piece.head_dim, ahead, ahead_step);
    }
    CHASKI_UNROLL
    for (int n = 0; n < N; ++n)
      Kv::template store_sums<V>(scores + n * kScoreStride + column, t.a[n], t.b[n]);
  }
}

/// Values of tokens [first, last) weighted by N heads, added to acc for 2 × kLanes dimensions from `column`
/// on.
template <class V, class Kv, int N>
CHASKI_INLINE void weigh_values(const KvPiece& piece, const float* weights, int64_t first, int64_t last,
                                int64_t column, bool is_first, float* acc, int64_t stride) {
  Tile<V, N> t;
  clear(t);
  if (first > 0) {
    CHASKI_UNROLL
    for (int n = 0; n < N; ++n) Kv::template load_sums<V>(acc + n * stride + column, t.a[n], t.b[n]);
  }
  const int64_t step = piece.v_stride * Kv::kBytes;
  // A page of the keys that come next is as long as one of these values: each column's pass fetches its part.
  constexpr int64_t kShare = 2 * V::kLanes * Kv::kBytes;
  for (int64_t token = first; token < last;) {
    const int64_t page = token / kChunkTokens, at = token % kChunkTokens;
    const int64_t end = last < (page + 1) * kChunkTokens ? last : (page + 1) * kChunkTokens;
    const std::byte* v = piece.v[page] + at * step + column * Kv::kBytes;
    const std::byte* ahead = is_first ? piece.next_k[page] + column * Kv::kBytes * kChunkTokens : v;
    accumulate<V, Kv, kScoreStride>(t, weights + token, v, step, end - token, ahead, is_first ? kShare : 0);
    token = end;
  }
  CHASKI_UNROLL
  for (int n = 0; n < N; ++n) Kv::template store_sums<V>(acc + n * stride + column, t.a[n], t.b[n]);
}

/// A head's scores of n tokens to weights, and their largest and sum.
template <class V>
CHASKI_INLINE void soften(float* scores, int64_t n, float& max, float& sum) {
  const int64_t whole = n / V::kLanes * V::kLanes;
  if (whole < n) {
    V::store(scores + whole,
             V::keep_below(static_cast<int>(n - whole), V::load(scores + whole), V::set(-__builtin_inff())));
  }
  typename V::F most = V::load(scores);
  for (int64_t t = V::kLanes; t < n; t += V::kLanes) most = V::max(most, V::load(scores + t));
  max = V::reduce_max(most);
  const typename V::F largest = V::set(max);
  typename V::F total = V::set(0.0f);
  for (int64_t t = 0; t < n; t += V::kLanes) {
    const typename V::F weight = exp2_nonpositive<V>(V::sub(V::load(scores + t), largest));
    V::store(scores + t, weight);
    total = V::add(total, weight);
  }
  sum = V::reduce_add(total);
}

/// out = weights times the scales of dimensions 32 × block … of n tokens.
template <class V>
CHASKI_INLINE void scale_weights(const KvPiece& piece, const float* weights, int64_t n, int64_t block,
                                 float* out) {
  for (int64_t t = 0; t < n; t += V::kLanes) {
    const std::byte* scales =
        piece.v[t / kChunkTokens] + piece.v_scales_at + (block * kChunkTokens + t % kChunkTokens) * 2;
    V::store(out + t, V::mul(V::load(weights + t), V::load_f16(scales)));
  }
}

/// How many heads go together, as a type.
template <int N>
struct Heads {};

/// f(first, Heads<N>{}) for as many heads at a time as fill the registers, then for fewer.
template <class V, class Fn>
CHASKI_INLINE void for_heads(int64_t n, Fn&& f) {
  int64_t m = 0;
  for (; m + V::kHeadTile <= n; m += V::kHeadTile) f(m, Heads<V::kHeadTile>{});
  for (; m + 4 <= n; m += 4) f(m, Heads<4>{});
  if (n - m == 3) f(m, Heads<3>{});
  if (n - m == 2) f(m, Heads<2>{});
  if (n - m == 1) f(m, Heads<1>{});
}

template <class V, class Kv>
void attend(const KvPiece& piece, const AttentionRows& rows, float* scores, const AttentionPart& part) {
  const int64_t n = rows.n_rows * rows.group;
  const int64_t stride = (piece.head_dim + 31) / 32 * 32;
  const int64_t least = rows.n_tokens[0], most = rows.n_tokens[rows.n_rows - 1];
  for (int page = 0; page * kChunkTokens < most; ++page) {
    for_heads<V>(n, [&]<int N>(int64_t m, Heads<N>) CHASKI_INLINE_LAMBDA {
      score_page<V, Kv, N>(piece, page, rows.q + m * kQueryStride, m == 0,
                           scores + m * kScoreStride + page * kChunkTokens);
    });
  }
  for (int64_t m = 0; m < n; ++m) {
    soften<V>(scores + m * kScoreStride, rows.n_tokens[m / rows.group], part.max[m], part.sum[m]);
  }
  const float* weights = scores;
  for (int64_t column = 0; column < piece.head_dim; column += 2 * V::kLanes) {
    if constexpr (Kv::kHasScales) {
      float* scaled = scores + n * kScoreStride;
      weights = scaled;
      for (int64_t m = 0; m < n && column % kQ8Block == 0; ++m) {
        scale_weights<V>(piece, scores + m * kScoreStride, rows.n_tokens[m / rows.group], column / kQ8Block,
                         scaled + m * kScoreStride);
      }
    }
    const auto weigh = [&](int64_t first_head, int64_t n_heads, int64_t first, int64_t last)
                           CHASKI_INLINE_LAMBDA {
                             for_heads<V>(n_heads, [&]<int N>(int64_t i, Heads<N>) CHASKI_INLINE_LAMBDA {
                               const int64_t m = first_head + i;
                               weigh_values<V, Kv, N>(piece, weights + m * kScoreStride, first, last, column,
                                                      m == 0, part.acc + m * stride, stride);
                             });
                           };
    weigh(0, n, 0, least);
    for (int64_t r = 0; r < rows.n_rows && most > least; ++r) {  // what only later rows see
      if (rows.n_tokens[r] > least) weigh(r * rows.group, rows.group, least, rows.n_tokens[r]);
    }
  }
}

template <class V>
void merge_parts(const AttentionPart& part, int64_t n, int64_t stride, const AttentionPart& total) {
  for (int64_t i = 0; i < n; ++i) {
    const float max = part.max[i] > total.max[i] ? part.max[i] : total.max[i];
    const typename V::F kept = exp2_nonpositive<V>(V::set(total.max[i] - max));
    const typename V::F added = exp2_nonpositive<V>(V::set(part.max[i] - max));
    float sums[V::kLanes];
    V::store(sums, V::fma(V::set(part.sum[i]), added, V::mul(V::set(total.sum[i]), kept)));
    total.sum[i] = sums[0];
    total.max[i] = max;
    for (int64_t d = i * stride; d < (i + 1) * stride; d += V::kLanes) {
      V::store(total.acc + d, V::fma(V::load(part.acc + d), added, V::mul(V::load(total.acc + d), kept)));
    }
  }
}

}  // namespace
}  // namespace chaski::cpu
