#include "machine/device_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/json.h"
#include "machine/meters_parts.h"

namespace chaski {
namespace {

constexpr int kMostDevices = 64;
constexpr int64_t kMostBytes = int64_t{1} << 50;

/// Text of a field of fixed length that may lack its 0.
template <size_t n>
std::string field(const char (&text)[n]) {
  return shown({text, ::strnlen(text, n)}, 64);
}

std::optional<int64_t> bytes_of(uint64_t value, uint64_t unit) {
  if (value > static_cast<uint64_t>(kMostBytes) / unit) return std::nullopt;
  return static_cast<int64_t>(value * unit);
}

std::optional<int> percent_of(int64_t value) {
  if (value < 0 || value > 100) return std::nullopt;
  return static_cast<int>(value);
}

AcceleratorFacts facts_in(const Json& device, const std::string& where) {
  AcceleratorFacts facts;
  const auto bytes = [&](const char* key) -> std::optional<int64_t> {
    const int64_t n = get_int(device, key, -1, where);
    return n < 0 || n > kMostBytes ? std::nullopt : std::optional(n);
  };
  facts.name = shown(get_string(device, "name", "", where), 64);
  facts.total_bytes = bytes("total_bytes");
  facts.used_bytes = bytes("used_bytes");
  facts.busy_percent = percent_of(get_int(device, "busy_percent", -1, where));
  return facts;
}

/// What a file below the root says in the library's place.
DriverAnswer written_answer(const MachineView& view, const std::string& path) {
  DriverAnswer answer;
  const FileText file = view.text(path);
  if (!file) {
    answer.why_not = file.why_not;
    return answer;
  }
  try {
    JsonLimits limits;
    limits.max_depth = 8;
    const Json json = parse_json(file.text, path, limits);
    answer.why_not = shown(get_string(json, "why_not", "", path));
    answer.driver = shown(get_string(json, "driver", "", path), 40);
    const auto devices = json.find("devices");
    if (devices == json.end() || !devices->is_array()) return answer;
    for (const Json& device : *devices) {
      if (answer.devices.size() < kMostDevices) answer.devices.push_back(facts_in(device, path));
    }
  } catch (const Error& error) {
    answer.why_not = shown(error.what());
    answer.devices.clear();
  }
  return answer;
}

using NvmlDevice = void*;

AcceleratorFacts nvml_device(const SharedLibrary& nvml, NvmlDevice device) {
  struct Memory {
    unsigned long long total, free, used;
  } memory{};
  struct Busy {
    unsigned gpu, memory;
  } busy{};
  char name[96] = {};
  AcceleratorFacts facts;
  const auto get_name = nvml.function<int(NvmlDevice, char*, unsigned)>("nvmlDeviceGetName");
  const auto get_memory = nvml.function<int(NvmlDevice, Memory*)>("nvmlDeviceGetMemoryInfo");
  const auto get_busy = nvml.function<int(NvmlDevice, Busy*)>("nvmlDeviceGetUtilizationRates");
  if (get_name != nullptr && get_name(device, name, sizeof(name)) == 0) facts.name = field(name);
  if (get_memory != nullptr && get_memory(device, &memory) == 0) {
    facts.total_bytes = bytes_of(memory.total, 1);
    facts.used_bytes = bytes_of(memory.used, 1);
  }
  if (get_busy != nullptr && get_busy(device, &busy) == 0) facts.busy_percent = percent_of(busy.gpu);
  return facts;
}

AcceleratorFacts dcmi_device(const SharedLibrary& dcmi, int card, int device) {
  struct Hbm {
    unsigned long long size_mb;
    unsigned frequency_mhz;
    unsigned long long used_mb;
    int temperature_c;
    unsigned bandwidth_percent;
    char room[64];  // a later driver's may be longer
  } hbm{};
  struct Chip {
    char type[32], name[32], version[32];
    unsigned n_cores;
    char room[160];
  } chip{};
  constexpr int kCores = 2;  // of what it gives the utilisation
  unsigned busy = 0;
  AcceleratorFacts facts;
  const auto get_chip = dcmi.function<int(int, int, Chip*)>("dcmi_get_device_chip_info");
  const auto get_hbm = dcmi.function<int(int, int, Hbm*)>("dcmi_get_device_hbm_info");
  const auto get_busy = dcmi.function<int(int, int, int, unsigned*)>("dcmi_get_device_utilization_rate");
  if (get_chip != nullptr && get_chip(card, device, &chip) == 0) facts.name = field(chip.name);
  if (get_hbm != nullptr && get_hbm(card, device, &hbm) == 0) {
    facts.total_bytes = bytes_of(hbm.size_mb, 1 << 20);
    facts.used_bytes = bytes_of(hbm.used_mb, 1 << 20);
  }
  if (get_busy != nullptr && get_busy(card, device, kCores, &busy) == 0)
    facts.busy_percent = percent_of(busy);
  return facts;
}

/// How many NPUs a card has: they come before its controllers.
int n_npus_of(const SharedLibrary& dcmi, int card) {
  constexpr int kMostOfCard = 8;
  int n = 0, controller = 0, cpu = 0;
  const auto ids = dcmi.function<int(int, int*, int*, int*)>("dcmi_get_device_id_in_card");
  if (ids != nullptr && ids(card, &n, &controller, &cpu) == 0) return std::clamp(n, 0, kMostOfCard);
  const auto count = dcmi.function<int(int, int*)>("dcmi_get_device_num_in_card");
  return count != nullptr && count(card, &n) == 0 ? std::clamp(n, 0, kMostOfCard) : 1;
}

}  // namespace

DriverAnswer ask_nvml(const MachineView& view, const std::string& library) {
  if (!view.is_live()) return written_answer(view, "/nvml.json");
  DriverAnswer answer;
  const auto nvml = SharedLibrary::open(library, answer.why_not);
  if (nvml == nullptr) return answer;
  answer.why_not.clear();
  const auto init = nvml->function<int()>("nvmlInit_v2");
  const auto shutdown = nvml->function<int()>("nvmlShutdown");
  const auto count = nvml->function<int(unsigned*)>("nvmlDeviceGetCount_v2");
  const auto handle = nvml->function<int(unsigned, NvmlDevice*)>("nvmlDeviceGetHandleByIndex_v2");
  const auto driver = nvml->function<int(char*, unsigned)>("nvmlSystemGetDriverVersion");
  if (init == nullptr || count == nullptr || handle == nullptr) {
    answer.why_not = "the library lacks functions";
    return answer;
  }
  if (const int code = init(); code != 0) {
    answer.why_not = fmt::format("nvmlInit_v2: error {}", code);
    return answer;
  }
  unsigned n = 0;
  char version[80] = {};
  if (driver != nullptr && driver(version, sizeof(version)) == 0) answer.driver = field(version);
  if (const int code = count(&n); code != 0)
    answer.why_not = fmt::format("nvmlDeviceGetCount_v2: error {}", code);
  for (unsigned i = 0; i < std::min<unsigned>(n, kMostDevices); ++i) {
    NvmlDevice device = nullptr;
    if (handle(i, &device) == 0) answer.devices.push_back(nvml_device(*nvml, device));
  }
  if (shutdown != nullptr) shutdown();
  return answer;
}

DriverAnswer ask_dcmi(const MachineView& view, const std::string& library) {
  if (!view.is_live()) return written_answer(view, "/dcmi.json");
  DriverAnswer answer;
  auto dcmi = SharedLibrary::open(library, answer.why_not);
  std::string unused;  // where drivers put it without telling the loader
  if (dcmi == nullptr && library.find('/') == std::string::npos) {
    dcmi = SharedLibrary::open("/usr/local/dcmi/" + library, unused);
  }
  if (dcmi == nullptr) return answer;
  answer.why_not.clear();
  const auto init = dcmi->function<int()>("dcmi_init");
  auto list = dcmi->function<int(int*, int*, int)>("dcmi_get_card_list");
  if (list == nullptr) list = dcmi->function<int(int*, int*, int)>("dcmi_get_card_num_list");
  const auto driver = dcmi->function<int(char*, unsigned)>("dcmi_get_driver_version");
  int cards[kMostDevices] = {};
  int n = 0;
  const int code = init == nullptr || list == nullptr ? -1 : init();
  if (code != 0 || list(&n, cards, kMostDevices) != 0) {
    answer.why_not = fmt::format("dcmi_init: error {}", code);
    return answer;
  }
  char version[80] = {};
  if (driver != nullptr && driver(version, sizeof(version)) == 0) answer.driver = field(version);
  for (int i = 0; i < std::clamp(n, 0, kMostDevices); ++i) {
    for (int device = 0; device < n_npus_of(*dcmi, cards[i]); ++device) {
      answer.devices.push_back(dcmi_device(*dcmi, cards[i], device));
    }
  }
  return answer;
}

}  // namespace chaski
