// Kernels for AVX-512 with VNNI: sixteen lanes, a whole panel row. dpbusd takes unsigned by signed bytes, so
// signed weights are offset by 128 and the activations' sums take it back.
//
// The dot products of bf16 that some of these processors have are not used: numbers packed as 14-bit integers
// keep more digits, and bench/roofline measured those products at a quarter of dpwssd's speed (119 against
// 479 GOP/s on one core of a Xeon with AMX, 2026-11-23; not measured on others).
#if defined(__x86_64__)
#include <immintrin.h>

#include "backend/cpu/kernels_impl.h"

namespace chaski::cpu {
namespace {

struct Avx512 {
  static constexpr int kLanes = 16;
  static constexpr int kF32Rows = 12;
  static constexpr int kIntRows = 8;
  static constexpr int kHeadTile = 12;
  static constexpr ActivationForm kSignedForm = ActivationForm::kQ8;
  static constexpr bool kRoundsNumbers = true;
  static constexpr int kS8Bias = 128;
  static constexpr int vectors_at_once(int) { return 1; }
  static constexpr bool sums_in_memory(int) { return false; }
  static constexpr bool pairs_rows(int) { return false; }

  using F = __m512;
  using I = __m512i;

  CHASKI_INLINE static F set(float x) { return _mm512_set1_ps(x); }
  CHASKI_INLINE static I set_i(int32_t x) { return _mm512_set1_epi32(x); }
  CHASKI_INLINE static F load(const float* p) { return _mm512_loadu_ps(p); }
  CHASKI_INLINE static I load_i(const void* p) { return _mm512_loadu_si512(p); }
  CHASKI_INLINE static void store(float* p, F x) { _mm512_storeu_ps(p, x); }
  CHASKI_INLINE static void store_i(int32_t* p, I x) { _mm512_storeu_si512(p, x); }
  CHASKI_INLINE static F load_f16(const std::byte* p) { return _mm512_cvtph_ps(half(p)); }
  CHASKI_INLINE static void load_bf16_pair(const std::byte* p, F& even, F& odd) {
    const I both = load_i(p);
    even = from_bits(shl<16>(both));
    odd = from_bits(and_i(both, set_i(static_cast<int32_t>(0xffff0000))));
  }
  CHASKI_INLINE static void load_pair(const float* p, F& even, F& odd) {
    const I evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const F a = load(p), b = load(p + 16);
    even = _mm512_permutex2var_ps(a, evens, b);
    odd = _mm512_permutex2var_ps(a, or_i(evens, set_i(1)), b);
  }
  CHASKI_INLINE static void store_pair(float* p, F even, F odd) {
    const I low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    store(p, _mm512_permutex2var_ps(even, low, odd));
    store(p + 16, _mm512_permutex2var_ps(even, or_i(low, set_i(8)), odd));
  }
  CHASKI_INLINE static I load_i8(const std::byte* p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  CHASKI_INLINE static void store_i8(std::byte* p, I x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(x));
  }
  CHASKI_INLINE static void prefetch(const void* p) {
    _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0);
  }
  /// Into the second cache alone: many lines may be on their way, as no buffers of the first one wait for
  /// them.
  CHASKI_INLINE static void prefetch_far(const void* p) {
    _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1);
  }

  CHASKI_INLINE static F add(F a, F b) { return _mm512_add_ps(a, b); }
  CHASKI_INLINE static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  CHASKI_INLINE static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  CHASKI_INLINE static F div(F a, F b) { return _mm512_div_ps(a, b); }
  CHASKI_INLINE static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  CHASKI_INLINE static F min(F a, F b) { return _mm512_min_ps(a, b); }
  CHASKI_INLINE static F max(F a, F b) { return _mm512_max_ps(a, b); }
  CHASKI_INLINE static F keep_below(int n, F x, F other) {
    const I lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_mask_blend_ps(_mm512_cmplt_epi32_mask(lanes, set_i(n)), other, x);
  }
  CHASKI_INLINE static float reduce_add(F x) { return _mm512_reduce_add_ps(x); }
  CHASKI_INLINE static float reduce_max(F x) { return _mm512_reduce_max_ps(x); }

  CHASKI_INLINE static F to_f32(I x) { return _mm512_cvtepi32_ps(x); }
  CHASKI_INLINE static F from_bits(I x) { return _mm512_castsi512_ps(x); }
  CHASKI_INLINE static I bits(F x) { return _mm512_castps_si512(x); }
  CHASKI_INLINE static I add_i(I a, I b) { return _mm512_add_epi32(a, b); }
  CHASKI_INLINE static I sub_i(I a, I b) { return _mm512_sub_epi32(a, b); }
  CHASKI_INLINE static I and_i(I a, I b) { return _mm512_and_si512(a, b); }
  CHASKI_INLINE static I or_i(I a, I b) { return _mm512_or_si512(a, b); }
  template <int kBits>
  CHASKI_INLINE static I shl(I x) {
    return _mm512_slli_epi32(x, kBits);
  }
  template <int kBits>
  CHASKI_INLINE static I shr(I x) {
    return _mm512_srli_epi32(x, kBits);
  }
  template <int kBits>
  CHASKI_INLINE static I sar(I x) {
    return _mm512_srai_epi32(x, kBits);
  }
  CHASKI_INLINE static I max_i(I a, I b) { return _mm512_max_epi32(a, b); }
  CHASKI_INLINE static int32_t reduce_max_i(I x) { return _mm512_reduce_max_epi32(x); }
  CHASKI_INLINE static int32_t reduce_add_i(I x) { return _mm512_reduce_add_epi32(x); }

  CHASKI_INLINE static I lookup(const int8_t* table, I codes) {
    const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(values), codes);
  }
  CHASKI_INLINE static I make_s8(I w) { return _mm512_xor_si512(w, _mm512_set1_epi8(-128)); }
  CHASKI_INLINE static void dot_s8(I (&acc)[1], const I (&w)[1], const std::byte* x) {
    acc[0] = _mm512_dpbusd_epi32(acc[0], w[0], set_i(load_as<int32_t>(x)));
  }
  CHASKI_INLINE static void dot_small(I (&acc)[1], const I (&w)[1], const std::byte* x) { dot_s8(acc, w, x); }
  CHASKI_INLINE static void dot_pairs(I (&acc)[1], const I (&w)[1], const std::byte* x) {
    acc[0] = _mm512_dpwssd_epi32(acc[0], w[0], set_i(load_as<int32_t>(x)));
  }
  CHASKI_INLINE static I begin_small(I total) { return total; }
  CHASKI_INLINE static I end_small(I, I acc) { return acc; }

 private:
  CHASKI_INLINE static __m256i half(const std::byte* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
};

}  // namespace

extern const KernelTable kAvx512Kernels;
constexpr KernelTable kAvx512Table = make_table<Avx512>("avx512");
const KernelTable kAvx512Kernels = kAvx512Table;

}  // namespace chaski::cpu
#endif
