// What this computer is, and how much memory this process has taken. Nothing about devices other than the
// CPU.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace chaski {

struct MachineInfo {
  std::string cpu;     ///< model name; the architecture's where the system gives none
  std::string os;      ///< "Debian GNU/Linux 12 (bookworm)"
  std::string kernel;  ///< "Linux 6.1.0"
  std::string arch;    ///< "x86_64"
  int n_cores = 0;     ///< that this process may run on
  int64_t memory_bytes = 0;
  std::string governor;  ///< of the cores' clock, as "performance"; all that there are where cores differ
};

/// Read from /proc, /etc and /sys below `root`. Never throws: what is not there stays empty.
MachineInfo machine_info(const std::filesystem::path& root = "/");

/// The most memory this process has had resident so far; 0 where the system does not say.
int64_t peak_rss_bytes();
/// Memory that this process has resident now; 0 where the system does not say.
int64_t rss_bytes();
/// From now on peak_rss_bytes counts afresh, where the system lets a process ask for that; what was freed is
/// given back to the system first.
void restart_peak_rss() noexcept;

}  // namespace chaski
