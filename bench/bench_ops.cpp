// Times the CPU backend's products on the shapes of Llama 3.2 1B: one row (decode), where the memory's speed
// is the limit, and 256 rows (prefill), where arithmetic is; and attention at some depths. Weights are random
// bytes; what is computed is checked by the unit tests, not here.
// On one thread what counts is the processor's time, which a busy machine disturbs least.
//   bench_ops [--isa NAME] [--threads N] [--seconds S] [--types f32,q8_0,…]
#include <algorithm>
#include <cstring>
#include <ctime>
#include <random>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "base/error.h"
#include "base/threads.h"

namespace chaski {
namespace {

/// A matrix whose rows repeat a few random ones, so that making it costs nothing.
class RepeatedWeight : public WeightSource {
 public:
  RepeatedWeight(DType dtype, const Shape& shape) : dtype_(dtype), shape_(shape) {
    std::mt19937 rng(1);
    std::normal_distribution<float> normal(0.0f, 0.02f);
    std::vector<float> values(static_cast<size_t>(kKinds * n_cols()));
    for (float& value : values) value = normal(rng);
    rows_ = HostWeight::from_f32("rows", {kKinds, n_cols()}, values, dtype);
  }
  const std::string& name() const override { return name_; }
  DType dtype() const override { return dtype_; }
  const Shape& shape() const override { return shape_; }
  void read_rows(int64_t first, int64_t count, std::span<std::byte> out) const override {
    const auto stride = static_cast<size_t>(row_bytes(dtype_, n_cols()));
    for (int64_t i = 0; i < count; ++i)
      rows_->read_rows((first + i) % kKinds, 1, out.subspan(static_cast<size_t>(i) * stride, stride));
  }

