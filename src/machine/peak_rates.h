// What this machine can do at most: reading a buffer far larger than its caches, and multiplying in the forms
// that matrix kernels use, each instruction set where the processor has it. The denominators of the bench's
// shares; nothing of the product is measured here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace chaski {

/// One form on one code path with so many threads, once per repetition.
struct PeakRate {
  std::string what;  ///< "read", or a form of multiplying: "fma_f32", "int8", "bf16_dot", …
  std::string path;  ///< "avx2", "avx512+prefetch"
  int n_threads = 0;
  std::string unit;  ///< "GB/s" (1e9 bytes), "GOP/s" (1e9 multiplications and additions)
  std::vector<double> rates;

  double best() const;
};

/// Every way of reading `n_bytes`, for each number of threads. Throws Error(kOutOfMemory).
std::vector<PeakRate> reading_rates(const std::vector<int>& threads, size_t n_bytes, int n_reps);

/// Multiplying in each of `forms` (empty: all), for each number of threads; a repetition takes `seconds` and
/// up to twice that.
std::vector<PeakRate> multiplying_rates(const std::vector<int>& threads,
                                        const std::vector<std::string>& forms, int n_reps, double seconds);

/// The one with the highest rate seen, for it is a limit; null where there is none.
const PeakRate* best_of(const std::vector<PeakRate>& rates);

}  // namespace chaski
