// A GGUF file as a Checkpoint: its keys as config and tokenizer, its tensors under Hugging Face's names and
// in Hugging Face's row order.
#pragma once

#include <memory>

#include "format/byte_source.h"
#include "format/checkpoint.h"

namespace chaski {

/// Throws Error(kCorrupt or kUnsupported) naming file, key or tensor, expected and found.
std::shared_ptr<const Checkpoint> open_gguf(ByteSourcePtr source);

}  // namespace chaski
