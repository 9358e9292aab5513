#include "format/gguf.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <unordered_set>

#include "base/checked.h"
#include "base/error.h"
#include "base/utf8.h"
#include "format/gguf_types.h"

namespace chaski {
namespace {

using Type = GgufValue::Type;

constexpr uint64_t kMaxHeaderBytes = 256u << 20;
constexpr uint64_t kMaxKeys = 65536;
constexpr uint64_t kMaxKeyBytes = 65535;
constexpr uint64_t kMaxStringBytes = 16u << 20;
constexpr uint64_t kMaxElements = 16u << 20;
constexpr uint64_t kMaxTensors = 200000;
constexpr uint64_t kMaxNameBytes = 63;
constexpr uint64_t kMaxAlignment = 65536;
constexpr uint64_t kLeastKeyBytes = 8 + 1 + 4 + 1;  // length, one character, type, one byte of value
constexpr uint64_t kLeastTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;
/// No key that we read is longer; longer ones are checked and forgotten.
constexpr size_t kLongestKeptKey = 128;

constexpr std::array<std::string_view, 13> kTypeNames = {"uint8",  "int8",    "uint16", "int16",  "uint32",
                                                         "int32",  "float32", "bool",   "string", "array",
                                                         "uint64", "int64",   "float64"};
/// Bytes of a scalar; 0 for strings and arrays.
constexpr std::array<uint64_t, 13> kTypeBytes = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

std::string_view name_of_type(Type type) { return kTypeNames[static_cast<size_t>(type)]; }
uint64_t bytes_of_type(Type type) { return kTypeBytes[static_cast<size_t>(type)]; }
bool is_signed(Type type) {
  return type == Type::kInt8 || type == Type::kInt16 || type == Type::kInt32 || type == Type::kInt64;
}

bool has_control_bytes(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7F;
  });
}

}  // namespace

/// Walks the header once and fills in what GgufHeader keeps.
class GgufHeader::Parser {
 public:
  explicit Parser(GgufHeader& header)
      : header_(header),
        size_(header.source_->size()),
        in_(*header.source_, 0, std::min(size_, kMaxHeaderBytes)) {}

  void parse() {
    read_version();
    const uint64_t n_tensors = read<uint64_t>("tensor count");
    const uint64_t n_keys = read<uint64_t>("key count");
    check_count("tensor count", n_tensors, kMaxTensors, kLeastTensorBytes);
    check_count("key count", n_keys, kMaxKeys, kLeastKeyBytes);
    for (uint64_t i = 0; i < n_keys; ++i) read_key_value();
    read_alignment();
    for (uint64_t i = 0; i < n_tensors; ++i) read_tensor();
    place_tensors();
  }

 private:
  [[noreturn]] void fail(std::string_view field, const std::string& message) const {
    header_.fail(field, in_.offset(), message);
  }

  template <typename T>
  T read(std::string_view field) {
    std::array<std::byte, sizeof(T)> bytes;
    need(bytes.size(), field);
    in_.take(bytes);
    return std::bit_cast<T>(bytes);
  }

  void need(uint64_t n, std::string_view field) const {
    if (n <= in_.remaining()) return;
    fail(field, size_ > kMaxHeaderBytes
                    ? fmt::format("the header is longer than the {} bytes that are accepted", kMaxHeaderBytes)
                    : fmt::format("expected {} more bytes, the file has {}", n, in_.remaining()));
  }

  /// A string's bytes; its length stands before it.
  std::string read_string(std::string_view field, uint64_t max_bytes) {
    const uint64_t length = read_length(field, max_bytes);
    std::string text(static_cast<size_t>(length), '\0');
    in_.take(std::as_writable_bytes(std::span(text)));
    return text;
  }

  uint64_t read_length(std::string_view field, uint64_t max_bytes) {
    const uint64_t length = read<uint64_t>(field);
    if (length > max_bytes) {
      fail(field, fmt::format("expected a string of at most {} bytes, found length {}", max_bytes, length));
    }
    need(length, field);
    return length;
  }

  void read_version() {
    std::array<char, 4> magic{};
    need(magic.size(), "magic");
    in_.take(std::as_writable_bytes(std::span(magic)));
    if (std::string_view(magic.data(), 4) != "GGUF") {
      header_.fail("magic", 0, fmt::format("expected \"GGUF\", found \"{}\"", printable({magic.data(), 4})));
    }
    const uint32_t version = read<uint32_t>("version");
    if (version != 2 && version != 3) {
      const bool is_big_endian = version != 0 && (version & 0xFFFFu) == 0;
      throw Error(ErrorCode::kUnsupported, "read GGUF",
                  is_big_endian
                      ? fmt::format("{}: big-endian GGUF version {}, expected little-endian",
                                    header_.source_->name(), __builtin_bswap32(version))
                      : fmt::format("{}: GGUF version {}, expected 2 or 3", header_.source_->name(), version),
                  "convert the model again with a current converter");
    }
    header_.version_ = version;
  }

