#include "machine/dcmi.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "machine/elf_symbols.h"
#include "machine/machine_view.h"

namespace chaski {
namespace {

constexpr int kOk = 0;
constexpr int kNoFunction = -1;  // of ours: the library's own codes begin at -8001
constexpr int kMostCards = 64;
constexpr int kMostDevicesOfCard = 8;
constexpr int kMostProcesses = 256;
constexpr int kCores = 2;  // AICore, of what it gives the utilisation
constexpr uint64_t kMostMegabytes = uint64_t{1} << 30;
/// What the library of an emulator, or AscendCL's beside it, has.
constexpr const char* kEmulatorMark = "chaski_ascend_emulator";

// A later driver's structures may be longer.
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
  char room[64];
};
struct Chip {
  char type[32], name[32], version[32];
  unsigned n_cores;
  char room[160];
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

/// "dcmi_get_device_power_info: not supported in a container"; of a value that cannot be, the value.
std::string why_not_of(const char* name, int code, const std::string& value) {
  return fmt::format("{}: {}", name, code == kOk ? value : reason(code));
}

/// Text of a field of fixed length that may lack its 0.
template <size_t n>
std::string field(const char (&text)[n]) {
  return shown({text, ::strnlen(text, n)}, 64);
}

/// Whether the library that `symbol` is in, or the AscendCL in its folder, is an emulator's.
bool is_of_emulator(const SharedLibrary& library, void* symbol) {
  if (library.has(kEmulatorMark)) return true;
  Dl_info info{};
  if (symbol == nullptr || ::dladdr(symbol, &info) == 0 || info.dli_fname == nullptr) return false;
  const std::filesystem::path beside = std::filesystem::path(info.dli_fname).parent_path() / "libascendcl.so";
  std::error_code ignored;
  if (!std::filesystem::exists(beside, ignored)) return false;
  return !read_elf_symbols(beside, {kEmulatorMark}).found.empty();
}

}  // namespace

std::shared_ptr<const Dcmi> Dcmi::open(const std::string& name, std::string& why_not) {
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

std::string Dcmi::driver_version() const {
  const auto get = library_->function<int(char*, unsigned)>("dcmi_get_driver_version");
  char version[80] = {};
  return get != nullptr && get(version, sizeof(version)) == kOk ? field(version) : std::string();
}

std::string Dcmi::chip_name(Npu npu) const {
  Chip chip{};
  return call<Chip*>("dcmi_get_device_chip_info", npu, &chip) == kOk ? field(chip.name) : std::string();
}

DriverValue<double> Dcmi::power_watts(Npu npu) const {
  constexpr const char* kName = "dcmi_get_device_power_info";
  int tenths = 0;
  const int code = call<int*>(kName, npu, &tenths);
  if (code == kOk && tenths >= 0) return {tenths * 0.1, {}};
  return {std::nullopt, why_not_of(kName, code, fmt::format("{} × 0.1 W", tenths))};
}

DriverValue<HbmUse> Dcmi::hbm(Npu npu) const {
  constexpr const char* kName = "dcmi_get_device_hbm_info";
  Hbm hbm{};
  const int code = call<Hbm*>(kName, npu, &hbm);
  if (code == kOk && hbm.size_mb <= kMostMegabytes && hbm.used_mb <= kMostMegabytes) {
    return {HbmUse{static_cast<int64_t>(hbm.size_mb << 20), static_cast<int64_t>(hbm.used_mb << 20)}, {}};
  }
  return {std::nullopt, why_not_of(kName, code, fmt::format("{} of {} MB", hbm.used_mb, hbm.size_mb))};
}

DriverValue<int> Dcmi::busy_percent(Npu npu) const {
  constexpr const char* kName = "dcmi_get_device_utilization_rate";
  unsigned percent = 0;
  const int code = call<int, unsigned*>(kName, npu, kCores, &percent);
  if (code == kOk && percent <= 100) return {static_cast<int>(percent), {}};
  return {std::nullopt, why_not_of(kName, code, fmt::format("{} %", percent))};
}

DriverValue<int> Dcmi::temperature_c(Npu npu) const {
  constexpr const char* kName = "dcmi_get_device_temperature";
  constexpr int kLeast = -60, kMost = 200;
  int degrees = 0;
  const int code = call<int*>(kName, npu, &degrees);
  if (code == kOk && degrees >= kLeast && degrees <= kMost) return {degrees, {}};
  return {std::nullopt, why_not_of(kName, code, fmt::format("{} °C", degrees))};
}

std::optional<int64_t> Dcmi::process_bytes(Npu npu) const {
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

template <typename... Args>
int Dcmi::call(const char* name, Npu npu, Args... args) const {
  const auto function = library_->function<int(int, int, Args...)>(name);
  return function == nullptr ? kNoFunction : function(npu.card, npu.device, args...);
}

bool Dcmi::start(std::string& why_not) {
  const auto init = library_->function<int()>("dcmi_init");
  auto list = library_->function<int(int*, int*, int)>("dcmi_get_card_list");
  if (list == nullptr) list = library_->function<int(int*, int*, int)>("dcmi_get_card_num_list");
  if (init == nullptr || list == nullptr) {
    why_not = "dcmi: the driver's library lacks dcmi_init or dcmi_get_card_list";
    return false;
  }
  is_emulated_ = is_of_emulator(*library_, reinterpret_cast<void*>(init));
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
int Dcmi::n_npus_of(int card) const {
  int n = 0, controller = 0, cpu = 0;
  const auto ids = library_->function<int(int, int*, int*, int*)>("dcmi_get_device_id_in_card");
  if (ids == nullptr || ids(card, &n, &controller, &cpu) != kOk) {
    const auto count = library_->function<int(int, int*)>("dcmi_get_device_num_in_card");
    if (count == nullptr || count(card, &n) != kOk) n = 1;
  }
  return std::clamp(n, 0, kMostDevicesOfCard);
}

}  // namespace chaski
