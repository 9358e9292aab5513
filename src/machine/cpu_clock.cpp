#include "machine/cpu_clock.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>

#include "base/cpu_name.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

std::string first_line(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line.substr(0, 64);
}

std::optional<int64_t> number_in(const fs::path& file) {
  const std::string text = first_line(file);
  int64_t value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

}  // namespace

ClockState clock_state(const fs::path& root) {
  ClockState state;
  double khz = 0;
  int64_t n_cores = 0;
  constexpr int kMostCores = 4096;
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
      if (n) state.n_throttled = state.n_throttled.value_or(0) + *n;
    }
  }
  if (n_cores > 0) state.mhz = khz / 1000 / static_cast<double>(n_cores);
  return state;
}

std::optional<int64_t> available_memory_bytes(const fs::path& root) {
  const std::string kib = system_value(root / "proc/meminfo", {"MemAvailable"}, ':');
  int64_t value = 0;
  const auto [end, fault] = std::from_chars(kib.data(), kib.data() + kib.size(), value);
  if (fault != std::errc() || end == kib.data()) return std::nullopt;
  return value * 1024;
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
