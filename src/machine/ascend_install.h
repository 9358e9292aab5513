// What is installed on an Ascend machine, by its files: chips, driver, CANN toolkits, the symbols that a
// backend takes from their libraries. docs/sources.md#ascend-doctor
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "machine/doctor.h"
#include "machine/library_search.h"
#include "machine/release.h"

namespace chaski {

/// A generation of chips.
struct AscendChip {
  std::string_view pci_device;  ///< as sysfs writes it
  std::string_view name;        ///< "Ascend910B"
  std::string_view kernels;     ///< the folder of its compiled operators
  bool is_supported = false;
};
const std::vector<AscendChip>& ascend_chips();
/// By a PCI number, or by the driver's name for it, as "910B3" or "Ascend310P3"; null for what is none.
const AscendChip* chip_of_pci(std::string_view device);
const AscendChip* chip_of_name(std::string_view name);

struct Toolkit {
  std::string path;                        ///< as the environment or its usual place names it
  std::string version;                     ///< "8.0.0", as shown()
  std::vector<std::string> architectures;  ///< that it was installed for
  std::string set_env;                     ///< the script to source; empty where there is none
};
/// In `path`; nothing where it holds none.
std::optional<Toolkit> toolkit_in(const MachineView& view, const std::string& path);
/// Those in the usual places, one of each version.
std::vector<Toolkit> installed_toolkits(const MachineView& view);

/// Which driver a series of CANN asks for.
struct DriverNeed {
  std::string_view series;  ///< "8.0"
  std::string_view oldest;  ///< older ones do not work
  std::string_view paired;  ///< released with it
};
const DriverNeed* driver_need_of(const Release& cann);

/// A symbol of CANN that a backend calls, from the backend's own tables. Empty `lost`: it cannot do without.
struct AscendSymbol {
  std::string_view library;  ///< "libascendcl": which group of libraries has it
  std::string_view name;
  Words lost;
};
const std::vector<AscendSymbol>& ascend_symbols();

struct AscendInstall {
  int n_chips = 0;                   ///< on the PCI bus
  const AscendChip* chip = nullptr;  ///< of the first; null where it is not known
  std::vector<int> nodes;            ///< numbers of /dev/davinciN, ascending
  std::string driver;                ///< its version; empty: none is installed
  std::vector<Toolkit> toolkits;
  std::string home;               ///< $ASCEND_HOME_PATH or $ASCEND_TOOLKIT_HOME
  std::optional<Toolkit> in_use;  ///< what that names
  /// Whether there is anything of Ascend here.
  bool is_there() const {
    return n_chips > 0 || !nodes.empty() || !driver.empty() || !toolkits.empty() || !home.empty();
  }
};
AscendInstall look_for_ascend(const MachineView& view);

inline constexpr const char* kAscendDriver = "/usr/local/Ascend/driver";

}  // namespace chaski
