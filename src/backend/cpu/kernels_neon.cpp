// Kernels for ARMv8.2 with the dot product of bytes.
#if defined(__aarch64__)
#include "backend/cpu/vector_neon.h"

namespace chaski::cpu {

extern const KernelTable kNeonKernels;
constexpr KernelTable kNeonTable = make_table<Neon>("neon");
const KernelTable kNeonKernels = kNeonTable;

}  // namespace chaski::cpu
#endif
