// model.safetensors.index.json: which file of a model holds which tensor.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "format/byte_source.h"

namespace chaski {

struct ShardIndex {
  std::vector<std::string> files;  ///< safe names below the model's folder, sorted, each once
  /// Tensor name and its file's place in `files`, sorted by name.
  std::vector<std::pair<std::string, uint32_t>> tensors;
};

/// Throws Error(kCorrupt) naming file and field; refuses names that lead out of the folder and anything but
/// .safetensors.
ShardIndex read_shard_index(const ByteSource& source);

}  // namespace chaski
