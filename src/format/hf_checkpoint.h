// A directory as Hugging Face lays it out, as a Checkpoint: config.json, safetensors in one file or in
// shards, tokenizer files, chat template.
#pragma once

#include <filesystem>
#include <memory>

#include "format/byte_source.h"
#include "format/checkpoint.h"

namespace chaski {

/// `digests` as in Checkpoint::open. Throws Error naming file, field and offset; files that are pickles or
/// code are never read.
std::shared_ptr<const Checkpoint> open_hf_directory(const std::filesystem::path& folder,
                                                    std::shared_ptr<const DigestMemo> digests = {});

/// The text of "chat_template" in a tokenizer_config.json: a string, or in a list of named templates the one
/// called "default". Empty where there is none.
std::string read_chat_template(const ByteSource& tokenizer_config);

}  // namespace chaski