 private:
  static constexpr int64_t kKinds = 16;
  std::string name_ = "random";
  DType dtype_;
  Shape shape_;
  std::shared_ptr<HostWeight> rows_;
};

struct Options {
  DeviceOptions device;
  double seconds = 1.0;
  std::string types = "f32,f16,bf16,q8_0,q4_0,q4_1,q5_0,q5_1,q2_K,q3_K,q4_K,q5_K,q6_K,iq4_nl,iq4_xs";
};

/// Seconds of the thread's processor time, or of the clock on the wall.
double now_seconds(bool is_one_thread) {
  timespec t{};
  clock_gettime(is_one_thread ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// The best time of one call of `step`, called three times and then for about `seconds`.
template <class Step>
double best_seconds(const Options& options, Step&& step) {
  const bool is_one_thread = options.device.n_threads == 1;
  step();
  double best = 1e9, total = 0;
  for (int n = 0; n < 3 || total < options.seconds; ++n) {
    const double before = now_seconds(is_one_thread);
    step();
    const double taken = now_seconds(is_one_thread) - before;
    best = std::min(best, taken);
    total += taken;
  }
  return best;
}

struct Matrix {
  int64_t n_out, n_in;
  WeightId id;
};

/// Four layers' matrices of the 1B model: more than caches hold, even at four bits.
std::vector<Matrix> add_layers(Ops& ops, DType dtype) {
  std::vector<Matrix> matrices;
  for (int layer = 0; layer < 4; ++layer) {
    for (const auto& [n_out, n_in] :
         {std::pair<int64_t, int64_t>{3072, 2048}, {2048, 2048}, {16384, 2048}, {2048, 8192}}) {
      matrices.push_back({n_out, n_in, {}});
      matrices.back().id = ops.add_weight(std::make_shared<RepeatedWeight>(dtype, Shape{n_out, n_in}));
    }
  }
  return matrices;
}

void time_linears(const Options& options, DType dtype, int64_t n_rows) {
  const auto device = CpuBackend().open(0, options.device);
  Ops& ops = device->ops();
  const std::vector<Matrix> matrices = add_layers(ops, dtype);
  std::vector<float> x(static_cast<size_t>(n_rows * 8192), 0.25f), y(static_cast<size_t>(n_rows * 16384));
  double products = 0;
  for (const Matrix& m : matrices) products += static_cast<double>(m.n_out * m.n_in * n_rows);
  const double seconds = best_seconds(options, [&] {
    for (const Matrix& m : matrices) {
      ops.linear({x.data(), DType::kF32, {n_rows, m.n_in}}, m.id, {y.data(), DType::kF32, {n_rows, m.n_out}});
    }
  });
  const double gb = static_cast<double>(device->weight_bytes()) / 1e9;
  fmt::print("{:8} {:6} {:5} {:4} rows  {:8.2f} ms  {:7.2f} GB/s  {:7.1f} GOP/s\n", device->info().path,
             name_of(options.device.precision), name_of(dtype), n_rows, seconds * 1e3, gb / seconds,
             2 * products / seconds / 1e9);
}

void time_attention(const Options& options, int64_t n_rows, int32_t depth) {
  const auto device = CpuBackend().open(0, options.device);
  ModelConfig config;
  config.n_heads = 32;
  config.n_kv_heads = 8;
  config.head_dim = 64;
  const KvLayout layout = device->kv_layout(config);
  const int32_t n_pages = (depth + layout.page_tokens - 1) / layout.page_tokens;
  const KvStorage kv(device->ops().memory(), layout, 1, n_pages);
  std::vector<float> q(static_cast<size_t>(n_rows * 2048), 0.1f), out(q.size());
  std::vector<int32_t> positions, sequences(static_cast<size_t>(n_rows)), pages;
  for (int32_t i = 0; i < n_rows; ++i) positions.push_back(depth - static_cast<int32_t>(n_rows) + i);
  for (int32_t i = 0; i < n_pages; ++i) pages.push_back(i);
  StepInputs in;
  in.n_rows = static_cast<int32_t>(n_rows);
  in.n_sequences = 1;
  in.positions = {positions.data(), DType::kI32, {n_rows}};
  in.sequence_of_row = {sequences.data(), DType::kI32, {n_rows}};
  in.page_table = {pages.data(), DType::kI32, {1, n_pages}};
  const Shape shape{n_rows, 2048};
  const double seconds = best_seconds(options, [&] {
    device->ops().attention({q.data(), DType::kF32, shape}, in, kv.layer(0),
                            {out.data(), DType::kF32, shape});
  });
  fmt::print("{:8} {:6} attention {:4} rows at depth {:5}  {:8.3f} ms  {:7.2f} GB/s of cache\n",
             device->info().path, name_of(layout.dtype), n_rows, depth, seconds * 1e3,
             static_cast<double>(kv.bytes()) / 1e9 / seconds);
}

/// Plain reading of 1 GiB by as many threads, to compare with.
void time_reading(const Options& options, int n_threads) {
  ThreadPool pool(n_threads);
  using Line = uint64_t __attribute__((vector_size(64)));
  const int64_t n = int64_t{1} << 24;  // 1 GiB
  std::vector<uint64_t> words(static_cast<size_t>(n * 8), 1);
  std::vector<uint64_t> sums(static_cast<size_t>(n_threads) * 8);
  const double seconds = best_seconds(options, [&] {
    pool.parallel_for(n, n / 64, [&](int64_t begin, int64_t end, int worker) {
      Line sum[4] = {};
      for (int64_t i = begin; i < end; i += 4) {
        for (int64_t j = 0; j < 4; ++j) {
          Line line;
          std::memcpy(&line, words.data() + (i + j) * 8, sizeof line);
          sum[j] ^= line;
        }
      }
      sums[static_cast<size_t>(worker) * 8] += (sum[0] + sum[1] + sum[2] + sum[3])[0];
    });
  });
  fmt::print("plain reading, {} threads: {:.2f} GB/s (sum {})\n", n_threads,
             static_cast<double>(n) * 64e-9 / seconds, sums[0] % 2);
}

int run(const std::vector<std::string>& args) {
  Options options;
  for (size_t i = 0; i + 1 < args.size(); i += 2) {
    if (args[i] == "--isa") options.device.isa = args[i + 1];
    if (args[i] == "--threads") options.device.n_threads = std::stoi(args[i + 1]);
    if (args[i] == "--types") options.types = args[i + 1];
    if (args[i] == "--seconds") options.seconds = std::stod(args[i + 1]);
  }
  time_reading(options, options.device.n_threads == 0 ? available_cores() : options.device.n_threads);
  for (const Precision precision : {Precision::kFast, Precision::kExact}) {
    options.device.precision = precision;
    for (const BlockFormat& format : all_formats()) {
      const bool is_wanted =
          ("," + options.types + ",").find(fmt::format(",{},", format.name)) != std::string::npos;
      if (!is_wanted) continue;
      for (const int64_t n_rows : {1, 8, 256}) time_linears(options, format.dtype, n_rows);
    }
    for (const int32_t depth : {512, 4096}) {
      for (const int64_t n_rows : {1, 256}) time_attention(options, n_rows, depth);
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
