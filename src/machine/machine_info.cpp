#include "machine/machine_info.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <malloc.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <charconv>
#include <fstream>
#include <iomanip>
#include <set>

#include "base/cpu_name.h"
#include "base/error.h"
#include "base/threads.h"

namespace chaski {
namespace {

/// The first word of a file; empty where there is none.
std::string first_word(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string word;
  in >> std::setw(64) >> word;
  return printable(word);
}

/// "performance", or "performance, powersave" where cores differ; empty in a virtual machine without any.
std::string governors(const std::filesystem::path& root) {
  std::error_code fault;
  std::set<std::string> all;
  std::filesystem::directory_iterator cpu(root / "sys/devices/system/cpu", fault);
  for (; !fault && cpu != std::filesystem::directory_iterator(); cpu.increment(fault)) {
    all.insert(first_word(cpu->path() / "cpufreq/scaling_governor"));
  }
  all.erase("");
  return fmt::format("{}", fmt::join(all, ", "));
}

constexpr const char* kOwnStatus = "/proc/self/status";

/// Of a line as "MemTotal: 16 kB"; 0 where there is none.
int64_t bytes_in(const std::filesystem::path& file, std::string_view key) {
  const std::string kib = system_value(file, {key}, ':');
  int64_t value = 0;
  std::from_chars(kib.data(), kib.data() + kib.size(), value);
  return value * 1024;
}

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
  info.os = system_value(root / "etc/os-release", {"PRETTY_NAME"}, '=');
  info.n_cores = available_cores();
  info.memory_bytes = bytes_in(root / "proc/meminfo", "MemTotal");
  info.governor = governors(root);
  return info;
}

// Not getrusage(): its ru_maxrss begins at the peak of the process that started this one.
int64_t peak_rss_bytes() { return bytes_in(kOwnStatus, "VmHWM"); }

int64_t rss_bytes() { return bytes_in(kOwnStatus, "VmRSS"); }

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
