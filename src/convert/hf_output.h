// A model into a Hugging Face folder: config, tokenizer, template and safetensors, as transformers reads
// them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "convert/output.h"
#include "format/checkpoint.h"

namespace chaski {

struct HfOutputOptions {
  std::optional<DType>
      dtype;  ///< f32, f16 or bf16 for all; without it weights keep these, others become bf16
  uint64_t max_shard_bytes = 5'000'000'000;
};

/// Write `checkpoint` to the folder `target`, which is new or empty and appears when it is whole. Throws as
/// write_gguf does, and Error(kUnsupported) for what has no words in such a folder.
OutputReport write_hf_folder(const Checkpoint& checkpoint, const std::filesystem::path& target,
                             const HfOutputOptions& hf, const OutputOptions& options);

}  // namespace chaski
