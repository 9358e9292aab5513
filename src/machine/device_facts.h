// What the drivers' libraries say of accelerators: names, memory, who is at work. Asked once; nothing is
// measured. Energy and this process's own memory: meters.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "machine/machine_view.h"

namespace chaski {

struct AcceleratorFacts {
  std::string name;  ///< "NVIDIA H100 80GB HBM3", "910B3"; empty where the driver does not say
  std::optional<int64_t> total_bytes, used_bytes;
  std::optional<int> busy_percent;  ///< of its arithmetic, now
  std::optional<int> temperature_c;
  std::optional<double> watts;
  std::vector<std::string> not_readable;  ///< what of these the driver refused, and why
};

struct DriverAnswer {
  std::string why_not;  ///< empty where the library answered
  std::string driver;   ///< its version; empty where it does not say
  std::vector<AcceleratorFacts> devices;
  bool is_emulated = false;  ///< by a library that stands for a driver
};

/// On this computer through libnvidia-ml.so.1 and libdcmi.so, and where the latter shows no NPU, what
/// `npu-smi info` prints; below a root, what the files nvml.json, dcmi.json and npu-smi.txt there say. Never
/// throws for what they hold.
DriverAnswer ask_nvml(const MachineView& view, const std::string& library = "libnvidia-ml.so.1");
DriverAnswer ask_dcmi(const MachineView& view, const std::string& library = "libdcmi.so");

}  // namespace chaski
