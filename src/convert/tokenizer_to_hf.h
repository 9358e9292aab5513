// A tokenizer in GGUF's arrays as the files of a Hugging Face folder.
#pragma once

#include <string>

#include "format/checkpoint.h"

namespace chaski {

struct HfTokenizerFiles {
  std::string tokenizer_json, tokenizer_config_json;
};

/// Files that give the same ids with transformers as `checkpoint`'s tokenizer here, with its chat template;
/// the model's own where it comes from such a folder. Throws Error(kUnsupported) naming what has no words in
/// tokenizer.json or would make it larger than 64 MiB, Error(kCorrupt) for a vocabulary no tokenizer is made
/// of.
HfTokenizerFiles hf_tokenizer_of(const Checkpoint& checkpoint);

}  // namespace chaski
