// The container GGUF, written: typed keys in order, then tensors. What the keys mean is gguf_from_model.h's
// matter; reading is in gguf.h. Source: docs/sources.md#gguf.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "format/gguf.h"
#include "tensor/tensor.h"

namespace chaski {

/// The keys of a GGUF file to be, in the order they were first set. Setting a key again replaces its value.
class GgufMetadata {
 public:
  void set_uint32(std::string_view key, uint32_t value);
  void set_uint64(std::string_view key, uint64_t value);
  void set_int32(std::string_view key, int32_t value);
  void set_float32(std::string_view key, float value);
  void set_bool(std::string_view key, bool value);
  void set_string(std::string_view key, std::string_view value);
  void set_strings(std::string_view key, std::span<const std::string> values);
  void set_int32s(std::string_view key, std::span<const int32_t> values);
  void set_float32s(std::string_view key, std::span<const float> values);
  /// A value as the format writes it: type, then value; of an array, the elements' type and count before
  /// them.
  void set_encoded(std::string_view key, std::string encoded);
  /// The value of `key` in a file that was read, byte for byte; the key must be there.
  void copy(const GgufHeader& from, std::string_view key);
  void erase(std::string_view key);
  bool has(std::string_view key) const;

  /// Key and encoded value (type, then value as the format wants it).
  const std::vector<std::pair<std::string, std::string>>& entries() const { return entries_; }

 private:
  std::vector<std::pair<std::string, std::string>> entries_;
};

/// A tensor of a GGUF file to be.
struct GgufTensorPlan {
  std::string name;  ///< as GGUF spells it
  DType dtype = DType::kF32;
  Shape shape;  ///< [rows, columns]; written in GGUF's own order, reversed
};

/// Where everything of a GGUF v3 file to be lies.
struct GgufLayout {
  std::string header;             ///< the file's first bytes: all before the first tensor, padded
  std::vector<uint64_t> offsets;  ///< in the file, of each planned tensor
  uint64_t file_bytes = 0;        ///< the last tensor padded too
};

/// Lay out `tensors` in the order given, aligned to 32. Throws Error(kCorrupt) where a size wraps, a name has
/// more than 63 bytes, or a row is no multiple of its block.
GgufLayout lay_out_gguf(const GgufMetadata& metadata, std::span<const GgufTensorPlan> tensors);

}  // namespace chaski
