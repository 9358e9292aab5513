// What operators do that their callers do not see, as far as their arguments foretell it.
#pragma once

#include <vector>

#include "backend/ascend/acl_handles.h"

namespace chaski {

struct HiddenWork {
  int copies = 0;          ///< arguments that are copied first, because they are not contiguous
  bool is_ai_cpu = false;  ///< by its types it runs on the NPU's own CPU, many times slower
};

/// `tensors`: the tensor arguments by position, null for others. docs/sources.md#ascend-binding
HiddenWork hidden_work(AclnnOp op, const std::vector<TensorArg>& tensors);

}  // namespace chaski
