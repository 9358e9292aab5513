// Attention of some query heads over a chunk of cached tokens.
#pragma once

#include "backend/cpu/kernels_base.h"

namespace chaski::cpu {
namespace {

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

}  // namespace
}  // namespace chaski::cpu
