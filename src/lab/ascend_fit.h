// Whether a model fits an NPU and how fast it may be there, before anything is started on it: its memory by
// the driver, its speed by the time model (ascend_model.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "format/checkpoint.h"
#include "machine/doctor.h"

namespace chaski {

struct NpuQuestion {
  std::string model;  ///< as the user named it
  int64_t context = 4096;
  std::string chip;                   ///< as the driver names it, "910B3"; empty: not known
  std::optional<int64_t> free_bytes;  ///< of its memory; nothing: not known
};

/// Adds model.fit, and model.speed: modelled, where the time model knows the chip. Reads headers alone.
void check_npu_model(const Checkpoint& checkpoint, const NpuQuestion& question, Findings& found);

}  // namespace chaski
