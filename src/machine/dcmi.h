// Ascend's device management library, opened at run time: what it says of NPUs, or why it does not. Only
// functions that older drivers have too; each may be missing. docs/sources.md#energy-meters
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "machine/meters_parts.h"

namespace chaski {

/// Where the library counts an NPU.
struct Npu {
  int card = 0, device = 0;
};

/// A value, or why the driver does not give it.
template <typename T>
struct DriverValue {
  std::optional<T> value;
  std::string why_not;
};

struct HbmUse {
  int64_t total_bytes = 0, used_bytes = 0;
};

class Dcmi {
 public:
  /// Null, with the reason in `why_not`, where there is no driver or it does not start.
  static std::shared_ptr<const Dcmi> open(const std::string& name, std::string& why_not);

  const std::vector<Npu>& npus() const { return npus_; }
  /// Whether the library stands for a driver that is not there.
  bool is_emulated() const { return is_emulated_; }
  std::string driver_version() const;  ///< empty where it does not say

  std::string chip_name(Npu npu) const;  ///< "910B3"; empty where it does not say
  DriverValue<double> power_watts(Npu npu) const;
  DriverValue<HbmUse> hbm(Npu npu) const;
  DriverValue<int> busy_percent(Npu npu) const;  ///< of its arithmetic, now
  DriverValue<int> temperature_c(Npu npu) const;
  /// What this process holds on `npu`; nothing where it is not listed.
  std::optional<int64_t> process_bytes(Npu npu) const;

 private:
  explicit Dcmi(std::unique_ptr<SharedLibrary> library) : library_(std::move(library)) {}
  template <typename... Args>
  int call(const char* name, Npu npu, Args... args) const;
  bool start(std::string& why_not);
  int n_npus_of(int card) const;

  std::unique_ptr<SharedLibrary> library_;
  std::vector<Npu> npus_;
  bool is_emulated_ = false;
};

}  // namespace chaski
