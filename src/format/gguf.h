// The container GGUF: keys with typed values, and where tensors lie. What a key means for a model is in
// gguf_checkpoint.cpp. Source: docs/sources.md#gguf.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/byte_source.h"
#include "tensor/tensor.h"

namespace chaski {

/// A value as declared; strings and arrays stay in the file until they are asked for.
struct GgufValue {
  enum class Type : uint32_t {
    kUint8,
    kInt8,
    kUint16,
    kInt16,
    kUint32,
    kInt32,
    kFloat32,
    kBool,
    kString,
    kArray,
    kUint64,
    kInt64,
    kFloat64
  };
  Type type = Type::kUint8;
  uint64_t integer = 0;  ///< integers and bool: the value, in two's complement where the type is signed
  double number = 0;     ///< floats: the value
  Type element = Type::kUint8;  ///< arrays: of what
  uint64_t count = 0;           ///< strings: bytes; arrays: elements
  uint64_t offset = 0;  ///< of the value in the file; of the first byte or element for strings and arrays
  uint64_t bytes = 0;   ///< from there on
};

struct GgufTensor {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;          ///< [rows, columns]: GGUF's own order reversed
  uint64_t offset = 0;  ///< in the file
  uint64_t bytes = 0;
};

/// The header of one GGUF file of version 2 or 3, checked: counts, lengths, types, alignment, tensors inside
/// the file and apart from each other. Throws Error(kCorrupt or kUnsupported) naming file, field and offset.
class GgufHeader {
 public:
  explicit GgufHeader(ByteSourcePtr source);

  const ByteSourcePtr& source() const { return source_; }
  uint32_t version() const { return version_; }
  const std::deque<GgufTensor>& tensors() const { return tensors_; }
  /// Every key with its value, sorted by key; keys of more than 128 bytes are checked but not kept.
  const std::map<std::string, GgufValue, std::less<>>& values() const { return values_; }
  /// As if the file had none, for parts whose keys nobody asks for.
  void drop_values() { values_.clear(); }

  // Typed reads: nothing where the key is absent; Error(kCorrupt) where its type is another. Integers of any
  // width are one type; they are never read as floats.
  std::optional<int64_t> get_int(std::string_view key) const;
  std::optional<double> get_number(std::string_view key) const;
  std::optional<bool> get_bool(std::string_view key) const;
  std::optional<std::string> get_string(std::string_view key, uint64_t max_bytes) const;
  /// Elements of the array, or nothing where the key is absent.
  std::optional<uint64_t> array_count(std::string_view key, GgufValue::Type element) const;
  std::vector<std::string> get_strings(std::string_view key, uint64_t max_count,
                                       uint64_t max_bytes_each) const;
  std::vector<int32_t> get_int32s(std::string_view key, uint64_t max_count) const;
  std::vector<float> get_float32s(std::string_view key, uint64_t max_count) const;

  [[noreturn]] void fail(std::string_view field, uint64_t offset, const std::string& message) const;

 private:
  class Parser;
  template <typename T>
  std::vector<T> get_numbers(std::string_view key, GgufValue::Type element, uint64_t max_count) const;
  const GgufValue* find(std::string_view key) const;
  [[noreturn]] void wrong_type(std::string_view key, const GgufValue& value, std::string_view expected) const;

  ByteSourcePtr source_;
  uint32_t version_ = 0;
  std::map<std::string, GgufValue, std::less<>> values_;
  std::deque<GgufTensor> tensors_;
};

}  // namespace chaski
