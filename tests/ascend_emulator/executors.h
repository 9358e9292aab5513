// Both phases of every operator. Not here: what an operator checks and computes (op_*.cpp).
#pragma once

#include "runtime.h"

namespace ascend_emulator {

/// A tensor's handle as the first phase saw it.
struct Kept {
  const aclTensor* handle;
  uint64_t serial;
};

/// The first phase of aclnnNAME: `make` checks and plans, `tensors` are the handles among its arguments.
EMULATOR_API Status first_phase(const char* name, const std::function<Plan()>& make,
                                const std::vector<const aclTensor*>& tensors,
                                const std::vector<const aclTensorList*>& lists, uint64_t* workspace,
                                aclOpExecutor** executor) noexcept;
/// The second: queues or captures the plan's work.
EMULATOR_API Status second_phase(const char* name, void* workspace, uint64_t bytes, aclOpExecutor* executor,
                                 Stream stream) noexcept;

}  // namespace ascend_emulator

struct aclOpExecutor {
  std::string name;
  std::shared_ptr<const ascend_emulator::Plan> plan;
  std::vector<ascend_emulator::Kept> tensors;
  bool is_repeatable = false;
  uint64_t runs = 0;
};
