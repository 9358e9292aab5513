#include "backend/cpu/dispatch.h"

#include <string>

#include "base/error.h"
#include "base/x86_features.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace chaski::cpu {

extern const KernelTable kScalarKernels;
#if defined(__x86_64__)
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvxVnniKernels;
extern const KernelTable kAvx512Kernels;
#elif defined(__aarch64__)
extern const KernelTable kNeonKernels;
extern const KernelTable kNeonI8mmKernels;
#endif

namespace {

std::vector<const KernelTable*> detect() {
  std::vector<const KernelTable*> tables;
#if defined(__x86_64__)
  if (has_avx512_vnni()) tables.push_back(&kAvx512Kernels);
  if (has_avx_vnni()) tables.push_back(&kAvxVnniKernels);
  if (has_avx2()) tables.push_back(&kAvx2Kernels);
#elif defined(__aarch64__)
  // HWCAP_ASIMDDP and HWCAP2_I8MM of Linux: every processor that has the second has the first.
  constexpr unsigned long kDotProduct = 1UL << 20, kI8mm = 1UL << 13;
  if ((getauxval(AT_HWCAP) & kDotProduct) != 0) {
    if ((getauxval(AT_HWCAP2) & kI8mm) != 0) tables.push_back(&kNeonI8mmKernels);
    tables.push_back(&kNeonKernels);
  }
#endif
  tables.push_back(&kScalarKernels);
  return tables;
}

}  // namespace

const std::vector<const KernelTable*>& available_kernels() {
  static const std::vector<const KernelTable*> tables = detect();
  return tables;
}

const KernelTable& kernels_for(std::string_view isa) {
  const auto& tables = available_kernels();
  if (isa.empty()) return *tables.front();
  std::string known;
  for (const KernelTable* table : tables) {
    if (table->isa == isa) return *table;
    known += (known.empty() ? "" : ", ") + std::string(table->isa);
  }
  throw Error(ErrorCode::kUsage, "open cpu",
              fmt::format("no code path '{}' on this processor; it can run {}", printable(isa), known));
}

}  // namespace chaski::cpu
