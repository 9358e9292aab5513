// What all kernel templates lean on: whole and partial vectors, the exponential. See kernels_impl.h.
#pragma once

#include "backend/cpu/kernels.h"

#if defined(__clang__)
#define CHASKI_UNROLL _Pragma("clang loop unroll(full)")
#else
#define CHASKI_UNROLL _Pragma("GCC unroll 16")
#endif
#define CHASKI_INLINE [[gnu::always_inline]] inline
#define CHASKI_INLINE_LAMBDA __attribute__((always_inline))
// Sums in memory stay there: kept in registers between blocks, they push others out.
#define CHASKI_FORGET_REGISTERS asm volatile("" ::: "memory")

namespace chaski::cpu {
namespace {

constexpr int64_t kPrefetchBytes = 2048;

template <class T>
CHASKI_INLINE T load_as(const void* from) {
  T value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

template <class T>
CHASKI_INLINE void store_as(void* to, T value) {
  __builtin_memcpy(to, &value, sizeof value);
}

/// Which power of two `n` is.
constexpr int log2_of(int n) { return n <= 1 ? 0 : 1 + log2_of(n / 2); }

/// tile<R>(first row) for all rows, in tiles of kMost and, for the rest, of 8, 4, 2 and 1.
template <int kMost, class Tile>
CHASKI_INLINE void for_tiles(int64_t n_rows, Tile&& tile) {
  int64_t row = 0;
  for (; row + kMost <= n_rows; row += kMost) tile.template operator()<kMost>(row);
  const auto rest = [&]<int R>() CHASKI_INLINE_LAMBDA {
    if constexpr (R < kMost) {
      for (; row + R <= n_rows; row += R) tile.template operator()<R>(row);
    }
  };
  rest.template operator()<8>();
  rest.template operator()<4>();
  rest.template operator()<2>();
  rest.template operator()<1>();
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

}  // namespace
}  // namespace chaski::cpu
