// Anonymous memory straight from the system.
#pragma once

#include <string_view>

#include "tensor/tensor.h"

namespace chaski::cpu {

/// At least `bytes` of zeroed pages, in large pages where the system grants them. Nothing touches them here:
/// whoever writes first pays, which may be many threads. Throws Error(kOutOfMemory) naming `what`.
Buffer allocate_pages(size_t bytes, std::string_view what);

}  // namespace chaski::cpu
