// Ascend's device management library: power and memory of NPUs. It has no counter of energy, so power is
// integrated. Only functions that older drivers have too; each may be missing.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "machine/meters_parts.h"

namespace chaski {
namespace {

constexpr int kOk = 0;
constexpr int kNoFunction = -1;  // of ours: the library's own codes begin at -8001
constexpr int kMostCards = 64;
constexpr int kMostDevicesOfCard = 8;
constexpr int kMostProcesses = 256;

struct Process {
  int pid;
  unsigned long bytes;
};
struct Hbm {
  unsigned long long size_mb;
  unsigned frequency_mhz;
  unsigned long long used_mb;
  int temperature_c;
  unsigned bandwidth_percent;
  char room[64];  // a later driver's may be longer
};

struct Npu {
  int card = 0, device = 0;
};

std::string reason(int code) {
  switch (code) {
    case kNoFunction:
      return "the driver's library lacks it";
    case -8002:
      return "not permitted; as root, or as a member of the driver's group";
    case -8013:
      return "not supported in a container";
    case -8255:
      return "not supported by this device";
    default:
      return fmt::format("error {}", code);
  }
}

class Dcmi {
 public:
  /// Null, with the reason in `why_not`, where there is no driver or it does not start.
  static std::shared_ptr<const Dcmi> open(const std::string& name, std::string& why_not) {
    auto library = SharedLibrary::open(name, why_not);
    if (library == nullptr && name.find('/') == std::string::npos) {
      std::string unused;  // where drivers put it without telling the loader
      library = SharedLibrary::open("/usr/local/dcmi/" + name, unused);
    }
    if (library == nullptr) {
      why_not = fmt::format("dcmi: no Ascend driver here ({})", why_not);
      return nullptr;
    }
    const std::shared_ptr<Dcmi> dcmi(new Dcmi(std::move(library)));
    return dcmi->start(why_not) ? dcmi : nullptr;
  }

  const std::vector<Npu>& npus() const { return npus_; }

  /// In watts; nothing, with the reason in `why_not`, where it is not to be had.
  std::optional<double> power_watts(Npu npu, std::string& why_not) const {
    int tenths = 0;
    const int code = call<int*>("dcmi_get_device_power_info", npu, &tenths);
    if (code == kOk && tenths >= 0) return tenths * 0.1;
    why_not =
        "dcmi_get_device_power_info: " + (code == kOk ? fmt::format("{} × 0.1 W", tenths) : reason(code));
    return std::nullopt;
  }

  /// What this process holds on `npu`; nothing where it is not listed.
  std::optional<int64_t> process_bytes(Npu npu) const {
    std::vector<Process> processes(kMostProcesses);
    int n = kMostProcesses;
    if (call<Process*, int*>("dcmi_get_device_resource_info", npu, processes.data(), &n) != kOk)
      return std::nullopt;
    for (int i = 0; i < std::min(n, kMostProcesses); ++i) {
      const Process& process = processes[static_cast<size_t>(i)];
      if (process.pid == ::getpid()) return static_cast<int64_t>(process.bytes);
    }
    return std::nullopt;
  }

  std::optional<int64_t> bytes_in_use(Npu npu) const {
    Hbm hbm{};
    if (call<Hbm*>("dcmi_get_device_hbm_info", npu, &hbm) != kOk || hbm.used_mb > (uint64_t{1} << 32)) {
      return std::nullopt;
    }
    return static_cast<int64_t>(hbm.used_mb << 20);
  }

 private:
  explicit Dcmi(std::unique_ptr<SharedLibrary> library) : library_(std::move(library)) {}

  template <typename... Args>
  int call(const char* name, Npu npu, Args... args) const {
    const auto function = library_->function<int(int, int, Args...)>(name);
    return function == nullptr ? kNoFunction : function(npu.card, npu.device, args...);
  }

