// NVIDIA's management library: energy, power, memory. Only functions that drivers since Volta have; each may
// be missing.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "machine/meters_parts.h"

namespace chaski {
namespace {

using NvmlDevice = void*;
constexpr int kSuccess = 0;
constexpr unsigned kMostDevices = 64;
constexpr unsigned kMostProcesses = 1024;
constexpr uint64_t kNotKnown = ~uint64_t{0};

struct ProcessV1 {
  unsigned pid;
  unsigned long long bytes;
};
struct ProcessV2 {  // the third version's too
  unsigned pid;
  unsigned long long bytes;
  unsigned gpu_instance, compute_instance;
};
struct MemoryV1 {
  unsigned long long total, free, used;
};

class Nvml {
 public:
  /// Null, with the reason in `why_not`, where there is no driver or it does not start.
  static std::shared_ptr<const Nvml> open(const std::string& name, std::string& why_not) {
    auto library = SharedLibrary::open(name, why_not);
    if (library == nullptr) {
      why_not = fmt::format("nvml: no NVIDIA driver here ({})", why_not);
      return nullptr;
    }
    const std::shared_ptr<Nvml> nvml(new Nvml(std::move(library)));
    return nvml->start(why_not) ? nvml : nullptr;
  }
  ~Nvml() {
    const auto shutdown = library_->function<int()>("nvmlShutdown");
    if (is_started_ && shutdown != nullptr) shutdown();
  }
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  /// By index; null for one that does not answer.
  const std::vector<NvmlDevice>& devices() const { return devices_; }

  /// What the named function of a device gives, as nvmlDeviceGetPowerUsage; nothing, with the reason in
  /// `why_not`, where it is missing or fails.
  template <typename Value>
  std::optional<Value> get(const char* name, NvmlDevice device, std::string* why_not = nullptr) const {
    const auto function = library_->function<int(NvmlDevice, Value*)>(name);
    Value value{};
    const int code = function == nullptr ? kNoFunction : function(device, &value);
    if (code == kSuccess) return value;
    if (why_not != nullptr) *why_not = fmt::format("{}: {}", name, reason(code));
    return std::nullopt;
  }

  /// What this process holds on `device`; nothing where it is not listed.
  std::optional<int64_t> process_bytes(NvmlDevice device) const {
    for (const char* version : {"_v3", "_v2"}) {
      const std::string name = std::string(kProcesses) + version;
      if (const auto list = library_->function<int(NvmlDevice, unsigned*, ProcessV2*)>(name.c_str())) {
        return bytes_in(list, device);
      }
    }
    if (const auto list = library_->function<int(NvmlDevice, unsigned*, ProcessV1*)>(kProcesses)) {
      return bytes_in(list, device);
    }
    return std::nullopt;
  }

 private:
  static constexpr int kNoFunction = 13;  // NVML's own code for a function that the driver lacks
  static constexpr const char* kProcesses = "nvmlDeviceGetComputeRunningProcesses";

  explicit Nvml(std::unique_ptr<SharedLibrary> library) : library_(std::move(library)) {}

  bool start(std::string& why_not) {
    const auto init = library_->function<int()>("nvmlInit_v2");
    const auto count = library_->function<int(unsigned*)>("nvmlDeviceGetCount_v2");
    const auto handle = library_->function<int(unsigned, NvmlDevice*)>("nvmlDeviceGetHandleByIndex_v2");
    if (init == nullptr || count == nullptr || handle == nullptr) {
      why_not =
          "nvml: the driver's library lacks nvmlInit_v2, nvmlDeviceGetCount_v2 or "
          "nvmlDeviceGetHandleByIndex_v2";
      return false;
    }
    int code = init();
    is_started_ = code == kSuccess;
    unsigned n = 0;
    if (is_started_) code = count(&n);
    if (code != kSuccess || n == 0) {
      why_not = fmt::format("nvml: {}", code == kSuccess ? "the driver shows no device" : reason(code));
      return false;
    }
    for (unsigned i = 0; i < std::min(n, kMostDevices); ++i) {
      NvmlDevice device = nullptr;
      devices_.push_back(handle(i, &device) == kSuccess ? device : nullptr);
    }
    return true;
  }

  std::string reason(int code) const {
    const auto error_string = library_->function<const char*(int)>("nvmlErrorString");
    const char* text = error_string == nullptr ? nullptr : error_string(code);
    return text == nullptr ? fmt::format("error {}", code) : fmt::format("{} (error {})", text, code);
  }

