// bench_quantize [ROWS] [COLUMNS] [SECONDS]: millions of numbers a second and thread, per format, direction
// and instruction set, on random weights. Every path's blocks are compared with the definition's.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/rng.h"
#include "tensor/quantize.h"

namespace {

using chaski::BlockFormat;
using Clock = std::chrono::steady_clock;

/// The best of the runs that fit in `seconds`, in millions of numbers a second.
template <class Work>
double best_rate(double n, double seconds, Work work) {
  double best = 1e9, total = 0;
  while (total < seconds) {
    const auto start = Clock::now();
    work();
    const double took = std::chrono::duration<double>(Clock::now() - start).count();
    best = std::min(best, took);
    total += took;
  }
  return n / best * 1e-6;
}

/// Whether all instruction sets gave the same blocks.
bool bench(const BlockFormat& format, const std::vector<float>& weights, int64_t rows, double seconds) {
  const auto columns = static_cast<int64_t>(weights.size()) / rows;
  const int64_t stride = chaski::row_bytes(format.dtype, columns);
  const auto n = static_cast<double>(weights.size());
  std::vector<std::byte> expected(static_cast<size_t>(stride * rows)), blocks(expected.size());
  std::vector<float> back(weights.size());
  for (int64_t r = 0; r < rows; ++r) {
    format.quantize_row(weights.data() + r * columns, expected.data() + r * stride, columns);
  }
  bool agrees = true;
  for (const char* isa : {"scalar", "avx2", "avx512"}) {
    chaski::RowCodec codec;
    try {
      codec = chaski::row_codec(format.dtype, isa);
    } catch (const chaski::Error&) {
      continue;  // not on this processor
    }
    const double quantized = best_rate(n, seconds, [&] {
      for (int64_t r = 0; r < rows; ++r) {
        codec.quantize_row(weights.data() + r * columns, blocks.data() + r * stride, columns);
      }
    });
    const double dequantized = best_rate(n, seconds, [&] {
      for (int64_t r = 0; r < rows; ++r) {
        codec.dequantize_row(blocks.data() + r * stride, back.data() + r * columns, columns);
      }
    });
    fmt::print("| {} | {} | {:.0f} | {:.0f} |{}\n", format.name, isa, quantized, dequantized,
               blocks == expected ? "" : " DIFFERENT");
    agrees = agrees && blocks == expected;
  }
  return agrees;
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t rows = argc > 1 ? std::atoll(argv[1]) : 128;
  const int64_t columns = argc > 2 ? std::atoll(argv[2]) : 2048;
  const double seconds = argc > 3 ? std::atof(argv[3]) : 0.2;
  std::vector<float> weights(static_cast<size_t>(rows * columns));
  for (size_t i = 0; i < weights.size(); ++i) {  // nearly normal: three uniforms
    double sum = 0;
    for (uint64_t k = 0; k < 3; ++k) sum += chaski::uniform01(1, k, i) - 0.5;
    weights[i] = static_cast<float>(0.04 * sum);
  }
  fmt::print("| format | code path | quantize, M/s | dequantize, M/s |\n| --- | --- | ---: | ---: |\n");
  bool agrees = true;
  for (const BlockFormat& format : chaski::all_formats()) {
    if (format.quantize_row != nullptr) agrees = bench(format, weights, rows, seconds) && agrees;
  }
  return agrees ? 0 : 1;
}
