// A GGUF model split into several files: that they are all of it, in order. How the files are found is in
// model_folder.h.
#pragma once

#include <deque>
#include <span>

#include "format/gguf.h"

namespace chaski {

/// The headers of a model's parts, at least one. Of several parts each says by its keys which it is, of how
/// many, and how many tensors all have; keys are kept of the first alone. Throws Error(kCorrupt) naming the
/// part where one of these is wrong or a tensor stands in two.
std::deque<GgufHeader> read_gguf_parts(std::span<const ByteSourcePtr> sources);

}  // namespace chaski
