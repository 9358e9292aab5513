// Between the two halves of doctor's Ascend steps.
#pragma once

#include "machine/ascend_install.h"
#include "machine/device_facts.h"

namespace chaski {

struct AscendSeen {
  const MachineView& view;
  const DoctorScope& scope;
  const AscendInstall& install;
  const DriverAnswer& dcmi;
  const AscendChip* chip = nullptr;  ///< null where it is not known
};

/// Steps 7 to 12: runtime, chip, memory, operators, launches, other users.
void check_ascend_device(const AscendSeen& seen, Findings& found);

}  // namespace chaski
