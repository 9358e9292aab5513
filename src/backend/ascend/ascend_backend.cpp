#include "backend/ascend/ascend_backend.h"

#include <fmt/format.h>

#include "backend/ascend/ascend_ops.h"

namespace chaski {
namespace {

constexpr std::string_view kOperation = "open ascend";

std::string kind_of(const AclApi& api) { return api.is_emulated() ? "emulated" : "ascend"; }

/// Empty where the model shall decide.
std::optional<DType> activations_of(const DeviceOptions& options) {
  if (options.activations.empty()) return std::nullopt;
  const auto dtype = dtype_named(options.activations);
  if (dtype != DType::kF16 && dtype != DType::kBF16) {
    throw Error(
        ErrorCode::kUsage, kOperation,
        fmt::format("no activations of type '{}'; there are f16 and bf16", printable(options.activations)));
  }
  return dtype;
}

bool captures_of(const DeviceOptions& options) {
  if (options.isa.empty() || options.isa == "captured") return true;
  if (options.isa == "eager") return false;
  throw Error(ErrorCode::kUsage, kOperation,
              fmt::format("no code path '{}'; there are captured and eager", printable(options.isa)));
}

void check_precision(const DeviceOptions& options) {
  if (options.precision == Precision::kFast) return;
  throw Error(ErrorCode::kUnsupported, kOperation,
              "--precision exact is f32 throughout; attention on this device is f16 or bf16",
              "leave out --precision here, or compare with --device cpu --precision exact");
}

class AscendDevice : public Device {
 public:
  AscendDevice(std::shared_ptr<AclApi> api, int index, const DeviceOptions& options)
      : asked_(activations_of(options)),
        kv_dtype_(options.kv_dtype),
        context_(std::make_shared<AscendContext>(std::move(api), index)),
        memory_(std::make_shared<LaunchQueue>(context_, LaunchQueue::Mode::kThread)),
        ops_(memory_, {asked_.value_or(DType::kF16), captures_of(options)}) {
    const std::string& soc = context_->soc_name();
    if (const std::string why = why_not_this_chip(soc); !why.empty())
      throw Error(ErrorCode::kUnsupported, kOperation, why, "chaski needs an Ascend 910B; use --device cpu");
    const AclApi& opened = context_->api();
    if (options.isa == "captured" && !ops_.why_not_capturable().empty())
      throw Error(ErrorCode::kUnsupported, kOperation, ops_.why_not_capturable(), "leave out --isa captured");
    const bool captures = ops_.why_not_capturable().empty();
    info_ = {fmt::format("ascend:{}", index),
             soc,
             kind_of(opened),
             fmt::format("{}, {}", opened.version(), captures ? "captured steps" : "eager, executors reused"),
             true,
             ""};
  }

  const DeviceInfo& info() const override { return info_; }
  Precision precision() const override { return Precision::kFast; }
  int n_threads() const override { return 1; }
  Ops& ops() override { return ops_; }
  AscendOps& ascend_ops() { return ops_; }
  int64_t weight_bytes() const override { return ops_.weights().bytes(); }
  HeldWeight held(WeightId id) const override { return ops_.weights().held(id); }
  int64_t bytes_to_hold(const WeightSource& weight) const override {
    return ops_.weights().bytes_to_hold(weight);
  }

  KvLayout kv_layout(const ModelConfig& config) const override {
    const DType dtype = ops_.activation_dtype();
    if (!kv_dtype_.empty() && kv_dtype_ != name_of(dtype)) {
      throw Error(
          ErrorCode::kUnsupported, kOperation,
          fmt::format("a cache of '{}' beside activations of {}", printable(kv_dtype_), name_of(dtype)),
          "here the cache is of the activations' type: --activations f16 or bf16 sets both");
    }
    KvLayout layout = KvLayout::token_major(dtype, kAscendPageTokens, config.n_kv_heads, config.head_dim);
    layout.layers_apart = true;
    return layout;
  }

  std::unique_ptr<Runner> make_runner(Ops& ops, const LlamaModel& model, const KvStorage& kv,
                                      const RunnerLimits& limits) override {
    ops_.reserve(model, limits);
    if (ops.why_not_capturable().empty()) return std::make_unique<CapturedRunner>(ops, model, kv, limits);
    return std::make_unique<EagerRunner>(ops, model, kv, limits);
  }