  void check_count(std::string_view field, uint64_t count, uint64_t most, uint64_t least_bytes) const {
    if (count > most) fail(field, fmt::format("expected at most {}, found {}", most, count));
    if (count > in_.remaining() / least_bytes) {
      fail(field, fmt::format("{} of at least {} bytes do not fit into the {} bytes left", count, least_bytes,
                              in_.remaining()));
    }
  }

  Type read_type(std::string_view field) {
    const uint32_t id = read<uint32_t>(field);
    if (id >= kTypeNames.size()) fail(field, fmt::format("expected a value type of 0 to 12, found {}", id));
    return static_cast<Type>(id);
  }

  void read_key_value() {
    const std::string key = read_string("key", kMaxKeyBytes);
    const std::string shown = printable(key);
    if (key.empty()) fail("key", "expected a name, found an empty one");
    if (has_control_bytes(key) || !is_valid_utf8(key)) fail(shown, "expected a key of printable characters");
    // By hash, so that a million long keys are not kept; a collision of two honest keys is out of reach.
    if (!key_hashes_.insert(std::hash<std::string>{}(key)).second) fail(shown, "the key stands twice");
    GgufValue value;
    value.type = read_type(shown);
    value.offset = in_.offset();
    read_value(shown, value);
    value.bytes = in_.offset() - value.offset;
    if (key.size() <= kLongestKeptKey) header_.values_.emplace(key, value);
  }

  void read_value(std::string_view key, GgufValue& value) {
    if (value.type == Type::kArray) {
      read_array(key, value);
    } else if (value.type == Type::kString) {
      value.count = read_length(key, kMaxStringBytes);
      value.offset = in_.offset();
      in_.skip(value.count);
    } else {
      read_scalar(key, value);
    }
  }

  void read_scalar(std::string_view key, GgufValue& value) {
    if (value.type == Type::kFloat32) {
      value.number = static_cast<double>(read<float>(key));
    } else if (value.type == Type::kFloat64) {
      value.number = read<double>(key);
    } else {
      const uint64_t bytes = bytes_of_type(value.type);
      need(bytes, key);
      in_.take(std::as_writable_bytes(std::span(&value.integer, 1)).first(static_cast<size_t>(bytes)));
      if (is_signed(value.type)) {
        const auto unused_bits = static_cast<int>(64 - 8 * bytes);
        value.integer =
            static_cast<uint64_t>(static_cast<int64_t>(value.integer << unused_bits) >> unused_bits);
      }
      if (value.type == Type::kBool && value.integer > 1) {
        fail(key, fmt::format("expected a bool of 0 or 1, found {}", value.integer));
      }
    }
  }

  void read_array(std::string_view key, GgufValue& value) {
    value.element = read_type(key);
    value.count = read<uint64_t>(key);
    value.offset = in_.offset();
    if (value.element == Type::kArray) fail(key, "arrays of arrays are not accepted");
    const uint64_t least_bytes = value.element == Type::kString ? 8 : bytes_of_type(value.element);
    check_count(key, value.count, kMaxElements, least_bytes);
    if (value.element == Type::kString) {
      for (uint64_t i = 0; i < value.count; ++i) in_.skip(read_length(key, kMaxStringBytes));
    } else {
      if (value.element == Type::kBool)
        check_bools(key, value.count);
      else
        in_.skip(value.count * least_bytes);  // check_count has seen that so many are left
    }
  }

