// The container safetensors, written; reading is in safetensors.h. Source: docs/sources.md#safetensors.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tensor/tensor.h"

namespace chaski {

/// A tensor of a safetensors file to be; only f32, f16 and bf16.
struct SafetensorsPlan {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
};

struct SafetensorsLayout {
  std::string header;             ///< the length and the JSON, padded with spaces to a multiple of 8
  std::vector<uint64_t> offsets;  ///< in the file, of each planned tensor
  uint64_t file_bytes = 0;
};

/// Lay out `tensors` in the order given, with `metadata` as the file's `__metadata__` (nothing where empty).
/// Throws Error(kUnsupported) for another dtype and Error(kCorrupt) where a size wraps.
SafetensorsLayout lay_out_safetensors(const std::map<std::string, std::string>& metadata,
                                      std::span<const SafetensorsPlan> tensors);

}  // namespace chaski