  void begin_weights(std::shared_ptr<const Checkpoint> checkpoint, const OnBytes&) override {
    if (ops_.weights().size() > 0) return;  // a second model is held as the first is
    ops_.set_heads(checkpoint->config());
    ops_.set_activations(asked_.value_or(activations_for(*checkpoint)));
  }
  std::vector<std::string> finish_weights() override { return ops_.weights().finish(); }

  std::vector<DeviceCount> counts() const override {
    const AscendCounters& c = ops_.counters();
    return {{"launches", c.launches},
            {"plans", c.plans},
            {"executor_hits", c.executor_hits},
            {"graph_replays", c.graph_replays},
            {"hidden_copies", c.hidden_copies},
            {"device_copies", c.device_copies},
            {"ai_cpu_launches", c.ai_cpu_launches},
            {"host_waits", c.host_waits}};
  }

 private:
  std::optional<DType> asked_;
  std::string kv_dtype_;
  std::shared_ptr<AscendContext> context_;
  AscendMemory memory_;
  AscendOps ops_;
  DeviceInfo info_;
};

DeviceInfo absent(std::string reason) {
  DeviceInfo info;
  info.id = "ascend";
  info.name = "Ascend NPU";
  info.device_kind = "ascend";
  info.reason = std::move(reason);
  return info;
}

std::vector<DeviceInfo> probe_api(AclApi& api) {
  const int n = count_devices(api);
  if (n == 0) return {absent("CANN is here and shows no device")};
  const char* name = api.call.aclrtGetSocName();
  const std::string soc = name == nullptr ? "Ascend NPU" : printable(name, 40);
  const std::string why = name == nullptr ? "" : why_not_this_chip(soc);
  std::vector<DeviceInfo> all;
  for (int i = 0; i < n; ++i)
    all.push_back({fmt::format("ascend:{}", i), soc, kind_of(api), api.version(), why.empty(), why});
  return all;
}

}  // namespace

std::string why_not_this_chip(std::string_view soc) {
  constexpr std::string_view kA2 = "Ascend910B", kA3 = "Ascend910_93";
  // The first generation calls itself Ascend910B too, without a number behind.
  const bool is_a2 =
      soc.size() > kA2.size() && soc.starts_with(kA2) && soc[kA2.size()] >= '1' && soc[kA2.size()] <= '9';
  if (is_a2 || soc.starts_with(kA3)) return {};
  return fmt::format("the chip is \"{}\"; expected Ascend910B1 to B4, or Ascend910_93", printable(soc));
}

DType activations_for(const Checkpoint& checkpoint) {
  int64_t bf16 = 0, all = 0;
  for (const std::string& name : checkpoint.names()) {
    const WeightSourcePtr weight = checkpoint.find(name);
    if (weight == nullptr || weight->shape().rank() != 2) continue;
    all += weight->shape().n_elements();
    if (weight->dtype() == DType::kBF16) bf16 += weight->shape().n_elements();
  }
  return 2 * bf16 > all ? DType::kBF16 : DType::kF16;
}

AscendOps& ascend_ops_of(Device& device) { return static_cast<AscendDevice&>(device).ascend_ops(); }

std::vector<DeviceInfo> AscendBackend::probe() const noexcept {
  try {
    return probe_api(*api());
  } catch (const std::exception& error) {
    try {
      return {absent(error.what())};
    } catch (...) {
      return {};
    }
  }
}

std::unique_ptr<Device> AscendBackend::open(int index, const DeviceOptions& options) const {
  check_precision(options);
  const std::shared_ptr<AclApi> opened = api();
  const int n = count_devices(*opened);
  if (n == 0) {
    throw Error(ErrorCode::kDevice, kOperation, "CANN is here and shows no device",
                "`chaski doctor` says what is missing; $ASCEND_RT_VISIBLE_DEVICES may hide devices");
  }
  if (index >= n) {
    throw Error(ErrorCode::kUsage, kOperation,
                fmt::format("no ascend:{}; there {} {}, from 0", index, n == 1 ? "is" : "are", n));
  }
  return std::make_unique<AscendDevice>(opened, index, options);
}

}  // namespace chaski
