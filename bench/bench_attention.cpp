// Times attention over the cache of Llama 3.2 1B (32 heads, 8 kv heads of 64), by type of the cache: one row
// (decode), where reading keys and values is the limit, and a prompt's chunk, where arithmetic is. Layers
// take turns, so that what is read was not just in the processor's caches. Each case is first compared with
// ScalarOps.
//   bench_attention [--isa NAME] [--threads N] [--seconds S] [--types f32,bf16,…] [--rows 1,8,256]
//                   [--depths 512,8192,32768] [--layers N]
#include <algorithm>
#include <cmath>
#include <cstring>
#include <ctime>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/threads.h"
#include "ops/kv_rows.h"
#include "ops/scalar_ops.h"

namespace chaski {
namespace {

constexpr int64_t kHeads = 32, kKvHeads = 8, kDim = 64;

struct Options {
  DeviceOptions device;
  double seconds = 1.0;
  std::string types = "f32,f16,bf16,q8_0", rows = "1,8,256", depths = "512,8192,32768";
  int64_t n_layers = 4;
};

/// Seconds of the thread's processor time, or of the clock on the wall.
double now_seconds(bool is_one_thread) {
  timespec t{};
  clock_gettime(is_one_thread ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::istringstream in(list);
  for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
  return parts;
}

/// The last `n_rows` rows of a sequence of `depth` tokens.
struct Case {
  KvStorage kv;
  std::vector<float> q, out;
  std::vector<int32_t> positions, sequences, pages;
  StepInputs in;
  Shape shape;

  Case(Memory& memory, const KvLayout& wanted, const Options& options, int64_t n_rows, int32_t depth)
      : kv(memory, wanted, options.n_layers, (depth + wanted.page_tokens - 1) / wanted.page_tokens),
        q(static_cast<size_t>(n_rows * kHeads * kDim)),
        out(q.size()),
        sequences(static_cast<size_t>(n_rows)),
        shape{n_rows, kHeads * kDim} {
    const KvLayout& layout = kv.layout();
    std::mt19937 rng(1);
    std::normal_distribution<float> normal;
    for (float& x : q) x = normal(rng);
    std::vector<float> values(1 << 16);
    for (float& x : values) x = normal(rng);
    for (int64_t layer = 0; layer < options.n_layers; ++layer) {
      for (int64_t row = 0; row < int64_t{kv.n_pages()} * layout.page_tokens * kKvHeads; ++row) {
        const KvPlace place{row / kKvHeads / layout.page_tokens, row / kKvHeads % layout.page_tokens,
                            row % kKvHeads};
        const float* from = values.data() + (row * 97 + layer) % ((1 << 16) - kDim);
        store_kv_row(layout, layout.k, kv.layer(layer).k, place, from);
        store_kv_row(layout, layout.v, kv.layer(layer).v, place, from + 1);
      }
    }
    for (int64_t i = 0; i < n_rows; ++i) positions.push_back(static_cast<int32_t>(depth - n_rows + i));
    for (int32_t i = 0; i < kv.n_pages(); ++i) pages.push_back(i);
    std::shuffle(pages.begin(), pages.end(), rng);
    in.n_rows = static_cast<int32_t>(n_rows);
    in.n_sequences = 1;
    in.positions = {positions.data(), DType::kI32, {n_rows}};
    in.sequence_of_row = {sequences.data(), DType::kI32, {n_rows}};
    in.page_table = {pages.data(), DType::kI32, {1, kv.n_pages()}};
  }
  void run(Ops& ops, int64_t layer) {
    ops.attention({q.data(), DType::kF32, shape}, in, kv.layer(layer), {out.data(), DType::kF32, shape});
  }
  /// Largest difference of the last row to the oracle.
  double error() {
    const std::vector<float> got(out.end() - kHeads * kDim, out.end());
    ScalarOps scalar;
    StepInputs last = in;
    last.n_rows = 1;
    last.positions.data = &positions.back();
    const TensorView row{q.data() + q.size() - kHeads * kDim, DType::kF32, {1, kHeads * kDim}};
    std::vector<float> expected(got.size());
    scalar.attention(row, last, kv.layer(0), {expected.data(), DType::kF32, row.shape});
    double most = 0;
    for (size_t i = 0; i < got.size(); ++i) most = std::max(most, std::fabs(double{got[i]} - expected[i]));
    return most;
  }
};

void time_case(const Options& options, const std::string& type, int64_t n_rows, int32_t depth) {
  DeviceOptions device_options = options.device;
  device_options.kv_dtype = type;
  const auto device = CpuBackend().open(0, device_options);
  ModelConfig config;
  config.n_heads = kHeads;
  config.n_kv_heads = kKvHeads;
  config.head_dim = kDim;
  Case c(device->ops().memory(), device->kv_layout(config), options, n_rows, depth);
  c.run(device->ops(), 0);
  const double error = c.error();
  std::vector<double> times;
  const Stopwatch all;
  for (int64_t i = 1; times.size() < 3 || all.seconds() < options.seconds; ++i) {
    const double before = now_seconds(device->n_threads() == 1);
    c.run(device->ops(), i % options.n_layers);
    times.push_back(now_seconds(device->n_threads() == 1) - before);
  }
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  const double gb = static_cast<double>(c.kv.bytes()) / static_cast<double>(options.n_layers) / 1e9;
  const double seen = static_cast<double>(n_rows) * (depth - static_cast<double>(n_rows - 1) / 2);
  fmt::print(
      "{:7} {:5} {:4} rows at {:6}  {:9.3f} ms (best {:9.3f})  {:6.2f} GB/s of cache  {:7.1f} GFLOP/s  error "
      "{:.1e}\n",
      device->info().path, type, n_rows, depth, median * 1e3, times.front() * 1e3, gb / median,
      4.0 * static_cast<double>(kHeads * kDim) * seen / median / 1e9, error);
}

/// What a parallel_for of nothing costs.
void time_pool(int n_threads) {
  ThreadPool pool(n_threads);
  constexpr int kCalls = 20000;
  for (const int64_t n : {int64_t{n_threads}, int64_t{64}}) {
    std::vector<double> times;
    for (int repeat = 0; repeat < 7; ++repeat) {
      const Stopwatch all;
      for (int i = 0; i < kCalls; ++i) pool.parallel_for(n, 1, [](int64_t, int64_t, int) {});
      times.push_back(all.seconds() / kCalls);
    }
    std::sort(times.begin(), times.end());
    fmt::print("parallel_for of {} empty pieces, {} threads: {:.2f} us (best {:.2f})\n", n, n_threads,
               times[times.size() / 2] * 1e6, times.front() * 1e6);
  }
}

int run(const std::vector<std::string>& args) {
  Options options;
  for (size_t i = 0; i + 1 < args.size(); i += 2) {
    if (args[i] == "--isa") options.device.isa = args[i + 1];
    if (args[i] == "--threads") options.device.n_threads = std::stoi(args[i + 1]);
    if (args[i] == "--types") options.types = args[i + 1];
    if (args[i] == "--rows") options.rows = args[i + 1];
    if (args[i] == "--depths") options.depths = args[i + 1];
    if (args[i] == "--layers") options.n_layers = std::stoi(args[i + 1]);
    if (args[i] == "--seconds") options.seconds = std::stod(args[i + 1]);
  }
  time_pool(options.device.n_threads == 0 ? available_cores() : options.device.n_threads);
  for (const std::string& type : split(options.types)) {
    for (const std::string& n_rows : split(options.rows)) {
      for (const std::string& depth : split(options.depths)) {
        time_case(options, type, std::stoi(n_rows), std::stoi(depth));
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace chaski

int main(int argc, char** argv) {
  try {
    return chaski::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
