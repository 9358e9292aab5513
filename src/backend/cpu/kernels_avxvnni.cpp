// Kernels for AVX2 with AVX-VNNI: its products of bytes and of int16 sum in 32 bits and in one instruction.
// The bytes of one side are unsigned, so signed weights are offset by 128 and the activations' sums take it
// back.
#if defined(__x86_64__)
#include "backend/cpu/vector_avx2.h"

namespace chaski::cpu {
namespace {

struct AvxVnni : Avx2 {
  static constexpr ActivationForm kSignedForm = ActivationForm::kQ8;
  static constexpr int kS8Bias = 128;

  CHASKI_INLINE static I make_s8(I w) { return _mm256_xor_si256(w, _mm256_set1_epi8(-128)); }
  CHASKI_INLINE static void dot_s8(I (&acc)[2], const I (&w)[2], const std::byte* x) {
    const I value = set_i(load_as<int32_t>(x));
    acc[0] = _mm256_dpbusd_avx_epi32(acc[0], w[0], value);
    acc[1] = _mm256_dpbusd_avx_epi32(acc[1], w[1], value);
  }
  CHASKI_INLINE static void dot_small(I (&acc)[2], const I (&w)[2], const std::byte* x) { dot_s8(acc, w, x); }
  CHASKI_INLINE static I begin_small(I total) { return total; }
  CHASKI_INLINE static I end_small(I, I acc) { return acc; }
  CHASKI_INLINE static void dot_pairs(I (&acc)[2], const I (&w)[2], const std::byte* x) {
    const I value = set_i(load_as<int32_t>(x));
    acc[0] = _mm256_dpwssd_avx_epi32(acc[0], w[0], value);
    acc[1] = _mm256_dpwssd_avx_epi32(acc[1], w[1], value);
  }
};

}  // namespace

extern const KernelTable kAvxVnniKernels;
constexpr KernelTable kAvxVnniTable = make_table<AvxVnni>("avxvnni");
const KernelTable kAvxVnniKernels = kAvxVnniTable;

}  // namespace chaski::cpu
#endif
