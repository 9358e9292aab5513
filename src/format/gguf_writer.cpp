#include "format/gguf_writer.h"

#include <algorithm>

#include "base/checked.h"
#include "base/error.h"
#include "format/gguf_types.h"

namespace chaski {
namespace {

using Type = GgufValue::Type;

constexpr uint64_t kAlignment = 32;  // what readers take where no key says otherwise
constexpr std::string_view kAlignmentKey = "general.alignment";
constexpr size_t kMaxNameBytes = 63;

template <typename T>
std::string raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string raw_string(std::string_view text) { return raw<uint64_t>(text.size()).append(text); }

template <typename T>
std::string scalar(Type type, T value) {
  return raw(type) + raw(value);
}

std::string array_head(Type element, size_t count) {
  return raw(Type::kArray) + raw(element) + raw<uint64_t>(count);
}

template <typename T>
std::string array(Type element, std::span<const T> values) {
  return array_head(element, values.size())
      .append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}

void pad(std::string& bytes) { bytes.resize((bytes.size() + kAlignment - 1) / kAlignment * kAlignment); }

/// Its bytes in the file, with what follows up to the next tensor.
uint64_t padded_bytes(const GgufTensorPlan& tensor) {
  const auto bytes = checked_mul(tensor.shape.n_rows(), row_bytes(tensor.dtype, tensor.shape.last()));
  const auto unsigned_bytes = bytes ? checked_cast<uint64_t>(*bytes) : std::nullopt;
  const auto padded = unsigned_bytes ? checked_round_up(*unsigned_bytes, kAlignment) : std::nullopt;
  if (padded) return *padded;
  throw Error(ErrorCode::kCorrupt, "write GGUF",
              fmt::format("tensor {}: the size in bytes of {} is out of range", printable(tensor.name),
                          tensor.shape.to_string()));
}

std::string tensor_info(const GgufTensorPlan& tensor, uint64_t offset) {
  if (tensor.name.empty() || tensor.name.size() > kMaxNameBytes) {
    throw Error(ErrorCode::kCorrupt, "write GGUF",
                fmt::format("tensor {}: expected a name of 1 to {} bytes, found {}", printable(tensor.name),
                            kMaxNameBytes, tensor.name.size()));
  }
  std::string info = raw_string(tensor.name) + raw(static_cast<uint32_t>(tensor.shape.rank()));
  for (int axis = tensor.shape.rank(); axis-- > 0;) info += raw(tensor.shape[axis]);
  return info + raw(gguf_type_id(tensor.dtype)) + raw(offset);
}

}  // namespace

void GgufMetadata::set_uint32(std::string_view key, uint32_t value) {
  set_encoded(key, scalar(Type::kUint32, value));
}
void GgufMetadata::set_uint64(std::string_view key, uint64_t value) {
  set_encoded(key, scalar(Type::kUint64, value));
}
void GgufMetadata::set_int32(std::string_view key, int32_t value) {
  set_encoded(key, scalar(Type::kInt32, value));
}
void GgufMetadata::set_float32(std::string_view key, float value) {
  set_encoded(key, scalar(Type::kFloat32, value));
}
void GgufMetadata::set_bool(std::string_view key, bool value) {
  set_encoded(key, scalar(Type::kBool, static_cast<uint8_t>(value)));
}
void GgufMetadata::set_string(std::string_view key, std::string_view value) {
  set_encoded(key, raw(Type::kString) + raw_string(value));
}
void GgufMetadata::set_strings(std::string_view key, std::span<const std::string> values) {
  std::string encoded = array_head(Type::kString, values.size());
  for (const std::string& value : values) encoded += raw_string(value);
  set_encoded(key, std::move(encoded));
}
void GgufMetadata::set_int32s(std::string_view key, std::span<const int32_t> values) {
  set_encoded(key, array(Type::kInt32, values));
}
void GgufMetadata::set_float32s(std::string_view key, std::span<const float> values) {
  set_encoded(key, array(Type::kFloat32, values));
}

void GgufMetadata::copy(const GgufHeader& from, std::string_view key) {
  const auto at = from.values().find(key);
  CHECK(at != from.values().end(), "{}: no key {}", from.source()->name(), printable(key));
  const GgufValue& value = at->second;
  std::string encoded = raw(value.type);
  if (value.type == Type::kArray) encoded = array_head(value.element, value.count);
  if (value.type == Type::kString) encoded += raw(value.count);
  const size_t head = encoded.size();
  encoded.resize(head + static_cast<size_t>(value.bytes));
  from.source()->read_at(value.offset, std::as_writable_bytes(std::span(encoded)).subspan(head));
  set_encoded(key, std::move(encoded));
}

void GgufMetadata::erase(std::string_view key) {
  std::erase_if(entries_, [&](const auto& entry) { return entry.first == key; });
}

bool GgufMetadata::has(std::string_view key) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const auto& entry) { return entry.first == key; });
}

void GgufMetadata::set_encoded(std::string_view key, std::string encoded) {
  const auto at =
      std::find_if(entries_.begin(), entries_.end(), [&](const auto& e) { return e.first == key; });
  if (at != entries_.end()) {
    at->second = std::move(encoded);
  } else {
    entries_.emplace_back(key, std::move(encoded));
  }
}

GgufLayout lay_out_gguf(const GgufMetadata& metadata, std::span<const GgufTensorPlan> tensors) {
  GgufLayout layout;
  std::string infos;
  uint64_t data_bytes = 0;
  for (const GgufTensorPlan& tensor : tensors) {
    layout.offsets.push_back(data_bytes);
    infos += tensor_info(tensor, data_bytes);
    const auto sum = checked_add(data_bytes, padded_bytes(tensor));
    // Half of the range is left for what stands before the tensors.
    if (!sum || *sum > static_cast<uint64_t>(INT64_MAX)) {
      throw Error(ErrorCode::kCorrupt, "write GGUF",
                  fmt::format("tensor {}: the size of all tensors is out of range", printable(tensor.name)));
    }
    data_bytes = *sum;
  }
  // A file that was read may have had another alignment.
  const size_t n_keys = metadata.entries().size() - (metadata.has(kAlignmentKey) ? 1 : 0);
  layout.header = "GGUF" + raw<uint32_t>(3) + raw<uint64_t>(tensors.size()) + raw<uint64_t>(n_keys);
  for (const auto& [key, encoded] : metadata.entries()) {
    if (key != kAlignmentKey) layout.header.append(raw_string(key)).append(encoded);
  }
  layout.header += infos;
  pad(layout.header);
  for (uint64_t& offset : layout.offsets) offset += layout.header.size();
  layout.file_bytes = layout.header.size() + data_bytes;
  return layout;
}

}  // namespace chaski
