#include "machine/machine_info.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include <charconv>
#include <fstream>
#include <string_view>

#include "base/threads.h"

namespace chaski {
namespace {

/// The text after `separator` in the first line that begins with one of `keys`.
std::string value_in(const std::filesystem::path& file, std::initializer_list<std::string_view> keys,
                     char separator) {
  std::ifstream in(file);
  std::string line;
  for (int n = 0; n < 4096 && std::getline(in, line); ++n) {
    const size_t at = line.find(separator);
    if (at == std::string::npos) continue;
    for (const std::string_view key : keys) {
      if (line.compare(0, key.size(), key) != 0) continue;
      const size_t first = line.find_first_not_of(" \t\"", at + 1);
      const size_t last = line.find_last_not_of(" \t\"");
      if (first != std::string::npos && last >= first) return line.substr(first, last - first + 1);
    }
  }
  return {};
}

}  // namespace

MachineInfo machine_info(const std::filesystem::path& root) {
  MachineInfo info;
  utsname names{};
  if (::uname(&names) == 0) {
    info.kernel = fmt::format("{} {}", names.sysname, names.release);
    info.arch = names.machine;
  }
  // Arm kernels give no model name; "Hardware" and "CPU part" are what there is.
  info.cpu = value_in(root / "proc/cpuinfo", {"model name", "Model", "Hardware", "CPU part"}, ':');
  if (info.cpu.empty()) info.cpu = info.arch;
  info.os = value_in(root / "etc/os-release", {"PRETTY_NAME"}, '=');
  info.n_cores = available_cores();
  const std::string kib = value_in(root / "proc/meminfo", {"MemTotal"}, ':');
  int64_t value = 0;
  std::from_chars(kib.data(), kib.data() + kib.size(), value);
  info.memory_bytes = value * 1024;
  return info;
}

int64_t peak_rss_bytes() {
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;  // Linux counts in KiB
}

}  // namespace chaski
