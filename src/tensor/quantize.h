// Rows of numbers to blocks and back at the speed of the machine: the same code as the formats' definitions,
// compiled once per instruction set, with the same bits as the result. Which blocks a number goes to is in
// dtype.h.
#pragma once

#include <string_view>

#include "tensor/dtype.h"

namespace chaski {

/// The two directions of one format on one instruction set; both as in BlockFormat, thread-safe.
struct RowCodec {
  std::string_view isa;  ///< "scalar", "avx2", "avx512"
  void (*quantize_row)(const float* values, std::byte* blocks, int64_t n);
  void (*dequantize_row)(const std::byte* blocks, float* values, int64_t n);
};

/// The fastest codec of a format that this machine runs, or that of `isa`. Throws Error(kUnsupported) for an
/// instruction set that is unknown or not here, and for i32.
RowCodec row_codec(DType dtype, std::string_view isa = {});

}  // namespace chaski
