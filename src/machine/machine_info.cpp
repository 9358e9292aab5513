#include "machine/machine_info.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <malloc.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <set>

#include "base/cpu_name.h"
#include "base/error.h"
#include "base/threads.h"
#include "machine/system_files.h"

namespace chaski {
namespace {

/// "performance", or "performance, powersave" where cores differ; empty in a virtual machine without any.
std::string governors(const std::filesystem::path& root) {
  std::error_code fault;
  std::set<std::string> all;
  std::filesystem::directory_iterator cpu(root / "sys/devices/system/cpu", fault);
  for (; !fault && cpu != std::filesystem::directory_iterator(); cpu.increment(fault)) {
    all.insert(printable(first_line(cpu->path() / "cpufreq/scaling_governor").value_or("")));
  }
  all.erase("");
  return fmt::format("{}", fmt::join(all, ", "));
}

constexpr const char* kOwnStatus = "/proc/self/status";

}  // namespace

MachineInfo machine_info(const std::filesystem::path& root) {
  MachineInfo info;
  utsname names{};
  if (::uname(&names) == 0) {
    info.kernel = fmt::format("{} {}", names.sysname, names.release);
    info.arch = names.machine;
  }
  info.cpu = cpu_name(root);
  if (info.cpu.empty()) info.cpu = info.arch;
  info.os = printable(system_value(root / "etc/os-release", {"PRETTY_NAME"}, '='));
  info.n_cores = available_cores();
  info.memory_bytes = bytes_in(root / "proc/meminfo", "MemTotal").value_or(0);
  info.governor = governors(root);
  return info;
}

// Not getrusage(): its ru_maxrss begins at the peak of the process that started this one.
int64_t peak_rss_bytes() { return bytes_in(kOwnStatus, "VmHWM").value_or(0); }

int64_t rss_bytes() { return bytes_in(kOwnStatus, "VmRSS").value_or(0); }

void restart_peak_rss() noexcept {
#if defined(__GLIBC__)
  ::malloc_trim(0);  // what was freed is nobody's any more
#endif
  const int fd = ::open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (::write(fd, "5", 1) != 1) {  // 5: the peak alone, no page's marks
  }
  ::close(fd);
}

}  // namespace chaski
