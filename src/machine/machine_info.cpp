#include "machine/machine_info.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <charconv>

#include "base/cpu_name.h"
#include "base/threads.h"

namespace chaski {
MachineInfo machine_info(const std::filesystem::path& root) {
  MachineInfo info;
  utsname names{};
  if (::uname(&names) == 0) {
    info.kernel = fmt::format("{} {}", names.sysname, names.release);
    info.arch = names.machine;
  }
  info.cpu = cpu_name(root);
  if (info.cpu.empty()) info.cpu = info.arch;
  info.os = system_value(root / "etc/os-release", {"PRETTY_NAME"}, '=');
  info.n_cores = available_cores();
  const std::string kib = system_value(root / "proc/meminfo", {"MemTotal"}, ':');
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

void restart_peak_rss() noexcept {
  const int fd = ::open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (::write(fd, "5", 1) != 1) {  // 5: the peak alone, no page's marks
  }
  ::close(fd);
}

}  // namespace chaski
