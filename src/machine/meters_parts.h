// What the meters are made of: counters that wrap, power that is integrated, a library opened at run time,
// the thread that samples. Used by meters*.cpp and their tests alone.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "machine/meters.h"

namespace chaski {

/// The most that one processor, memory or accelerator is taken to draw where nothing says its limit.
inline constexpr double kMostWatts = 1000;
/// The mean may lie above a limit by this factor: limits are kept over a window, not at every moment.
inline constexpr double kLimitSlack = 1.2;

/// Energy by a counter that goes up to `range_uj` and begins again at 0. Times are seconds on any one clock.
class WrappingCounter {
 public:
  WrappingCounter(uint64_t range_uj, double most_watts) : range_uj_(range_uj), most_watts_(most_watts) {}
  void start(uint64_t value_uj, double at_s);
  void add(uint64_t value_uj, double at_s);
  double joules() const { return joules_; }
  /// Whether two readings lay so far apart that at `most_watts` the counter may have gone once around
  /// between.
  bool may_have_missed_a_wrap() const { return may_have_missed_; }
  /// How often to read it, so that four readings see each time around.
  std::chrono::milliseconds period() const;

 private:
  double range_s() const { return static_cast<double>(range_uj_) * 1e-6 / most_watts_; }

  uint64_t range_uj_;
  double most_watts_;
  uint64_t last_uj_ = 0;
  double last_s_ = 0, joules_ = 0;
  bool may_have_missed_ = false;
};

/// Energy by the trapezoids between samples of power.
class PowerIntegral {
 public:
  static constexpr std::chrono::milliseconds kPeriod{50};
  static constexpr double kLongestGap_s = 1;  ///< without a sample; a longer one makes the sum worthless

  void start(double at_s) { *this = PowerIntegral(at_s); }
  void add(double watts, double at_s);
  /// The sum until `at_s`, the power of the last sample holding so long; or why there is none, with the last
  /// `failure` of a sample.
  EnergyReading reading(double at_s, const std::string& failure);

  PowerIntegral() = default;

 private:
  explicit PowerIntegral(double at_s) : last_s_(at_s) {}

  double last_s_ = 0, joules_ = 0, longest_gap_s_ = 0;
  std::optional<double> last_watts_;
};

/// What a kind of meter knows to do; SampledMeter calls it, one call at a time, and none of them throws.
class EnergyProbe {
 public:
  virtual ~EnergyProbe() = default;
  virtual std::string source() const = 0;
  virtual void begin(double at_s) = 0;
  virtual void sample(double at_s) = 0;
  /// joules or why_not, and is_integrated; the gate is the caller's.
  virtual EnergyReading end(double at_s) = 0;
  /// How often `sample` is wanted after `begin`; 0: not at all.
  virtual std::chrono::milliseconds period() const = 0;
  virtual double limit_watts() const = 0;
};

std::unique_ptr<EnergyMeter> make_sampled_meter(std::unique_ptr<EnergyProbe> probe);

/// The reading, refused where its mean power is none that a device of this limit can have drawn.
EnergyReading gated(EnergyReading reading, double limit_watts);

/// A library opened at run time and closed with this object.
class SharedLibrary {
 public:
  /// Null where it cannot be opened; `why_not` then says the reason.
  static std::unique_ptr<SharedLibrary> open(const std::string& name, std::string& why_not);
  ~SharedLibrary();
  SharedLibrary(const SharedLibrary&) = delete;
  SharedLibrary& operator=(const SharedLibrary&) = delete;

  bool has(const char* name) const { return symbol(name) != nullptr; }
  /// The function of that name, null where the library lacks it.
  template <typename Function>
  Function* function(const char* name) const {
    return reinterpret_cast<Function*>(symbol(name));
  }

 private:
  explicit SharedLibrary(void* handle) : handle_(handle) {}
  void* symbol(const char* name) const;

  void* handle_;
};

void find_rapl_meters(const std::filesystem::path& root, FoundMeters& found);
void find_nvml_meters(const std::string& library, FoundMeters& found);
void find_dcmi_meters(const std::string& library, FoundMeters& found);

struct DeviceMemory {
  std::optional<int64_t> of_this_process, in_use;
};
DeviceMemory nvml_memory(const std::string& library);
DeviceMemory dcmi_memory(const std::string& library);

}  // namespace chaski
