// The files by which Linux says what the machine is, of any bytes: parts of the input between NULs, in the
// order of kFiles. Every reader takes them and throws nothing; what comes out is valid text, no count is
// below zero, and energy is a number or a reason.
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include "base/error.h"
#include "base/utf8.h"
#include "fuzz/fuzz_input.h"
#include "machine/cpu_clock.h"
#include "machine/machine_info.h"
#include "machine/meters.h"
#include "support/temporary_folder.h"

namespace {

constexpr const char* kFiles[] = {"sys/class/powercap/intel-rapl:0/name",
                                  "sys/class/powercap/intel-rapl:0/energy_uj",
                                  "sys/class/powercap/intel-rapl:0/max_energy_range_uj",
                                  "sys/class/powercap/intel-rapl:0/constraint_0_max_power_uw",
                                  "sys/class/powercap/intel-rapl:0:0/name",
                                  "sys/class/powercap/intel-rapl:0:0/energy_uj",
                                  "proc/cpuinfo",
                                  "proc/meminfo",
                                  "etc/os-release",
                                  "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
                                  "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq",
                                  "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"};

/// Made once; each input writes its files anew.
const std::filesystem::path& root() {
  static const chaski::tests::TemporaryFolder folder;
  static const bool is_made = [] {
    for (const char* file : kFiles) std::filesystem::create_directories((folder / file).parent_path());
    return true;
  }();
  CHECK(is_made, "no folders");
  return folder.path();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace chaski;
  std::string input = fuzz::text_of(data, size);
  for (const char* file : kFiles) {
    const size_t end = std::min(input.find('\0'), input.size());
    std::ofstream(root() / file, std::ios::binary) << input.substr(0, end);
    input.erase(0, end + 1);
  }
  const MachineInfo info = machine_info(root());
  for (const std::string* text : {&info.cpu, &info.os, &info.governor}) {
    CHECK(is_valid_utf8(*text) && text->size() < 1000, "a name of {} bytes", text->size());
  }
  CHECK(info.memory_bytes >= 0, "{} bytes of memory", info.memory_bytes);
  CHECK(available_memory_bytes(root()).value_or(0) >= 0, "less than no memory");
  const ClockState clock = clock_state(root());
  CHECK(std::isfinite(clock.mhz.value_or(0)) && clock.n_throttled.value_or(0) >= 0,
        "a clock that runs wrong");

  MeterPlaces places;
  places.root = root();
  places.nvml = places.dcmi = "libnone.so";
  const FoundMeters found = find_energy_meters(places);
  for (const std::string& why : found.why_not) CHECK(is_valid_utf8(why), "a reason that is no text");
  for (const auto& meter : found.meters) {
    CHECK(is_valid_utf8(meter->source()), "a source that is no text");
    meter->start();
    const EnergyReading reading = meter->stop();
    CHECK(reading.joules.has_value() == reading.why_not.empty(), "neither energy nor a reason, or both");
    CHECK(std::isfinite(reading.joules.value_or(0)) && reading.joules.value_or(0) >= 0, "{} J",
          reading.joules.value_or(0));
  }
  return 0;
}
