#include "convert/gguf_metadata.h"

#include <algorithm>
#include <filesystem>
#include <vector>

#include "convert/kept_metadata.h"
#include "convert/tokenizer_to_gguf.h"
#include "format/gguf.h"
#include "format/gguf_from_model.h"

namespace chaski {
namespace {

constexpr uint32_t kQuantizationVersion = 2;  // of the block formats, all that there are

GgufMetadata copied_metadata(const Checkpoint& checkpoint) {
  const GgufHeader header(std::make_shared<FileSource>(checkpoint.path()));
  std::vector<std::pair<uint64_t, std::string_view>> keys;  // in the file's order
  for (const auto& [key, value] : header.values()) {
    if (!is_key_of_file(key)) keys.emplace_back(value.offset, key);
  }
  std::sort(keys.begin(), keys.end());
  GgufMetadata metadata;
  for (const auto& [offset, key] : keys) metadata.copy(header, key);
  return metadata;
}

/// The name of the folder, for people; of a synthetic model, what it is.
std::string model_name(const Checkpoint& checkpoint) {
  if (checkpoint.kind() == "synthetic") return checkpoint.path();
  return std::filesystem::weakly_canonical(checkpoint.path()).filename().string();
}

GgufMetadata made_metadata(const Checkpoint& checkpoint) {
  GgufMetadata metadata;
  set_shape_keys(metadata, checkpoint.config());
  set_tokenizer_keys(metadata, gguf_tokenizer_of(checkpoint), checkpoint.chat_template());
  set_sampling_keys(metadata, checkpoint.generation());
  restore_kept_metadata(checkpoint, metadata);
  if (!metadata.has("general.name")) metadata.set_string("general.name", model_name(checkpoint));
  return metadata;
}

}  // namespace

GgufMetadata gguf_metadata_of(const Checkpoint& checkpoint, uint32_t file_type) {
  GgufMetadata metadata =
      checkpoint.kind() == "gguf" ? copied_metadata(checkpoint) : made_metadata(checkpoint);
  metadata.set_uint32("general.file_type", file_type);
  metadata.set_uint32("general.quantization_version", kQuantizationVersion);
  return metadata;
}

}  // namespace chaski
