// GGUF keys that a Hugging Face folder has no file for: they travel in the `__metadata__` of its safetensors,
// as "gguf.KEY" with the typed value as JSON, and come back on the way to GGUF.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "format/checkpoint.h"
#include "format/gguf_writer.h"

namespace chaski {

/// All keys of the GGUF file that `checkpoint` comes from but those that make its tokenizer's files and those
/// that tell of the file itself; of a Hugging Face folder, what its weight files kept so. Values of more than
/// 1 MiB are left out.
std::map<std::string, std::string> kept_metadata_of(const Checkpoint& checkpoint);

/// Set what the safetensors files of `checkpoint` kept and `metadata` lacks: what the folder's own files say
/// goes before. Entries that are no such values are passed over.
void restore_kept_metadata(const Checkpoint& checkpoint, GgufMetadata& metadata);

/// One kept value as GGUF has it, type and bytes; nothing for any text that is no such value, or whose
/// numbers its type does not hold.
std::optional<std::string> gguf_value_of_kept(std::string_view text);

/// Whether a key tells of the file and not of the model: split.*, general.file_type and their like.
bool is_key_of_file(std::string_view key);

}  // namespace chaski
