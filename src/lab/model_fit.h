// Whether a model fits a device's memory and how fast reading it there can be, before any weight is read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "backend/backend.h"
#include "format/checkpoint.h"
#include "machine/doctor.h"

namespace chaski {

/// What a run of one sequence takes when its context is full.
struct MemoryPlan {
  int64_t context = 0;
  int64_t weight_bytes = 0;          ///< as the device holds them
  int64_t kv_bytes = 0;              ///< of `context` positions
  int64_t scratch_bytes = 0;         ///< of a step: activations, logits, staging
  int64_t program_bytes = 0;         ///< the program and the tokenizer
  int64_t read_bytes_per_token = 0;  ///< of weights, by a decode step
  int64_t total_bytes() const { return weight_bytes + kv_bytes + scratch_bytes + program_bytes; }
};

/// For `n_positions` of context, at most the model's. Reads the files' headers alone.
MemoryPlan plan_memory(const Checkpoint& checkpoint, const Device& device, int64_t n_positions);

struct FitQuestion {
  std::string model;  ///< as the user named it
  int64_t context = 4096;
  std::optional<int64_t> free_bytes;    ///< of the device's memory; nothing: not known
  std::optional<double> read_gb_per_s;  ///< its bandwidth; nothing: not known
};

/// Adds model.fit, and model.speed where the bandwidth is known.
void check_model(const Checkpoint& checkpoint, const Device& device, const FitQuestion& question,
                 Findings& found);

/// The fastest way in which all cores read this machine's memory, measured in well under a second.
std::optional<double> measured_read_gb_per_s(int n_threads);

}  // namespace chaski
