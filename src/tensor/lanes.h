// Sixteen numbers at a time, in as many registers as the instruction set needs, with the same bits as the
// result on every one: lanes never meet except in the folds below, whose order is fixed. Internal linkage,
// like all that is compiled once per instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wpsabi"  // everything that takes a vector by value is inlined
#endif

#define CHASKI_INLINE inline __attribute__((always_inline))

namespace chaski {
namespace {

#if defined(__AVX512F__)
constexpr int kRegisterBytes = 64;
#elif defined(__AVX2__)
constexpr int kRegisterBytes = 32;
#else
constexpr int kRegisterBytes = 16;
#endif

constexpr int kLanes = 16;

template <class T>
struct Lanes {
  typedef T Register __attribute__((vector_size(kRegisterBytes)));
  static constexpr int kPieces = kLanes * static_cast<int>(sizeof(T)) / kRegisterBytes;
  Register piece[kPieces];
};
using F32s = Lanes<float>;
using I32s = Lanes<int32_t>;
using U32s = Lanes<uint32_t>;

/// The same number in all lanes.
CHASKI_INLINE F32s all(float x) {
  F32s r;
  for (auto& piece : r.piece) piece = x - F32s::Register{};
  return r;
}

CHASKI_INLINE F32s load(const float* from) {
  F32s r;
  std::memcpy(&r, from, sizeof r);
  return r;
}
CHASKI_INLINE void store(F32s a, float* to) { std::memcpy(to, &a, sizeof a); }

#define CHASKI_LANES_OPERATOR(op)                                                  \
  CHASKI_INLINE F32s operator op(F32s a, F32s b) {                                 \
    for (int i = 0; i < F32s::kPieces; ++i) a.piece[i] = a.piece[i] op b.piece[i]; \
    return a;                                                                      \
  }                                                                                \
  CHASKI_INLINE F32s operator op(F32s a, float b) {                                \
    for (auto& piece : a.piece) piece = piece op b;                                \
    return a;                                                                      \
  }
CHASKI_LANES_OPERATOR(+)
CHASKI_LANES_OPERATOR(-)
CHASKI_LANES_OPERATOR(*)
CHASKI_LANES_OPERATOR(/)
#undef CHASKI_LANES_OPERATOR
CHASKI_INLINE F32s& operator+=(F32s& a, F32s b) { return a = a + b; }

/// Per lane: a < b ? x : y; so y where one of them is NaN.
CHASKI_INLINE F32s if_less(F32s a, F32s b, F32s x, F32s y) {
  for (int i = 0; i < F32s::kPieces; ++i) y.piece[i] = a.piece[i] < b.piece[i] ? x.piece[i] : y.piece[i];
  return y;
}
/// The smaller and the larger one; b where one of them is NaN.
CHASKI_INLINE F32s min(F32s a, F32s b) { return if_less(a, b, a, b); }
CHASKI_INLINE F32s max(F32s a, F32s b) { return if_less(b, a, a, b); }

CHASKI_INLINE F32s abs(F32s a) {
  for (auto& piece : a.piece) piece = (F32s::Register)((I32s::Register)piece & 0x7FFFFFFF);
  return a;
}

CHASKI_INLINE F32s square_root(F32s a) {
  float each[kLanes];
  store(a, each);
  for (float& x : each) x = __builtin_sqrtf(x);
  return load(each);
}

/// To the nearest integer, ties to even; |a| below 2^22.
CHASKI_INLINE F32s round_small(F32s a) { return (a + 0x1.8p23f) - 0x1.8p23f; }

/// To the nearest integer within [low, high]; NaN gives `high`.
CHASKI_INLINE F32s round_within(F32s a, float low, float high) {
  return round_small(max(min(a, all(high)), all(low)));
}

CHASKI_INLINE I32s to_int(F32s a) {
  I32s r;
  for (int i = 0; i < F32s::kPieces; ++i) r.piece[i] = __builtin_convertvector(a.piece[i], I32s::Register);
  return r;
}
CHASKI_INLINE F32s to_float(I32s a) {
  F32s r;
  for (int i = 0; i < F32s::kPieces; ++i) r.piece[i] = __builtin_convertvector(a.piece[i], F32s::Register);
  return r;
}

/// The low bytes of the lanes, in order.
CHASKI_INLINE void store_bytes(I32s a, void* to) {
  typedef int8_t Bytes __attribute__((vector_size(kRegisterBytes / 4)));
  for (int i = 0; i < I32s::kPieces; ++i) {
    const Bytes bytes = __builtin_convertvector(a.piece[i], Bytes);
    std::memcpy(static_cast<char*>(to) + i * kRegisterBytes / 4, &bytes, sizeof bytes);
  }
}

/// The largest of the lanes that are no NaN; -infinity where all are.
CHASKI_INLINE float largest(F32s a) {
  float each[kLanes];
  a = max(a, all(-__builtin_inff()));
  store(a, each);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) each[i] = each[i] > each[i + half] ? each[i] : each[i + half];
  }
  return each[0];
}

/// 1 / a, and 0 where a is 0.
CHASKI_INLINE F32s inverse_or_zero(F32s a) {
  const F32s magnitude = abs(a);
  return if_less(all(0), magnitude, all(1) / a, all(0));
}

}  // namespace
}  // namespace chaski
