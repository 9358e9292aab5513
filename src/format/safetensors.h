// The container safetensors: one header of JSON, then the tensors' bytes without holes. What a name means for
// a model is in hf_checkpoint.cpp. Source: docs/sources.md#safetensors.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "format/byte_source.h"
#include "tensor/tensor.h"

namespace chaski {

struct SafetensorsEntry {
  std::string name;
  std::string_view type;       ///< as the file says: "BF16", "I64", …
  std::optional<DType> dtype;  ///< ours, where we compute with that type
  Shape shape;
  uint64_t offset = 0;  ///< in the file
  uint64_t bytes = 0;
};

/// The tensors of one file, sorted by name. Checks all that the format promises: sizes, types, offsets
/// without hole or overlap, nothing after the last. Throws Error(kCorrupt) naming file, tensor and offset.
std::deque<SafetensorsEntry> read_safetensors_header(const ByteSource& source);

}  // namespace chaski
