// Which kernel table runs on this machine.
#pragma once

#include <string_view>
#include <vector>

#include "backend/cpu/kernels.h"

namespace chaski::cpu {

/// Tables this machine can run, best first; the last, "scalar", runs anywhere.
const std::vector<const KernelTable*>& available_kernels();

/// The table named `isa`, or the best where it is empty. Throws Error(kUsage) where there is none.
const KernelTable& kernels_for(std::string_view isa);

}  // namespace chaski::cpu
