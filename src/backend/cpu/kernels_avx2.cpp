// Kernels for AVX2 with FMA and F16C.
#if defined(__x86_64__)
#include "backend/cpu/vector_avx2.h"

namespace chaski::cpu {

extern const KernelTable kAvx2Kernels;
constexpr KernelTable kAvx2Table = make_table<Avx2>("avx2");
const KernelTable kAvx2Kernels = kAvx2Table;

}  // namespace chaski::cpu
#endif