  void check_bools(std::string_view key, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i, in_.advance()) {
      if (in_.peek() > 1) fail(key, fmt::format("expected a bool of 0 or 1, found {}", in_.peek()));
    }
  }

  void read_alignment() {
    const GgufValue* value = header_.find("general.alignment");
    if (value == nullptr) return;
    if (value->type != Type::kUint32) header_.wrong_type("general.alignment", *value, "uint32");
    alignment_ = value->integer;
    if (!std::has_single_bit(alignment_) || alignment_ > kMaxAlignment) {
      header_.fail("general.alignment", value->offset,
                   fmt::format("expected a power of two of 1 to {}, found {}", kMaxAlignment, alignment_));
    }
  }

  void read_tensor() {
    GgufTensor tensor;
    tensor.name = read_string("tensor name", kMaxNameBytes);
    const std::string shown = printable(tensor.name);
    if (tensor.name.empty() || has_control_bytes(tensor.name) || !is_valid_utf8(tensor.name)) {
      fail("tensor name", fmt::format("expected printable characters, found \"{}\"", shown));
    }
    const uint32_t rank = read<uint32_t>(shown);
    if (rank < 1 || rank > 4) fail(shown, fmt::format("expected 1 to 4 dimensions, found {}", rank));
    std::array<int64_t, 4> dims{};
    for (uint32_t axis = 0; axis < rank; ++axis) {
      const int64_t dim = read<int64_t>(shown);
      if (dim < 1) fail(shown, fmt::format("dimension {}: expected 1 or more, found {}", axis, dim));
      dims[axis] = dim;
    }
    tensor.dtype = read_tensor_type(shown);
    tensor.bytes = tensor_bytes(shown, tensor.dtype, dims, rank);
    tensor.shape = rank == 1   ? Shape{dims[0]}
                   : rank == 2 ? Shape{dims[1], dims[0]}
                   : rank == 3 ? Shape{dims[2], dims[1], dims[0]}
                               : Shape{dims[3], dims[2], dims[1], dims[0]};
    tensor.offset = read<uint64_t>(shown);
    if (tensor.offset % alignment_ != 0) {
      fail(shown,
           fmt::format("expected a tensor offset that {} divides, found {}", alignment_, tensor.offset));
    }
    header_.tensors_.push_back(std::move(tensor));
  }

  DType read_tensor_type(std::string_view tensor) {
    const uint32_t id = read<uint32_t>(tensor);
    const GgufTensorType* type = gguf_type_with(id);
    if (type == nullptr) fail(tensor, fmt::format("unknown tensor type {}", static_cast<int32_t>(id)));
    if (type->dtype) return *type->dtype;
    throw Error(ErrorCode::kUnsupported, "read GGUF",
                fmt::format("{}: tensor {} is stored as {}, expected {}", header_.source_->name(), tensor,
                            type->name, accepted_gguf_types()),
                "take the Q8_0, Q4_K_M or BF16 file of this model instead");
  }

  uint64_t tensor_bytes(std::string_view tensor, DType dtype, const std::array<int64_t, 4>& dims,
                        uint32_t rank) {
    const BlockFormat& format = format_of(dtype);
    if (dims[0] % format.block_elements != 0) {
      fail(tensor, fmt::format("rows of {} numbers: expected a multiple of {}, as {} needs", dims[0],
                               format.block_elements, format.name));
    }
    std::optional<int64_t> elements = dims[0];
    for (uint32_t axis = 1; axis < rank && elements; ++axis) elements = checked_mul(*elements, dims[axis]);
    std::optional<int64_t> bytes;
    if (elements) bytes = checked_mul<int64_t>(*elements / format.block_elements, format.block_bytes);
    if (bytes) bytes = checked_round_up<int64_t>(*bytes, static_cast<int64_t>(alignment_));
    if (!bytes) fail(tensor, "the tensor's size in bytes is out of range");
    return static_cast<uint64_t>(*elements / format.block_elements * format.block_bytes);
  }

  /// Offsets in the file, and the proof that all tensors lie inside it, apart and under different names.
  void place_tensors() {
    const auto begin = checked_round_up<uint64_t>(in_.offset(), alignment_);
    uint64_t total = 0;
    std::vector<const GgufTensor*> order;
    for (GgufTensor& tensor : header_.tensors_) {
      const auto at = checked_add(*begin, tensor.offset);
      const auto end = at ? checked_add(*at, tensor.bytes) : std::nullopt;
      const auto sum = checked_add(total, tensor.bytes);
      if (!end || !sum || *end > size_) {
        throw Error(
            ErrorCode::kCorrupt, "read GGUF",
            fmt::format("{}: tensor {}: expected {} bytes at offset {} of the data, the file ends at {}",
                        header_.source_->name(), printable(tensor.name), tensor.bytes, tensor.offset, size_),
            "the file is incomplete or damaged; fetch it again");
      }
      tensor.offset = *at;
      total = *sum;
      order.push_back(&tensor);
    }
    std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
    for (size_t i = 1; i < order.size(); ++i) {
      if (order[i]->offset < order[i - 1]->offset + order[i - 1]->bytes) {
        header_.fail(printable(order[i]->name), order[i]->offset,
                     fmt::format("the tensor's data overlap those of {}", printable(order[i - 1]->name)));
      }
    }
    std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) { return a->name < b->name; });
    for (size_t i = 1; i < order.size(); ++i) {
      if (order[i]->name == order[i - 1]->name) {
        header_.fail(printable(order[i]->name), order[i]->offset, "two tensors of the same name");
      }
    }
  }

  GgufHeader& header_;
  uint64_t size_;
  ForwardReader in_;
  uint64_t alignment_ = 32;
  std::unordered_set<size_t> key_hashes_;
};

