#include "cli/backends.h"

#include <charconv>

#include "backend/ascend/ascend_backend.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/dispatch.h"
#include "base/error.h"

namespace chaski::cli {
namespace {

std::unique_ptr<Device> open_cpu(int index, const DeviceOptions& options) {
  if (!options.activations.empty()) {
    throw Error(ErrorCode::kUsage, "open device", "the CPU's activations are f32",
                "leave out --activations, or name --device ascend");
  }
  return CpuBackend().open(index, options);
}

/// A card, where there is one that opens and nothing is asked for that only the CPU has; never an emulated
/// one. `chaski doctor` says why a card that is there does not open.
std::unique_ptr<Device> open_best(const DeviceOptions& options) {
  const bool suits_a_card =
      options.precision == Precision::kFast && options.isa.empty() && options.kv_dtype.empty();
  const std::vector<DeviceInfo> cards = suits_a_card ? AscendBackend().probe() : std::vector<DeviceInfo>();
  for (size_t i = 0; i < cards.size(); ++i) {
    if (!cards[i].is_available || cards[i].device_kind != "ascend") continue;
    try {
      return AscendBackend().open(static_cast<int>(i), options);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kDevice && error.code() != ErrorCode::kUnsupported) throw;
    }
  }
  return open_cpu(0, options);
}

}  // namespace

std::unique_ptr<Device> open_device(const std::string& name, const DeviceOptions& options) {
  const size_t colon = name.find(':');
  const std::string family = name.substr(0, colon);
  if (family == "ascend-model") {
    throw Error(ErrorCode::kUsage, "open device",
                fmt::format("{}: a model of a card's time, which runs nothing", printable(name)),
                "chaski bench alone takes it; name a device here, as cpu or ascend");
  }
  int index = 0;
  if (colon != std::string::npos) {
    const char* end = name.data() + name.size();
    const auto [stop, fault] = std::from_chars(name.data() + colon + 1, end, index);
    if (fault != std::errc() || stop != end || index < 0) {
      throw Error(ErrorCode::kUsage, "open device",
                  fmt::format("\"{}\": expected a number after the colon", printable(name)));
    }
  }
  if (name == "auto") return open_best(options);
  if (family == "cpu") return open_cpu(index, options);
  if (family == "ascend") return AscendBackend().open(index, options);
  if (family == "cuda") {
    throw Error(ErrorCode::kUnsupported, "open device",
                fmt::format("{}: this build has the CPU and Ascend", printable(name)), "use --device cpu");
  }
  throw Error(ErrorCode::kUsage, "open device",
              fmt::format("\"{}\": expected auto, cpu, cuda[:N] or ascend[:N]", printable(name)));
}

std::vector<std::string> cpu_code_paths() {
  std::vector<std::string> paths;
  for (const cpu::KernelTable* table : cpu::available_kernels()) paths.emplace_back(table->isa);
  return paths;
}

}  // namespace chaski::cli
