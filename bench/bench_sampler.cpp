// Microseconds per token of the sampler on a vocabulary of 128,256, one thread: `bench_sampler [REPEATS]`.
// Logits are random with a few far above the bulk, as a trained model's are. Prints the median.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "engine/sampler.h"

namespace chaski {
namespace {

constexpr size_t kVocab = 128256;

std::vector<float> logits_of(uint64_t seed) {
  std::vector<float> logits(kVocab);
  for (size_t i = 0; i < kVocab; ++i) {
    const double radius = std::sqrt(-2 * std::log(1 - uniform01(seed, 0, i)));
    logits[i] = static_cast<float>(2 * radius * std::cos(6.283185307179586 * uniform01(seed, 1, i)));
  }
  for (uint64_t i = 0; i < 40; ++i) {
    const auto at = static_cast<size_t>(uniform01(seed, 2, i) * static_cast<double>(kVocab));
    logits[at] += static_cast<float>(6 + 10 * uniform01(seed, 3, i));
  }
  return logits;
}

void time_settings(const char* name, const SamplingParams& params, int n_repeats) {
  TokenCounts counts;
  for (int32_t id = 0; id < 500; ++id) counts.add_output(id * 37);
  const std::vector<float> logits = logits_of(1);
  std::vector<double> micros;
  int64_t sum = 0;
  for (int i = 0; i < n_repeats; ++i) {
    const Stopwatch stopwatch;
    sum += sample(logits, params, counts, static_cast<uint64_t>(i)).value_or(-1);
    micros.push_back(stopwatch.seconds() * 1e6);
  }
  std::sort(micros.begin(), micros.end());
  const size_t n_kept = filtered(logits, params, counts).size();
  fmt::print("{:<42} {:8.0f} us, {:6} tokens left, checksum {}\n", name, micros[micros.size() / 2], n_kept,
             sum);
}

}  // namespace
}  // namespace chaski

int main(int argc, char** argv) {
  using namespace chaski;
  const int n_repeats = argc > 1 ? std::atoi(argv[1]) : 101;
  SamplingParams params;
  time_settings("temperature 1", params, n_repeats);
  params.temperature = 0.7;
  params.top_p = 0.9;
  time_settings("temperature 0.7, top_p 0.9", params, n_repeats);
  params.repetition_penalty = 1.1;
  time_settings("temperature 0.7, top_p 0.9, penalty 1.1", params, n_repeats);
  params.top_k = 50;
  time_settings("the same, top_k 50", params, n_repeats);
  params = {};
  params.min_p = 0.05;
  time_settings("min_p 0.05", params, n_repeats);
  params = {};
  params.temperature = 0;
  params.repetition_penalty = 1.1;
  time_settings("greedy, penalty 1.1", params, n_repeats);
  return 0;
}