GgufHeader::GgufHeader(ByteSourcePtr source) : source_(std::move(source)) {
  refuse_lfs_pointer(*source_);
  Parser(*this).parse();
}

void GgufHeader::fail(std::string_view field, uint64_t offset, const std::string& message) const {
  throw Error(ErrorCode::kCorrupt, "read GGUF",
              fmt::format("{}: {}: {} (offset {})", source_->name(), field, message, offset));
}

void GgufHeader::wrong_type(std::string_view key, const GgufValue& value, std::string_view expected) const {
  const std::string found = value.type == Type::kArray
                                ? fmt::format("array of {}", name_of_type(value.element))
                                : std::string(name_of_type(value.type));
  fail(key, value.offset, fmt::format("expected {}, found {}", expected, found));
}

const GgufValue* GgufHeader::find(std::string_view key) const {
  const auto at = values_.find(key);
  return at == values_.end() ? nullptr : &at->second;
}

std::optional<int64_t> GgufHeader::get_int(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  const bool is_integer = value->type != Type::kFloat32 && value->type != Type::kFloat64 &&
                          bytes_of_type(value->type) != 0 && value->type != Type::kBool;
  if (!is_integer) wrong_type(key, *value, "an integer");
  if (!is_signed(value->type) && value->integer > static_cast<uint64_t>(INT64_MAX)) {
    fail(key, value->offset, fmt::format("{} is out of range", value->integer));
  }
  return static_cast<int64_t>(value->integer);
}

std::optional<double> GgufHeader::get_number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != Type::kFloat32 && value->type != Type::kFloat64) wrong_type(key, *value, "a float");
  return value->number;
}

std::optional<bool> GgufHeader::get_bool(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != Type::kBool) wrong_type(key, *value, "a bool");
  return value->integer != 0;
}

std::optional<std::string> GgufHeader::get_string(std::string_view key, uint64_t max_bytes) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != Type::kString) wrong_type(key, *value, "a string");
  if (value->count > max_bytes) {
    fail(key, value->offset, fmt::format("expected at most {} bytes, found {}", max_bytes, value->count));
  }
  std::string text(static_cast<size_t>(value->count), '\0');
  source_->read_at(value->offset, std::as_writable_bytes(std::span(text)));
  return text;
}

std::optional<uint64_t> GgufHeader::array_count(std::string_view key, GgufValue::Type element) const {
  const GgufValue* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (value->type != Type::kArray || value->element != element) {
    wrong_type(key, *value, fmt::format("array of {}", name_of_type(element)));
  }
  return value->count;
}

std::vector<std::string> GgufHeader::get_strings(std::string_view key, uint64_t max_count,
                                                 uint64_t max_bytes_each) const {
  const uint64_t count = array_count(key, Type::kString).value_or(0);
  std::vector<std::string> strings;
  if (count == 0) return strings;
  const uint64_t begin = find(key)->offset;
  if (count > max_count)
    fail(key, begin, fmt::format("expected at most {} strings, found {}", max_count, count));
  strings.reserve(static_cast<size_t>(count));
  ForwardReader in(*source_, begin, source_->size());
  // The file may have changed since the header was checked: every length is checked again.
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t length = 0;
    if (in.remaining() >= 8) in.take(std::as_writable_bytes(std::span(&length, 1)));
    if (length > max_bytes_each || length > in.remaining()) {
      fail(key, in.offset(),
           fmt::format("string {}: expected at most {} bytes, found {}", i, max_bytes_each, length));
    }
    std::string text(static_cast<size_t>(length), '\0');
    in.take(std::as_writable_bytes(std::span(text)));
    strings.push_back(std::move(text));
  }
  return strings;
}

template <typename T>
std::vector<T> GgufHeader::get_numbers(std::string_view key, Type element, uint64_t max_count) const {
  const uint64_t count = array_count(key, element).value_or(0);
  if (count == 0) return {};
  const uint64_t begin = find(key)->offset;
  if (count > max_count)
    fail(key, begin, fmt::format("expected at most {} numbers, found {}", max_count, count));
  std::vector<T> numbers(static_cast<size_t>(count));
  source_->read_at(begin, std::as_writable_bytes(std::span(numbers)));
  return numbers;
}

std::vector<int32_t> GgufHeader::get_int32s(std::string_view key, uint64_t max_count) const {
  return get_numbers<int32_t>(key, Type::kInt32, max_count);
}

std::vector<float> GgufHeader::get_float32s(std::string_view key, uint64_t max_count) const {
  return get_numbers<float>(key, Type::kFloat32, max_count);
}

}  // namespace chaski
