// Meters of energy and device memory: RAPL, NVIDIA's NVML, Ascend's DCMI. Libraries are opened at run time;
// what is not there says why. Roots and library names are parameters, so that tests bring their own.
// docs/sources.md#energy-meters
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace chaski {

struct MeterPlaces {
  std::filesystem::path root = "/";  ///< above sys/class/powercap
  std::string nvml = "libnvidia-ml.so.1";
  std::string dcmi = "libdcmi.so";
};

/// Energy between start and stop. Exactly one of `joules` and `why_not` is there.
struct EnergyReading {
  std::string source;  ///< "rapl package-0", "nvml 0", "dcmi 0/0", "dcmi 0/0 (emulated)"
  std::optional<double> joules;
  double seconds = 0;
  bool is_integrated = false;           ///< from samples of power instead of a counter
  std::optional<double> busy_percent;   ///< of an accelerator's arithmetic, the mean of samples
  std::optional<double> temperature_c;  ///< the highest that was seen
  std::string why_not;                  ///< not readable, or refused: power outside what the device can draw
};

/// One source. RAPL gives at most three: the packages of the processors together ("rapl
/// package-0+package-1"), their memory ("rapl dram"), and the whole platform ("rapl psys"), which contains
/// the packages and is never to be added to them. Each accelerator is one, whoever uses it.
class EnergyMeter {
 public:
  virtual ~EnergyMeter() = default;
  virtual std::string_view source() const = 0;
  /// Begin a measurement; may start a sampling thread. A second start forgets the first.
  virtual void start() = 0;
  /// End it. Never throws for a device that failed in between: that is a reading with why_not.
  virtual EnergyReading stop() = 0;
};

struct FoundMeters {
  std::vector<std::unique_ptr<EnergyMeter>> meters;
  std::vector<std::string>
      why_not;  ///< for each kind of meter that is not readable: what was tried and what would help
};
/// What this machine has. Never throws.
FoundMeters find_energy_meters(const MeterPlaces& places = {});

/// Bytes that this process holds on accelerators, by NVML or DCMI; nothing where neither lists this process,
/// as in a container whose process numbers are its own.
std::optional<int64_t> device_memory_bytes(const MeterPlaces& places = {});
/// Bytes in use on all accelerators by whoever; nothing where neither library says.
std::optional<int64_t> device_memory_in_use_bytes(const MeterPlaces& places = {});

}  // namespace chaski
