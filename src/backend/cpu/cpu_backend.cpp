#include "backend/cpu/cpu_backend.h"

#include <string>

#include "backend/cpu/dispatch.h"
#include "backend/cpu/ops_cpu.h"
#include "base/cpu_name.h"
#include "base/error.h"

namespace chaski {
namespace {

constexpr int kMaxThreads = 1024;

DeviceInfo describe(const cpu::KernelTable& kernels) {
  const std::string name = cpu_name();
  return {"cpu", name.empty() ? "processor" : name, "cpu", kernels.isa, true, ""};
}

DType kv_dtype_of(const DeviceOptions& options) {
  if (options.kv_dtype.empty()) return options.precision == Precision::kExact ? DType::kF32 : DType::kBF16;
  const auto dtype = dtype_named(options.kv_dtype);
  if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16 && dtype != DType::kQ8_0) {
    throw Error(
        ErrorCode::kUsage, "open cpu",
        fmt::format("no cache of type '{}'; there are f32, f16, bf16 and q8_0", printable(options.kv_dtype)));
  }
  return *dtype;
}

int threads_of(const DeviceOptions& options) {
  if (options.n_threads < 0 || options.n_threads > kMaxThreads) {
    throw Error(
        ErrorCode::kUsage, "open cpu",
        fmt::format("{} threads; expected 1 to {}, or 0 for all cores", options.n_threads, kMaxThreads));
  }
  return options.n_threads == 0 ? available_cores() : options.n_threads;
}

class CpuDevice : public Device {
 public:
  explicit CpuDevice(const DeviceOptions& options)
      : kernels_(cpu::kernels_for(options.isa)),
        kv_dtype_(kv_dtype_of(options)),
        info_(describe(kernels_)),
        precision_(options.precision),
        cache_folder_(options.cache_folder),
        pool_(threads_of(options)),
        ops_(memory_, pool_, kernels_, options.precision) {}

  const DeviceInfo& info() const override { return info_; }
  Precision precision() const override { return precision_; }
  int n_threads() const override { return pool_.n_threads(); }
  Ops& ops() override { return ops_; }
  int64_t weight_bytes() const override { return ops_.weight_bytes(); }
  HeldWeight held(WeightId id) const override { return ops_.held(id); }
  int64_t bytes_to_hold(const WeightSource& weight) const override { return ops_.layout_of(weight).bytes(); }
  void begin_weights(std::shared_ptr<const Checkpoint> checkpoint, const OnBytes& on_bytes) override {
    if (!cache_folder_.empty()) ops_.begin_weights(cache_folder_, std::move(checkpoint), on_bytes);
  }
  std::vector<std::string> finish_weights() override { return ops_.finish_weights(); }
  std::vector<std::string> keep_weights(const OnWait& on_wait) override { return ops_.keep_weights(on_wait); }

  /// Pages of one chunk: keys with a head's tokens along the lanes, values with its dimensions.
  KvLayout kv_layout(const ModelConfig& config) const override {
    if (config.head_dim > cpu::kMaxHeadDim) {
      throw Error(ErrorCode::kUnsupported, "open cpu",
                  fmt::format("heads of {} numbers; at most {}", config.head_dim, cpu::kMaxHeadDim));
    }
    if (config.n_heads / config.n_kv_heads > cpu::kMaxQueries) {
      throw Error(ErrorCode::kUnsupported, "open cpu",
                  fmt::format("{} heads share a key; at most {}", config.n_heads / config.n_kv_heads,
                              cpu::kMaxQueries));
    }
    KvLayout layout = KvLayout::head_major(kv_dtype_, cpu::kChunkTokens, config.n_kv_heads, config.head_dim);
    layout.k.token = 1;
    layout.k.dim = cpu::kChunkTokens;
    return layout;
  }

  std::unique_ptr<Runner> make_runner(Ops& ops, const LlamaModel& model, const KvStorage& kv,
                                      const RunnerLimits& limits) override {
    return std::make_unique<EagerRunner>(ops, model, kv, limits);
  }

 private:
  const cpu::KernelTable& kernels_;
  DType kv_dtype_;
  DeviceInfo info_;
  Precision precision_;
  std::string cache_folder_;
  ThreadPool pool_;
  HostMemory memory_;
  CpuOps ops_;
};

}  // namespace

std::vector<DeviceInfo> CpuBackend::probe() const noexcept {
  try {
    return {describe(cpu::kernels_for(""))};
  } catch (...) {
    return {};  // out of memory; whoever opens the device hears of it
  }
}

std::unique_ptr<Device> CpuBackend::open(int index, const DeviceOptions& options) const {
  if (index != 0) throw Error(ErrorCode::kUsage, "open cpu", fmt::format("no cpu:{}; there is one", index));
  return std::make_unique<CpuDevice>(options);
}

}  // namespace chaski
