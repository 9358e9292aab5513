// The container safetensors: one header of JSON, then the tensors' bytes without holes. What a name means for
// a model is in hf_checkpoint.cpp. Source: docs/sources.md#safetensors.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
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

struct SafetensorsHeader {
  std::deque<SafetensorsEntry> entries;  ///< those that were wanted, sorted by name
  size_t n_tensors = 0;                  ///< of all, wanted or not
};

/// Checks all that the format promises of every tensor: sizes, types, offsets without hole or overlap,
/// nothing after the last; and keeps those whose name `is_wanted` accepts (without it: all). `n_before`
/// tensors stand in other files of the model: the limit of 200,000 is on all. Throws Error(kCorrupt) naming
/// file, tensor and offset.
SafetensorsHeader read_safetensors_header(const ByteSource& source,
                                          const std::function<bool(const std::string&)>& is_wanted = {},
                                          size_t n_before = 0);

}  // namespace chaski
