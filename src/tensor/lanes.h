// Sixteen numbers at a time, in as many registers as the instruction set needs, with the same bits as the
// result on every one: lanes never meet except in the folds below, whose order is fixed. Internal linkage,
// like all that is compiled once per instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

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

// Register by register: a copy of the whole may go through narrower ones, which costs a stall.
CHASKI_INLINE F32s load(const float* from) {
  F32s r;
  for (auto& piece : r.piece) {
    std::memcpy(&piece, from, sizeof piece);
    from += sizeof piece / sizeof *from;
  }
  return r;
}
CHASKI_INLINE void store(F32s a, float* to) {
  for (const auto& piece : a.piece) {
    std::memcpy(to, &piece, sizeof piece);
    to += sizeof piece / sizeof *to;
  }
}

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

/// Sixteen bytes as numbers. (By name for each instruction set: compilers take the general form apart.)
template <class Byte>
CHASKI_INLINE F32s load_bytes(const void* from) {
  I32s r;
#if defined(__AVX2__)
  __m128i bytes;
  std::memcpy(&bytes, from, sizeof bytes);
  constexpr bool kSigned = static_cast<Byte>(-1) < 0;
#if defined(__AVX512F__)
  const __m512i wide = kSigned ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes);
  std::memcpy(&r, &wide, sizeof r);
#else
  for (int i = 0; i < 2; ++i, bytes = _mm_srli_si128(bytes, 8)) {
    const __m256i wide = kSigned ? _mm256_cvtepi8_epi32(bytes) : _mm256_cvtepu8_epi32(bytes);
    std::memcpy(&r.piece[i], &wide, sizeof wide);
  }
#endif
#else
  const auto* bytes = static_cast<const Byte*>(from);
  for (int i = 0; i < kLanes; ++i) r.piece[i / 4][i % 4] = bytes[i];
#endif
  return to_float(r);
}

/// The lanes, each from -128 to 255, as bytes in order.
CHASKI_INLINE void store_bytes(I32s a, void* to) {
#if defined(__AVX512F__)
  const __m128i bytes = _mm512_cvtepi32_epi8((__m512i)a.piece[0]);
#elif defined(__AVX2__)
  for (auto& piece : a.piece) piece &= 255;
  const __m256i mixed = _mm256_packus_epi32((__m256i)a.piece[0], (__m256i)a.piece[1]);
  const __m256i words = _mm256_permute4x64_epi64(mixed, 0xD8);
  const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
#elif defined(__SSE2__)
  for (auto& piece : a.piece) piece &= 255;
  const __m128i low = _mm_packs_epi32((__m128i)a.piece[0], (__m128i)a.piece[1]);
  const __m128i high = _mm_packs_epi32((__m128i)a.piece[2], (__m128i)a.piece[3]);
  const __m128i bytes = _mm_packus_epi16(low, high);
#else
  char bytes[kLanes];
  for (int i = 0; i < kLanes; ++i) bytes[i] = static_cast<char>(a.piece[i / 4][i % 4]);
#endif
  std::memcpy(to, &bytes, sizeof bytes);
}

typedef float F32x4 __attribute__((vector_size(16)));

/// What `better` leaves of all lanes: lane i against lane i + 8, then i + 4, i + 2, i + 1.
template <class Better>
CHASKI_INLINE float fold(F32s a, Better better) {
  for (int n = F32s::kPieces / 2; n > 0; n /= 2) {
    for (int i = 0; i < n; ++i) a.piece[i] = better(a.piece[i], a.piece[i + n]);
  }
  F32x4 quarter[kRegisterBytes / 16];
  std::memcpy(quarter, &a.piece[0], sizeof quarter);
  for (int n = kRegisterBytes / 32; n > 0; n /= 2) {
    for (int i = 0; i < n; ++i) quarter[i] = better(quarter[i], quarter[i + n]);
  }
  const F32x4 two = better(quarter[0], __builtin_shufflevector(quarter[0], quarter[0], 2, 3, 2, 3));
  return better(two, __builtin_shufflevector(two, two, 1, 1, 1, 1))[0];
}
CHASKI_INLINE float largest(F32s a) {
  return fold(a, [](auto x, auto y) { return x > y ? x : y; });
}
CHASKI_INLINE float smallest(F32s a) {
  return fold(a, [](auto x, auto y) { return x < y ? x : y; });
}

/// 1 / a, and 0 where a is 0.
CHASKI_INLINE F32s inverse_or_zero(F32s a) {
  const F32s magnitude = abs(a);
  return if_less(all(0), magnitude, all(1) / a, all(0));
}

}  // namespace
}  // namespace chaski
