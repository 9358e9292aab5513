// Which x86 instructions this machine runs: a test for each set of compiler flags that whole files are built
// with. It must ask for every flag of the set: virtual machines mask single ones, and a file so compiled may
// use any.
#pragma once

#if defined(__x86_64__)

#include <cpuid.h>

namespace chaski {

/// -mavx2 -mfma -mf16c. The compiler's run-time library also asks XGETBV whether the system saves the wide
/// registers; not all compilers' __builtin_cpu_supports know f16c.
inline bool has_avx2() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
         __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

/// -mavxvnni, beside has_avx2. Leaf 7.1 of cpuid, EAX bit 4; not all __builtin_cpu_supports know it either.
inline bool has_avx_vnni() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return has_avx2() && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax >> 4 & 1) != 0;
}

/// -mavx512f -mavx512bw -mavx512vl -mavx512dq, and all of has_avx2.
inline bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

/// -mavx512vnni, beside has_avx512.
inline bool has_avx512_vnni() { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }

}  // namespace chaski

#endif
