// The metadata of a GGUF file to be: copied from the GGUF file a model comes from, or made of what its
// Hugging Face folder says.
#pragma once

#include <cstdint>

#include "format/checkpoint.h"
#include "format/gguf_writer.h"

namespace chaski {

/// All keys for a file with weights of GGUF's `file_type`. Throws Error(kUnsupported) for a tokenizer that
/// GGUF has no words for.
GgufMetadata gguf_metadata_of(const Checkpoint& checkpoint, uint32_t file_type);

}  // namespace chaski