  bool start(std::string& why_not) {
    const auto init = library_->function<int()>("dcmi_init");
    auto list = library_->function<int(int*, int*, int)>("dcmi_get_card_list");
    if (list == nullptr) list = library_->function<int(int*, int*, int)>("dcmi_get_card_num_list");
    if (init == nullptr || list == nullptr) {
      why_not = "dcmi: the driver's library lacks dcmi_init or dcmi_get_card_list";
      return false;
    }
    int cards[kMostCards] = {};
    int n = 0;
    int code = init();
    if (code == kOk) code = list(&n, cards, kMostCards);
    for (int i = 0; code == kOk && i < std::min(n, kMostCards); ++i) {
      for (int device = 0; device < n_npus_of(cards[i]); ++device) npus_.push_back({cards[i], device});
    }
    if (!npus_.empty()) return true;
    why_not = fmt::format("dcmi: {}", code == kOk ? "the driver shows no device" : reason(code));
    return false;
  }

  /// Of a card's devices the NPUs come first; controllers follow.
  int n_npus_of(int card) const {
    int n = 0, controller = 0, cpu = 0;
    const auto ids = library_->function<int(int, int*, int*, int*)>("dcmi_get_device_id_in_card");
    if (ids == nullptr || ids(card, &n, &controller, &cpu) != kOk) {
      const auto count = library_->function<int(int, int*)>("dcmi_get_device_num_in_card");
      if (count == nullptr || count(card, &n) != kOk) n = 1;
    }
    return std::clamp(n, 0, kMostDevicesOfCard);
  }

  std::unique_ptr<SharedLibrary> library_;
  std::vector<Npu> npus_;
};

class DcmiProbe final : public EnergyProbe {
 public:
  DcmiProbe(std::shared_ptr<const Dcmi> dcmi, Npu npu) : dcmi_(std::move(dcmi)), npu_(npu) {}

  std::string source() const override { return fmt::format("dcmi {}/{}", npu_.card, npu_.device); }
  std::chrono::milliseconds period() const override { return PowerIntegral::kPeriod; }
  double limit_watts() const override { return kMostWatts; }  // the library does not say

  void begin(double at_s) override {
    failure_.clear();
    power_.start(at_s);
    sample(at_s);
  }
  void sample(double at_s) override {
    if (const auto watts = dcmi_->power_watts(npu_, failure_)) power_.add(*watts, at_s);
  }
  EnergyReading end(double at_s) override {
    sample(at_s);
    return power_.reading(at_s, failure_);
  }

 private:
  std::shared_ptr<const Dcmi> dcmi_;
  Npu npu_;
  PowerIntegral power_;
  std::string failure_;  ///< of the last call that failed
};

}  // namespace

void find_dcmi_meters(const std::string& library, FoundMeters& found) {
  std::string why_not;
  const auto dcmi = Dcmi::open(library, why_not);
  if (dcmi == nullptr) {
    found.why_not.push_back(std::move(why_not));
    return;
  }
  for (const Npu npu : dcmi->npus()) {
    if (dcmi->power_watts(npu, why_not)) {
      found.meters.push_back(make_sampled_meter(std::make_unique<DcmiProbe>(dcmi, npu)));
    } else {
      found.why_not.push_back(fmt::format("dcmi {}/{}: {}", npu.card, npu.device, why_not));
    }
  }
}

DeviceMemory dcmi_memory(const std::string& library) {
  DeviceMemory sum;
  std::string unused;
  const auto dcmi = Dcmi::open(library, unused);
  if (dcmi == nullptr) return sum;
  for (const Npu npu : dcmi->npus()) {
    if (const auto bytes = dcmi->process_bytes(npu))
      sum.of_this_process = sum.of_this_process.value_or(0) + *bytes;
    if (const auto bytes = dcmi->bytes_in_use(npu)) sum.in_use = sum.in_use.value_or(0) + *bytes;
  }
  return sum;
}

}  // namespace chaski
