// How fast the cores' clock runs and whether heat or a power limit slowed it, as the system tells it; many
// virtual machines do not.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace chaski {

struct ClockState {
  std::optional<double> mhz;           ///< mean over the cores that say it, now
  std::optional<int64_t> n_throttled;  ///< times since boot that a core or its package was slowed
};

/// Read below `root`. Never throws: what is not there stays empty.
ClockState clock_state(const std::filesystem::path& root = "/");

/// Bytes of memory that programs may take without swapping; nothing where the system does not say.
std::optional<int64_t> available_memory_bytes(const std::filesystem::path& root = "/");

/// Bytes of the last level of cache; 0 where the system does not say.
int64_t last_cache_bytes();

}  // namespace chaski