  template <typename Process>
  static std::optional<int64_t> bytes_in(int (*list)(NvmlDevice, unsigned*, Process*), NvmlDevice device) {
    std::vector<Process> processes(kMostProcesses);
    unsigned n = kMostProcesses;
    if (list(device, &n, processes.data()) != kSuccess) return std::nullopt;
    for (unsigned i = 0; i < std::min(n, kMostProcesses); ++i) {
      const Process& process = processes[i];
      if (process.pid == static_cast<unsigned>(::getpid()) && process.bytes != kNotKnown) {
        return static_cast<int64_t>(process.bytes);
      }
    }
    return std::nullopt;
  }

  std::unique_ptr<SharedLibrary> library_;
  std::vector<NvmlDevice> devices_;
  bool is_started_ = false;
};

/// By the counter of energy; by samples of power where the device has none.
class NvmlProbe final : public EnergyProbe {
 public:
  NvmlProbe(std::shared_ptr<const Nvml> nvml, size_t index)
      : nvml_(std::move(nvml)), index_(index), device_(nvml_->devices()[index]) {
    has_counter_ = energy_mj().has_value();
    failure_.clear();
    const auto limit_mw = nvml_->get<unsigned>("nvmlDeviceGetEnforcedPowerLimit", device_);
    if (limit_mw && *limit_mw > 0) limit_watts_ = *limit_mw * 1e-3;
  }

  /// Empty where it can be measured.
  std::string why_not() {
    return has_counter_ || power_mw() ? std::string() : "neither energy nor power: " + failure_;
  }

  std::string source() const override { return fmt::format("nvml {}", index_); }
  std::chrono::milliseconds period() const override {
    return has_counter_ ? std::chrono::milliseconds(0) : PowerIntegral::kPeriod;
  }
  double limit_watts() const override { return limit_watts_; }

  void begin(double at_s) override {
    failure_.clear();
    power_.start(at_s);
    if (has_counter_) {
      begin_mj_ = energy_mj();
    } else {
      sample(at_s);
    }
  }

  void sample(double at_s) override {
    if (const auto milliwatts = power_mw()) power_.add(*milliwatts * 1e-3, at_s);
  }

  EnergyReading end(double at_s) override {
    if (has_counter_) return by_counter();
    sample(at_s);
    return power_.reading(at_s, failure_);
  }

 private:
  EnergyReading by_counter() {
    EnergyReading reading;
    const auto end_mj = energy_mj();
    if (!begin_mj_ || !end_mj) {
      reading.why_not = "the counter of energy could not be read: " + failure_;
    } else if (*end_mj < *begin_mj_) {
      reading.why_not = "the counter of energy began anew meanwhile (was the driver loaded again?)";
    } else {
      reading.joules = static_cast<double>(*end_mj - *begin_mj_) * 1e-3;
    }
    return reading;
  }

  std::optional<unsigned long long> energy_mj() {
    return nvml_->get<unsigned long long>("nvmlDeviceGetTotalEnergyConsumption", device_, &failure_);
  }
  std::optional<unsigned> power_mw() {
    return nvml_->get<unsigned>("nvmlDeviceGetPowerUsage", device_, &failure_);
  }

  std::shared_ptr<const Nvml> nvml_;
  size_t index_;
  NvmlDevice device_;
  bool has_counter_ = false;
  double limit_watts_ = kMostWatts;
  std::optional<unsigned long long> begin_mj_;
  PowerIntegral power_;
  std::string failure_;  ///< of the last call that failed
};

}  // namespace

void find_nvml_meters(const std::string& library, FoundMeters& found) {
  std::string why_not;
  const auto nvml = Nvml::open(library, why_not);
  if (nvml == nullptr) {
    found.why_not.push_back(std::move(why_not));
    return;
  }
  for (size_t i = 0; i < nvml->devices().size(); ++i) {
    if (nvml->devices()[i] == nullptr) {
      found.why_not.push_back(fmt::format("nvml {}: the device does not answer", i));
      continue;
    }
    auto probe = std::make_unique<NvmlProbe>(nvml, i);
    why_not = probe->why_not();
    if (why_not.empty()) {
      found.meters.push_back(make_sampled_meter(std::move(probe)));
    } else {
      found.why_not.push_back(fmt::format("nvml {}: {}", i, why_not));
    }
  }
}

DeviceMemory nvml_memory(const std::string& library) {
  DeviceMemory sum;
  std::string unused;
  const auto nvml = Nvml::open(library, unused);
  if (nvml == nullptr) return sum;
  for (const NvmlDevice device : nvml->devices()) {
    if (device == nullptr) continue;
    if (const auto bytes = nvml->process_bytes(device)) {
      sum.of_this_process = sum.of_this_process.value_or(0) + *bytes;
    }
    if (const auto memory = nvml->get<MemoryV1>("nvmlDeviceGetMemoryInfo", device)) {
      sum.in_use = sum.in_use.value_or(0) + static_cast<int64_t>(memory->used);
    }
  }
  return sum;
}

}  // namespace chaski
