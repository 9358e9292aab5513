// A GGUF model as a Checkpoint: its keys as config and tokenizer, its tensors under Hugging Face's names and
// in Hugging Face's row order.
#pragma once

#include <memory>
#include <vector>

#include "format/byte_source.h"
#include "format/checkpoint.h"

namespace chaski {

/// The model of one file, or of all parts of a split one in order; the first part holds the keys. Throws
/// Error(kCorrupt or kUnsupported) naming file, key or tensor, expected and found.
std::shared_ptr<const Checkpoint> open_gguf(std::vector<ByteSourcePtr> parts);

}  // namespace chaski
