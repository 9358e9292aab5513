// What the Ascend backend did, counted where it is done: read by tests and written into records.
#pragma once

#include <array>
#include <cstdint>

#include "backend/ascend/acl_api.h"

namespace chaski {

/// Counted on the thread that drives the device.
struct AscendCounters {
  int64_t launches = 0;         ///< second-phase calls of operators; those of a captured step when captured
  int64_t plans = 0;            ///< first-phase calls
  int64_t executor_hits = 0;    ///< launches that reused a kept executor
  int64_t hidden_copies = 0;    ///< inputs that an operator copies first, because they are not contiguous
  int64_t ai_cpu_launches = 0;  ///< launches predicted to run on the NPU's own CPU, by their types
  int64_t graph_replays = 0;
  int64_t copies_in = 0, bytes_in = 0;    ///< host to device
  int64_t copies_out = 0, bytes_out = 0;  ///< device to host
  int64_t device_copies = 0;              ///< within the device, asked for by this program
  int64_t host_waits = 0;  ///< times the host waited for the device: stream, event, or a full staging ring
  std::array<int64_t, kAclnnOpCount> launches_of{};  ///< by operator
};

}  // namespace chaski
