// RAPL, the energy counters of Intel and AMD processors, as Linux shows them below /sys/class/powercap.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <vector>

#include "base/error.h"
#include "machine/meters_parts.h"
#include "machine/system_files.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

struct Zone {
  fs::path folder;
  std::string name;  ///< "package-0", "dram", "psys"
  double limit_watts;
  WrappingCounter counter;

  std::optional<uint64_t> energy_uj() const { return number_in(folder / "energy_uj"); }
};

/// The highest limit that the zone is held to over any window; kMostWatts where it names none.
double limit_watts_of(const fs::path& folder) {
  uint64_t most_uw = 0;
  for (int i = 0; i < 4; ++i) {
    for (const char* what : {"max_power_uw", "power_limit_uw"}) {
      most_uw = std::max(most_uw, number_in(folder / fmt::format("constraint_{}_{}", i, what)).value_or(0));
    }
  }
  return most_uw == 0 ? kMostWatts : static_cast<double>(most_uw) * 1e-6;
}

/// Zones whose energies are added up.
class RaplProbe final : public EnergyProbe {
 public:
  RaplProbe(std::string source, std::vector<Zone> zones)
      : source_(std::move(source)), zones_(std::move(zones)) {}

  std::string source() const override { return source_; }

  void begin(double at_s) override {
    why_not_.clear();
    for (Zone& zone : zones_) {
      if (const auto value = read(zone)) zone.counter.start(*value, at_s);
    }
  }

  void sample(double at_s) override {
    for (Zone& zone : zones_) {
      if (const auto value = read(zone)) zone.counter.add(*value, at_s);
    }
  }

  EnergyReading end(double at_s) override {
    sample(at_s);
    EnergyReading reading;
    double joules = 0;
    for (const Zone& zone : zones_) {
      joules += zone.counter.joules();
      if (zone.counter.may_have_missed_a_wrap() && why_not_.empty()) {
        why_not_ = fmt::format("the counter of {} may have begun again unseen: it was not read for too long",
                               zone.name);
      }
    }
    reading.why_not = why_not_;
    if (why_not_.empty()) reading.joules = joules;
    return reading;
  }

  std::chrono::milliseconds period() const override {
    std::chrono::milliseconds shortest = zones_.front().counter.period();
    for (const Zone& zone : zones_) shortest = std::min(shortest, zone.counter.period());
    return shortest;
  }

  double limit_watts() const override {
    double watts = 0;
    for (const Zone& zone : zones_) watts += zone.limit_watts;
    return watts;
  }

 private:
  std::optional<uint64_t> read(const Zone& zone) {
    const auto value = zone.energy_uj();
    if (!value) {
      why_not_ = fmt::format("the counter of {} could not be read: {}", zone.name,
                             std::error_code(errno, std::generic_category()).message());
    }
    return value;
  }

  std::string source_;
  std::vector<Zone> zones_;
  std::string why_not_;
};

/// The zones below `powercap` by name. The same zone seen through memory-mapped registers
/// ("intel-rapl-mmio:0") would count twice and is left out.
std::vector<Zone> zones_below(const fs::path& powercap) {
  std::vector<fs::path> folders;
  std::error_code ignored;
  for (fs::directory_iterator at(powercap, ignored), end; at != end; at.increment(ignored)) {
    if (at->path().filename().string().rfind("intel-rapl:", 0) == 0) folders.push_back(at->path());
  }
  std::sort(folders.begin(), folders.end());
  std::vector<Zone> zones;
  for (const fs::path& folder : folders) {
    const double limit = limit_watts_of(folder);
    const uint64_t range = number_in(folder / "max_energy_range_uj").value_or(0);
    zones.push_back({folder, printable(first_line(folder / "name").value_or("")), limit,
                     WrappingCounter(range, kLimitSlack * limit)});
  }
  return zones;
}

void add_meter(std::string source, std::vector<Zone> zones, FoundMeters& found) {
  if (zones.empty()) return;
  for (const Zone& zone : zones) {
    if (zone.energy_uj()) continue;
    const bool is_denied = errno == EACCES || errno == EPERM;
    found.why_not.push_back(
        fmt::format("{}: {}: {}{}", source, (zone.folder / "energy_uj").string(),
                    std::error_code(errno, std::generic_category()).message(),
                    is_denied ? "; to let every user read it until the next start, as root: chmod a+r "
                                "/sys/class/powercap/intel-rapl:*/energy_uj"
                              : ""));
    return;
  }
  found.meters.push_back(
      make_sampled_meter(std::make_unique<RaplProbe>(std::move(source), std::move(zones))));
}

}  // namespace

void find_rapl_meters(const fs::path& root, FoundMeters& found) {
  const fs::path powercap = root / "sys/class/powercap";
  std::vector<Zone> packages, dram, psys;
  std::string source;
  for (Zone& zone : zones_below(powercap)) {
    if (zone.name.rfind("package-", 0) == 0) {  // its cores and uncore are parts of it
      source += (source.empty() ? "rapl " : "+") + zone.name;
      packages.push_back(std::move(zone));
    } else if (zone.name == "dram") {
      dram.push_back(std::move(zone));
    } else if (zone.name == "psys") {
      psys.push_back(std::move(zone));
    }
  }
  if (packages.empty() && dram.empty() && psys.empty()) {
    found.why_not.push_back(fmt::format(
        "rapl: no energy counters of the processor in {}; virtual machines rarely show them, on real ones "
        "`modprobe intel_rapl_msr` as root may help",
        powercap.string()));
  }
  add_meter(std::move(source), std::move(packages), found);
  add_meter("rapl dram", std::move(dram), found);
  add_meter("rapl psys", std::move(psys), found);
}

}  // namespace chaski
