#include "machine/meters.h"

#include <exception>

#include "machine/meters_parts.h"

namespace chaski {
namespace {

template <typename Find>
void guarded(FoundMeters& found, const char* kind, Find find) {
  try {
    find();
  } catch (const std::exception& error) {
    found.why_not.push_back(std::string(kind) + ": " + error.what());
  }
}

std::optional<int64_t> sum_of(std::optional<int64_t> a, std::optional<int64_t> b) {
  if (!a && !b) return std::nullopt;
  return a.value_or(0) + b.value_or(0);
}

}  // namespace

FoundMeters find_energy_meters(const MeterPlaces& places) {
  FoundMeters found;
  guarded(found, "rapl", [&] { find_rapl_meters(places.root, found); });
  guarded(found, "nvml", [&] { find_nvml_meters(places.nvml, found); });
  guarded(found, "dcmi", [&] { find_dcmi_meters(places.dcmi, found); });
  return found;
}

std::optional<int64_t> device_memory_bytes(const MeterPlaces& places) {
  return sum_of(nvml_memory(places.nvml).of_this_process, dcmi_memory(places.dcmi).of_this_process);
}

std::optional<int64_t> device_memory_in_use_bytes(const MeterPlaces& places) {
  return sum_of(nvml_memory(places.nvml).in_use, dcmi_memory(places.dcmi).in_use);
}

}  // namespace chaski
