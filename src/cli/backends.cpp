#include "cli/backends.h"

#include <charconv>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/dispatch.h"
#include "base/error.h"

namespace chaski::cli {

std::unique_ptr<Device> open_device(const std::string& name, const DeviceOptions& options) {
  const size_t colon = name.find(':');
  const std::string family = name.substr(0, colon);
  int index = 0;
  if (colon != std::string::npos) {
    const char* end = name.data() + name.size();
    const auto [stop, fault] = std::from_chars(name.data() + colon + 1, end, index);
    if (fault != std::errc() || stop != end || index < 0) {
      throw Error(ErrorCode::kUsage, "open device",
                  fmt::format("\"{}\": expected a number after the colon", printable(name)));
    }
  }
  if (name == "auto") return CpuBackend().open(0, options);
  if (family == "cpu") return CpuBackend().open(index, options);
  if (family == "cuda" || family == "ascend") {
    throw Error(ErrorCode::kUnsupported, "open device",
                fmt::format("{}: this build has the CPU only", printable(name)), "use --device cpu");
  }
  if (family == "ascend-model") {
    throw Error(ErrorCode::kUsage, "open device",
                fmt::format("{}: a model of a card's time, which runs nothing", printable(name)),
                "chaski bench alone takes it; name a device here, as cpu or ascend");
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
