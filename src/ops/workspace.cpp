#include "ops/workspace.h"

#include <algorithm>

#include "base/checked.h"
#include "base/error.h"

namespace chaski {

Workspace::Workspace(Memory& memory, size_t bytes)
    : buffer_(memory.allocate(bytes, "a step's temporaries")) {}

TensorView Workspace::take(DType dtype, const Shape& shape) {
  TensorView view{nullptr, dtype, shape};
  const auto rounded = checked_round_up<size_t>(static_cast<size_t>(view.bytes()), 64);
  CHECK(rounded && *rounded <= buffer_.bytes() - used_,
        "workspace of {} bytes is too small for {} more after {}", buffer_.bytes(), view.bytes(), used_);
  view.data = static_cast<std::byte*>(buffer_.data()) + used_;
  used_ += *rounded;
  peak_ = std::max(peak_, used_);
  return view;
}

}  // namespace chaski
