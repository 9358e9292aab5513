#include "machine/device_facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/json.h"
#include "machine/dcmi.h"
#include "machine/meters_parts.h"
#include "machine/npu_smi.h"

namespace chaski {
namespace {

constexpr int kMostDevices = 64;
constexpr int64_t kMostBytes = int64_t{1} << 50;
constexpr size_t kMostReasons = 8;

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

std::optional<int> temperature_of(int64_t degrees) {
  if (degrees < -60 || degrees > 200) return std::nullopt;
  return static_cast<int>(degrees);
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
  const auto degrees = device.find("temperature_c");
  if (degrees != device.end())
    facts.temperature_c = temperature_of(get_int(device, "temperature_c", 0, where));
  const auto refused = device.find("not_readable");
  if (refused == device.end() || !refused->is_array()) return facts;
  for (const Json& why_not : *refused) {
    if (why_not.is_string() && facts.not_readable.size() < kMostReasons)
      facts.not_readable.push_back(shown(why_not.get_ref<const std::string&>()));
  }
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

AcceleratorFacts npu_facts(const Dcmi& dcmi, Npu npu) {
  AcceleratorFacts facts;
  const auto take = [&](const auto& answer, auto& value) {
    if (answer.value) {
      value = *answer.value;
    } else {
      facts.not_readable.push_back(answer.why_not);
    }
  };
  facts.name = dcmi.chip_name(npu);
  std::optional<HbmUse> hbm;
  take(dcmi.hbm(npu), hbm);
  if (hbm) {
    facts.total_bytes = hbm->total_bytes;
    facts.used_bytes = hbm->used_bytes;
  }
  take(dcmi.busy_percent(npu), facts.busy_percent);
  take(dcmi.temperature_c(npu), facts.temperature_c);
  take(dcmi.power_watts(npu), facts.watts);
  return facts;
}

/// What npu-smi prints, where the library itself shows no device.
void ask_npu_smi(const std::string& text, DriverAnswer& answer) {
  std::vector<AcceleratorFacts> devices = parse_npu_smi(text);
  if (devices.empty()) return;
  answer.why_not.clear();
  answer.devices = std::move(devices);
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
  if (!view.is_live()) {
    DriverAnswer answer = written_answer(view, "/dcmi.json");
    if (answer.devices.empty()) ask_npu_smi(view.text("/npu-smi.txt").text, answer);
    return answer;
  }
  DriverAnswer answer;
  const auto dcmi = Dcmi::open(library, answer.why_not);
  if (dcmi == nullptr) {
    std::string unused;
    ask_npu_smi(run_npu_smi(unused), answer);
    return answer;
  }
  answer.why_not.clear();
  answer.is_emulated = dcmi->is_emulated();
  answer.driver = dcmi->driver_version();
  for (const Npu npu : dcmi->npus()) answer.devices.push_back(npu_facts(*dcmi, npu));
  return answer;
}

}  // namespace chaski
