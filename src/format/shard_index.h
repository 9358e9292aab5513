// model.safetensors.index.json: which file of a model holds which tensor.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "format/byte_source.h"

namespace chaski {

struct ShardIndex {
  std::vector<std::string> files;  ///< safe names below the model's folder, sorted, each once
  /// Name of each wanted tensor and its file's place in `files`, sorted by name.
  std::vector<std::pair<std::string, uint32_t>> tensors;
};

/// Keeps the tensors whose name `is_wanted` accepts; without it, all. Throws Error(kCorrupt) naming file and
/// field; refuses names that lead out of the folder and anything but .safetensors.
ShardIndex read_shard_index(const ByteSource& source,
                            const std::function<bool(const std::string&)>& is_wanted = {});

}  // namespace chaski
