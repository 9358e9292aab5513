// Where the dynamic loader of a machine would find a library, and what else doctor's checks of accelerators
// share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "machine/machine_view.h"

namespace chaski {

/// The folders that are searched, in order: $LD_LIBRARY_PATH, what /etc/ld.so.conf names, the system's own.
std::vector<std::string> library_folders(const MachineView& view);

/// Every folder's file of that name, in order, as the paths that would be tried; of those that are links to
/// the same file, the first.
std::vector<std::string> find_libraries(const MachineView& view, std::string_view name);

/// A device on the PCI bus: numbers as sysfs writes them ("0x19e5").
struct PciDevice {
  std::string vendor, device, device_class;
};
std::vector<PciDevice> pci_devices(const MachineView& view);

/// Whether the program runs in a container, as far as files tell.
bool is_container(const MachineView& view);

}  // namespace chaski
