#include "convert/kept_metadata.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <type_traits>
#include <utility>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "convert/output.h"
#include "format/gguf.h"
#include "format/json_stream.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;
using Type = GgufValue::Type;

constexpr std::string_view kPrefix = "gguf.";
constexpr uint64_t kMaxValueBytes = 1u << 20;
constexpr uint64_t kMaxTextBytes = 16 * kMaxValueBytes;  // of a value as JSON
constexpr size_t kMaxKeyBytes = 128;
constexpr size_t kMaxKept = 4096;

constexpr std::array<std::string_view, 13> kTypeNames = {"uint8",  "int8",    "uint16", "int16",  "uint32",
                                                         "int32",  "float32", "bool",   "string", "array",
                                                         "uint64", "int64",   "float64"};

std::optional<Type> type_named(std::string_view name) {
  const auto at = std::find(kTypeNames.begin(), kTypeNames.end(), name);
  if (at == kTypeNames.end()) return std::nullopt;
  return static_cast<Type>(at - kTypeNames.begin());
}

std::string_view name_of_type(Type type) { return kTypeNames[static_cast<size_t>(type)]; }

/// Calls `use` with a value of the C++ type of a number in GGUF; nothing for strings and arrays.
template <typename Use>
void with_number_type(Type type, Use use) {
  switch (type) {
    case Type::kUint8:
    case Type::kBool:
      return use(uint8_t{});
    case Type::kInt8:
      return use(int8_t{});
    case Type::kUint16:
      return use(uint16_t{});
    case Type::kInt16:
      return use(int16_t{});
    case Type::kUint32:
      return use(uint32_t{});
    case Type::kInt32:
      return use(int32_t{});
    case Type::kFloat32:
      return use(float{});
    case Type::kUint64:
      return use(uint64_t{});
    case Type::kInt64:
      return use(int64_t{});
    case Type::kFloat64:
      return use(double{});
    case Type::kString:
    case Type::kArray:
      return;
  }
}

// ---- from GGUF

/// Whether a folder's own files say it in full.
bool has_file_of_its_own(std::string_view key) {
  return key == "tokenizer.chat_template" || key == "tokenizer.ggml.tokens" ||
         key == "tokenizer.ggml.merges" || key == "tokenizer.ggml.token_type" ||
         key == "tokenizer.ggml.scores";
}

/// The next element of type `type` in `bytes`, taken off; nothing where it is cut or not to be told in JSON.
std::optional<Json> take_element(Type type, std::string_view& bytes) {
  std::optional<Json> json;
  if (type == Type::kString) {
    uint64_t length = 0;
    if (bytes.size() < sizeof length) return json;
    std::memcpy(&length, bytes.data(), sizeof length);
    bytes.remove_prefix(sizeof length);
    if (length > bytes.size() || !is_valid_utf8(bytes.substr(0, static_cast<size_t>(length)))) return json;
    json = std::string(bytes.substr(0, static_cast<size_t>(length)));
    bytes.remove_prefix(static_cast<size_t>(length));
    return json;
  }
  with_number_type(type, [&](auto number) {
    if (bytes.size() < sizeof number) return;
    std::memcpy(&number, bytes.data(), sizeof number);
    bytes.remove_prefix(sizeof number);
    if (!std::isfinite(static_cast<double>(number))) return;
    json = type == Type::kBool ? Json(number != 0) : Json(number);
  });
  return json;
}

std::optional<Json> json_of(const GgufHeader& header, const GgufValue& value) {
  std::string bytes(static_cast<size_t>(value.bytes), '\0');
  header.source()->read_at(value.offset, std::as_writable_bytes(std::span(bytes)));
  std::string_view rest = bytes;
  if (value.type == Type::kString) {
    if (!is_valid_utf8(bytes)) return std::nullopt;
    return Json{{"type", "string"}, {"value", bytes}};
  }
  if (value.type != Type::kArray) {
    const auto element = take_element(value.type, rest);
    if (!element) return std::nullopt;
    return Json{{"type", name_of_type(value.type)}, {"value", *element}};
  }
  Json elements = Json::array();
  for (uint64_t i = 0; i < value.count; ++i) {
    auto element = take_element(value.element, rest);
    if (!element) return std::nullopt;
    elements.push_back(std::move(*element));
  }
  return Json{{"type", "array"}, {"element", name_of_type(value.element)}, {"value", std::move(elements)}};
}

// ---- to GGUF

