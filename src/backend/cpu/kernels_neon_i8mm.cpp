// Kernels for Arm processors that multiply matrices of bytes: two rows of weights by two of activations,
// eight columns deep, twice the products of an instruction of dot products. The panel's words hold four
// columns of a row, so words and rows are zipped first and results apart after it. Counted, not measured:
// eight rows by a block of 32 columns take 7 % fewer vector instructions so, four rows 3 %, two rows more;
// those and single rows take dot products. Mixed signs (usdot) have no use: all codes fit a signed byte.
#if defined(__aarch64__)
#include "backend/cpu/vector_neon.h"

namespace chaski::cpu {
namespace {

struct NeonI8mm : Neon {
  static constexpr bool pairs_rows(int n_rows) { return n_rows >= 4; }

  /// Of a vector's rows 0 and 1, and 2 and 3: two words of each, or the products of each with both rows of
  /// activations.
  struct RowPair {
    I low, high;
  };

  CHASKI_INLINE static RowPair begin_pair(I a, I b) {
    const I both = vzip1q_s32(a, b);
    return {both, both};
  }
  CHASKI_INLINE static RowPair zip_words(I a, I b) { return {vzip1q_s32(a, b), vzip2q_s32(a, b)}; }
  template <int H, int kAt>
  CHASKI_INLINE static void dot_row_pair(RowPair (&acc)[H], const RowPair (&w)[H], WordOf<kAt> a,
                                         WordOf<kAt> b) {
    const int64x2_t x = vreinterpretq_s64_s32(load_i(a.four)), y = vreinterpretq_s64_s32(load_i(b.four));
    const int8x16_t both = vreinterpretq_s8_s64(kAt == 0 ? vzip1q_s64(x, y) : vzip2q_s64(x, y));
    CHASKI_UNROLL
    for (int h = 0; h < H; ++h) {
      acc[h].low = vmmlaq_s32(acc[h].low, vreinterpretq_s8_s32(w[h].low), both);
      acc[h].high = vmmlaq_s32(acc[h].high, vreinterpretq_s8_s32(w[h].high), both);
    }
  }
  CHASKI_INLINE static void end_pair(RowPair acc, I& a, I& b) {
    a = vuzp1q_s32(acc.low, acc.high);
    b = vuzp2q_s32(acc.low, acc.high);
  }
};

}  // namespace

extern const KernelTable kNeonI8mmKernels;
constexpr KernelTable kNeonI8mmTable = make_table<NeonI8mm>("i8mm");
const KernelTable kNeonI8mmKernels = kNeonI8mmTable;

}  // namespace chaski::cpu
#endif
