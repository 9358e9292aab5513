// The tensor types that GGUF defines, and which of them are ours. Source: docs/sources.md#gguf.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tensor/dtype.h"

namespace chaski {

struct GgufTensorType {
  uint32_t id;                 ///< in files
  std::string_view name;       ///< "Q4_K"
  std::optional<DType> dtype;  ///< ours, where we compute with that type
};

/// Null for an id that the format does not define, or no longer.
const GgufTensorType* gguf_type_with(uint32_t id);

/// The id of a dtype in files.
uint32_t gguf_type_id(DType dtype);

/// "F32, F16, … or BF16": what files may hold.
std::string accepted_gguf_types();

}  // namespace chaski
