#include "backend/cpu/dispatch.h"

#include <string>

#include "base/error.h"

namespace chaski::cpu {

extern const KernelTable kScalarKernels;
#if defined(__x86_64__)
extern const KernelTable kAvx2Kernels;
extern const KernelTable kAvx512Kernels;
#endif

namespace {

std::vector<const KernelTable*> detect() {
  std::vector<const KernelTable*> tables;
#if defined(__x86_64__)
  // The compiler's run-time library also asks XGETBV whether the system saves the wide registers.
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16")) {
    tables.push_back(&kAvx512Kernels);
  }
  // Every processor with AVX2 and FMA has F16C.
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) tables.push_back(&kAvx2Kernels);
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