template <typename T>
std::string raw(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

/// The number as a T, where it is one and T holds it.
template <typename T>
std::optional<T> number_of(const Json& json) {
  if constexpr (std::is_floating_point_v<T>) {
    if (!json.is_number()) return std::nullopt;
    const auto number = json.get<double>();
    const bool fits = std::abs(number) <= static_cast<double>(std::numeric_limits<T>::max());
    return fits ? std::optional(static_cast<T>(number)) : std::nullopt;
  } else if (json.is_number_unsigned()) {
    const auto number = json.get<uint64_t>();
    return std::in_range<T>(number) ? std::optional(static_cast<T>(number)) : std::nullopt;
  } else if (json.is_number_integer()) {
    const auto number = json.get<int64_t>();
    return std::in_range<T>(number) ? std::optional(static_cast<T>(number)) : std::nullopt;
  }
  return std::nullopt;
}

/// The bytes of one element; nothing where the JSON is of another type.
std::optional<std::string> bytes_of(Type type, const Json& json) {
  if (type == Type::kString) {
    if (!json.is_string()) return std::nullopt;
    const auto& text = json.get_ref<const std::string&>();
    return raw<uint64_t>(text.size()) + text;
  }
  if (type == Type::kBool) {
    return json.is_boolean() ? std::optional(raw<uint8_t>(json.get<bool>() ? 1 : 0)) : std::nullopt;
  }
  std::optional<std::string> bytes;
  with_number_type(type, [&](auto number) {
    if (const auto found = number_of<decltype(number)>(json)) bytes = raw(*found);
  });
  return bytes;
}

/// `object[key]` as the name of a type, where it is one.
std::optional<Type> type_at(const Json& object, const char* key) {
  const auto at = object.find(key);
  if (at == object.end() || !at->is_string()) return std::nullopt;
  return type_named(at->get_ref<const std::string&>());
}

std::optional<std::string> encoded(const Json& kept) {
  const auto type = kept.is_object() ? type_at(kept, "type") : std::nullopt;
  if (!type || !kept.contains("value")) return std::nullopt;
  const Json& value = kept.at("value");
  if (*type != Type::kArray) {
    const auto bytes = bytes_of(*type, value);
    return bytes ? std::optional(raw(*type) + *bytes) : std::nullopt;
  }
  const auto element_type = type_at(kept, "element");
  if (!element_type || *element_type == Type::kArray || !value.is_array()) return std::nullopt;
  std::string bytes = raw(Type::kArray) + raw(*element_type) + raw<uint64_t>(value.size());
  for (const Json& element : value) {
    const auto one = bytes_of(*element_type, element);
    if (!one) return std::nullopt;
    bytes += *one;
  }
  return bytes;
}

bool is_printable_key(std::string_view key) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  return !key.empty() && key.size() <= kMaxKeyBytes && is_valid_utf8(key) &&
         std::none_of(key.begin(), key.end(), is_control);
}

/// The `__metadata__` of a safetensors file whose header was checked when the model was opened.
std::map<std::string, std::string> metadata_of(const ByteSource& source) {
  std::map<std::string, std::string> metadata;
  uint64_t length = 0;
  source.read_at(0, std::as_writable_bytes(std::span(&length, 1)));
  JsonStream json(source, sizeof length, sizeof length + std::min(length, source.size() - sizeof length));
  json.read_object(kMaxValueBytes, [&](const std::string& name) {
    if (name != "__metadata__") return json.skip_value();
    json.read_object(kMaxValueBytes, [&](const std::string& key) {
      if (!key.starts_with(kPrefix) || metadata.size() >= kMaxKept) return json.skip_value();
      json.read_string(metadata[key], kMaxTextBytes);
    });
  });
  return metadata;
}

}  // namespace

bool is_key_of_file(std::string_view key) {
  return key.starts_with("split.") || key == "general.file_type" || key == "general.quantization_version" ||
         key == "general.alignment";
}

std::optional<std::string> gguf_value_of_kept(std::string_view text) {
  try {
    return encoded(parse_json(text, "kept metadata", {.max_bytes = kMaxTextBytes}));
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::map<std::string, std::string> kept_metadata_of(const Checkpoint& checkpoint) {
  std::map<std::string, std::string> kept;
  if (checkpoint.kind() == "safetensors") {
    for (const fs::path& file : weight_files(checkpoint.path())) kept.merge(metadata_of(FileSource(file)));
  }
  if (checkpoint.kind() != "gguf") return kept;
  const GgufHeader header(std::make_shared<FileSource>(checkpoint.path()));
  for (const auto& [key, value] : header.values()) {
    if (is_key_of_file(key) || has_file_of_its_own(key) || value.bytes > kMaxValueBytes) continue;
    if (const auto json = json_of(header, value))
      kept.emplace(fmt::format("{}{}", kPrefix, key), to_json_text(*json));
  }
  return kept;
}

void restore_kept_metadata(const Checkpoint& checkpoint, GgufMetadata& metadata) {
  if (checkpoint.kind() != "safetensors") return;
  for (const auto& [name, text] : kept_metadata_of(checkpoint)) {
    const std::string_view key = std::string_view(name).substr(kPrefix.size());
    if (!is_printable_key(key) || is_key_of_file(key) || has_file_of_its_own(key) || metadata.has(key)) {
      continue;
    }
    if (auto value = gguf_value_of_kept(text)) metadata.set_encoded(key, std::move(*value));
  }
}

}  // namespace chaski
