// Vectors of AVX2 with FMA and F16C: eight lanes. Only for kernels_avx2.cpp and kernels_avxvnni.cpp, whose
// flags allow them.
//
// Small codes are multiplied by maddubs, whose pairs of int16 are exact for them; signed bytes are widened
// and multiplied with int16 activations, which costs as much as carrying signs over. The products are small
// groups of instructions written out: left to itself, gcc 12 loads all activations of a tile ahead and puts
// the sums aside on the stack, which halves the speed.
#pragma once

#include <immintrin.h>

#include "backend/cpu/kernels_impl.h"

namespace chaski::cpu {
namespace {

struct Avx2 {
  static constexpr int kLanes = 8;
  static constexpr int kF32Rows = 6;
  static constexpr int kIntRows = 4;
  static constexpr int kHeadTile = 6;
  static constexpr ActivationForm kSignedForm = ActivationForm::kQ16;
  static constexpr bool kRoundsNumbers = true;
  static constexpr int vectors_at_once(int) { return 2; }
  static constexpr bool sums_in_memory(int n_rows) { return n_rows > 2; }
  static constexpr bool pairs_rows(int) { return false; }

  using F = __m256;
  using I = __m256i;

  CHASKI_INLINE static F set(float x) { return _mm256_set1_ps(x); }
  CHASKI_INLINE static I set_i(int32_t x) { return _mm256_set1_epi32(x); }
  CHASKI_INLINE static F load(const float* p) { return _mm256_loadu_ps(p); }
  CHASKI_INLINE static I load_i(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  CHASKI_INLINE static void store(float* p, F x) { _mm256_storeu_ps(p, x); }
  CHASKI_INLINE static void store_i(int32_t* p, I x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), x);
  }
  CHASKI_INLINE static F load_f16(const std::byte* p) { return _mm256_cvtph_ps(half(p)); }
  CHASKI_INLINE static void load_bf16_pair(const std::byte* p, F& even, F& odd) {
    const I both = load_i(p);
    even = from_bits(shl<16>(both));
    odd = from_bits(and_i(both, set_i(static_cast<int32_t>(0xffff0000))));
  }
  CHASKI_INLINE static void load_pair(const float* p, F& even, F& odd) {
    const F a = load(p), b = load(p + 8);
    const auto in_order = [](F x) {
      return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(x), 0xd8));
    };
    even = in_order(_mm256_shuffle_ps(a, b, 0x88));
    odd = in_order(_mm256_shuffle_ps(a, b, 0xdd));
  }
  CHASKI_INLINE static void store_pair(float* p, F even, F odd) {
    const F low = _mm256_unpacklo_ps(even, odd), high = _mm256_unpackhi_ps(even, odd);
    store(p, _mm256_permute2f128_ps(low, high, 0x20));
    store(p + 8, _mm256_permute2f128_ps(low, high, 0x31));
  }
  CHASKI_INLINE static I load_i8(const std::byte* p) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  CHASKI_INLINE static void store_i8(std::byte* p, I x) {
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(words, words));
  }
  CHASKI_INLINE static void prefetch(const void* p) {
    _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0);
  }
  /// Into the second cache alone: many lines may be on their way, as no buffers of the first one wait for
  /// them.
  CHASKI_INLINE static void prefetch_far(const void* p) {
    _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1);
  }

  CHASKI_INLINE static F add(F a, F b) { return _mm256_add_ps(a, b); }
  CHASKI_INLINE static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  CHASKI_INLINE static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  CHASKI_INLINE static F div(F a, F b) { return _mm256_div_ps(a, b); }
  CHASKI_INLINE static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  CHASKI_INLINE static F min(F a, F b) { return _mm256_min_ps(a, b); }
  CHASKI_INLINE static F max(F a, F b) { return _mm256_max_ps(a, b); }
  CHASKI_INLINE static F keep_below(int n, F x, F other) {
    const I below = _mm256_cmpgt_epi32(set_i(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    return _mm256_blendv_ps(other, x, from_bits(below));
  }
  CHASKI_INLINE static float reduce_add(F x) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
  }
  CHASKI_INLINE static float reduce_max(F x) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
  }

  CHASKI_INLINE static F to_f32(I x) { return _mm256_cvtepi32_ps(x); }
  CHASKI_INLINE static F from_bits(I x) { return _mm256_castsi256_ps(x); }
  CHASKI_INLINE static I bits(F x) { return _mm256_castps_si256(x); }
  CHASKI_INLINE static I add_i(I a, I b) { return _mm256_add_epi32(a, b); }
  CHASKI_INLINE static I sub_i(I a, I b) { return _mm256_sub_epi32(a, b); }
  CHASKI_INLINE static I and_i(I a, I b) { return _mm256_and_si256(a, b); }
  CHASKI_INLINE static I or_i(I a, I b) { return _mm256_or_si256(a, b); }
  template <int kBits>
  CHASKI_INLINE static I shl(I x) {
    return _mm256_slli_epi32(x, kBits);
  }
  template <int kBits>
  CHASKI_INLINE static I shr(I x) {
    return _mm256_srli_epi32(x, kBits);
  }
  template <int kBits>
  CHASKI_INLINE static I sar(I x) {
    return _mm256_srai_epi32(x, kBits);
  }
  CHASKI_INLINE static I max_i(I a, I b) { return _mm256_max_epi32(a, b); }
  CHASKI_INLINE static int32_t reduce_max_i(I x) {
    __m128i s = _mm_max_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    s = _mm_max_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_max_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
  }
  CHASKI_INLINE static int32_t reduce_add_i(I x) {
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
  }

  CHASKI_INLINE static I lookup(const int8_t* table, I codes) {
    const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), codes);
  }
  CHASKI_INLINE static I even_bytes(I w) { return _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8); }
  CHASKI_INLINE static I odd_bytes(I w) { return _mm256_srai_epi16(w, 8); }
  CHASKI_INLINE static void dot_pairs(I (&acc)[2], const I (&w)[2], const std::byte* x) {
    I value, product;
    asm("vpbroadcastd %[x], %[value]\n\t"
        "vpmaddwd %[value], %[w0], %[product]\n\t"
        "vpaddd %[product], %[acc0], %[acc0]\n\t"
        "vpmaddwd %[value], %[w1], %[value]\n\t"
        "vpaddd %[value], %[acc1], %[acc1]"
        : [acc0] "+x"(acc[0]), [acc1] "+x"(acc[1]), [value] "=&x"(value), [product] "=&x"(product)
        : [w0] "x"(w[0]), [w1] "x"(w[1]), [x] "m"(*reinterpret_cast<const Word*>(x)));
  }
  // Eight times two codes of at most 15, four times two of 31, or twice two of 63, times 127 fit an int16.
  CHASKI_INLINE static I begin_small(I) { return _mm256_setzero_si256(); }
  CHASKI_INLINE static void dot_small(I (&acc)[2], const I (&w)[2], const std::byte* x) {
    I value, product;
    asm("vpbroadcastd %[x], %[value]\n\t"
        "vpmaddubsw %[value], %[w0], %[product]\n\t"
        "vpaddw %[product], %[acc0], %[acc0]\n\t"
        "vpmaddubsw %[value], %[w1], %[value]\n\t"
        "vpaddw %[value], %[acc1], %[acc1]"
        : [acc0] "+x"(acc[0]), [acc1] "+x"(acc[1]), [value] "=&x"(value), [product] "=&x"(product)
        : [w0] "x"(w[0]), [w1] "x"(w[1]), [x] "m"(*reinterpret_cast<const Word*>(x)));
  }
  CHASKI_INLINE static I end_small(I total, I acc) {
    return _mm256_add_epi32(total, _mm256_madd_epi16(acc, _mm256_set1_epi16(1)));
  }

 private:
  using Word __attribute__((may_alias, aligned(1))) = int32_t;
  CHASKI_INLINE static __m128i half(const std::byte* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
};

}  // namespace
}  // namespace chaski::cpu
