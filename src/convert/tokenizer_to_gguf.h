// A Hugging Face tokenizer as the arrays that GGUF has for it. Reading tokenizer.json is text/'s matter.
#pragma once

#include "format/checkpoint.h"

namespace chaski {

/// The GGUF side of `checkpoint`'s tokenizer: [vocab] tokens, types and, where it has them, merges or scores;
/// ids and flags. The model's own where it comes from a GGUF file; nothing where it has no tokenizer. Throws
/// Error(kUnsupported) for a split rule without a name in GGUF, and Error(kCorrupt) where it has more tokens
/// than the embedding has rows.
TokenizerData gguf_tokenizer_of(const Checkpoint& checkpoint);

}  // namespace chaski
