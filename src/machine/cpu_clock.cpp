#include "machine/cpu_clock.h"

#include <unistd.h>

#include <algorithm>
#include <string>

#include "machine/system_files.h"

namespace chaski {
namespace fs = std::filesystem;

ClockState clock_state(const fs::path& root) {
  ClockState state;
  double khz = 0;
  int64_t n_cores = 0;
  constexpr int kMostCores = 4096;
  constexpr uint64_t kMostCounted = uint64_t{1} << 48;  // whose sum over all cores fits
  for (int core = 0; core < kMostCores; ++core) {
    const fs::path folder = root / "sys/devices/system/cpu" / ("cpu" + std::to_string(core));
    std::error_code fault;
    if (!fs::is_directory(folder, fault)) break;
    if (const auto now = number_in(folder / "cpufreq/scaling_cur_freq")) {
      khz += static_cast<double>(*now);
      ++n_cores;
    }
    for (const char* counter : {"core_throttle_count", "package_throttle_count"}) {
      const auto n = number_in(folder / "thermal_throttle" / counter);
      if (n)
        state.n_throttled = state.n_throttled.value_or(0) + static_cast<int64_t>(std::min(*n, kMostCounted));
    }
  }
  if (n_cores > 0) state.mhz = khz / 1000 / static_cast<double>(n_cores);
  return state;
}

std::optional<int64_t> available_memory_bytes(const fs::path& root) {
  return bytes_in(root / "proc/meminfo", "MemAvailable");
}

int64_t last_cache_bytes() {
#if defined(_SC_LEVEL3_CACHE_SIZE)
  return std::max(
      {int64_t{0}, int64_t{::sysconf(_SC_LEVEL2_CACHE_SIZE)}, int64_t{::sysconf(_SC_LEVEL3_CACHE_SIZE)}});
#else
  return 0;
#endif
}

}  // namespace chaski
