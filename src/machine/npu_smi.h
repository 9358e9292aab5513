// What `npu-smi info` prints, read as a last resort where the driver's library does not answer.
// docs/sources.md#npu-smi
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "machine/device_facts.h"

namespace chaski {

/// The NPUs of its table, at most 64; none for a text that is no such table. Values that are not numbers, or
/// cannot be, are left out.
std::vector<AcceleratorFacts> parse_npu_smi(std::string_view text);

/// Runs the driver's own npu-smi for at most a few seconds; empty, with the reason, where it gives nothing.
std::string run_npu_smi(std::string& why_not);

}  // namespace chaski
