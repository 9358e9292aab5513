// Kernels that go through rows element by element.
#pragma once

#include "backend/cpu/kernels_base.h"

namespace chaski::cpu {
namespace {

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

}  // namespace
}  // namespace chaski::cpu
