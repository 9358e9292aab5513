// Devices by name. backends.cpp is the only file of the program that names backends.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"

namespace chaski::cli {

/// "auto", "cpu", "cuda[:N]", "ascend[:N]". Throws Error(kUsage) for other text and Error(kUnsupported) for a
/// family that this build does not have.
std::unique_ptr<Device> open_device(const std::string& name, const DeviceOptions& options);

/// The code paths of the CPU that this machine can run, best first: names for DeviceOptions::isa.
std::vector<std::string> cpu_code_paths();

}  // namespace chaski::cli
