#include "backend/ascend/scratch_buffers.h"

#include <algorithm>

#include "base/error.h"

namespace chaski::ascend {

std::byte* ScratchBuffers::room(Scratch purpose, int64_t bytes) {
  Buffer& buffer = buffers_[static_cast<size_t>(purpose)];
  if (!buffer || buffer.bytes() < static_cast<size_t>(bytes)) {
    CHECK(!is_capturing_, "scratch {} grows to {} bytes while a step is captured", static_cast<int>(purpose),
          bytes);
    Buffer larger = memory_.allocate(static_cast<size_t>(bytes), "temporaries of a step");
    if (buffer) outgrown_.push_back(std::move(buffer));
    buffer = std::move(larger);
  }
  return static_cast<std::byte*>(buffer.data());
}

bool ScratchBuffers::contains(Scratch purpose, const void* data) const {
  const Buffer& buffer = buffers_[static_cast<size_t>(purpose)];
  const auto* begin = static_cast<const std::byte*>(buffer.data());
  return buffer && data >= begin && data < begin + buffer.bytes();
}

}  // namespace chaski::ascend
