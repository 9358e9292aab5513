#include "format/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <vector>

#include "base/checked.h"
#include "base/error.h"
#include "format/json_stream.h"

namespace chaski {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100000000;
constexpr size_t kMaxTensors = 200000;
constexpr size_t kMaxNameBytes = 4096;
constexpr size_t kMaxRank = 8;

struct ElementType {
  std::string_view name;
  uint64_t bits;
  std::optional<DType> dtype;
};
constexpr ElementType kElementTypes[] = {
    {"F32", 32, DType::kF32},
    {"F16", 16, DType::kF16},
    {"BF16", 16, DType::kBF16},
    {"I32", 32, {}},
    {"F64", 64, {}},
    {"I64", 64, {}},
    {"U64", 64, {}},
    {"C64", 64, {}},
    {"U32", 32, {}},
    {"I16", 16, {}},
    {"U16", 16, {}},
    {"I8", 8, {}},
    {"U8", 8, {}},
    {"BOOL", 8, {}},
    {"F8_E4M3", 8, {}},
    {"F8_E5M2", 8, {}},
    {"F8_E8M0", 8, {}},
    {"F8_E4M3FNUZ", 8, {}},
    {"F8_E5M2FNUZ", 8, {}},
    {"F6_E2M3", 6, {}},
    {"F6_E3M2", 6, {}},
    {"F4", 4, {}},
};

class Parser {
 public:
  explicit Parser(const ByteSource& source, uint64_t header_end)
      : source_(source), json_(source, 8, header_end) {}

  std::deque<SafetensorsEntry> parse() {
    if (json_.peek() != '{' || json_.offset() != 8) json_.fail("expected the header to begin with '{'");
    bool has_metadata = false;
    json_.read_object(kMaxNameBytes, [&](const std::string& name) {
      if (name != "__metadata__") return read_tensor(name);
      if (has_metadata) json_.fail("key \"__metadata__\" stands twice");
      has_metadata = true;
      read_metadata();
    });
    json_.expect_end();
    return std::move(entries_);
  }

 private:
  /// Text to text; we use none of it, and do not keep it.
  void read_metadata() {
    json_.read_object(kMaxNameBytes, [&](const std::string& key) {
      if (json_.peek() != '"') {
        json_.fail(fmt::format("__metadata__ \"{}\": expected a string", printable(key)));
      }
      json_.skip_value();
    });
  }

  void read_tensor(const std::string& name) {
    if (entries_.size() == kMaxTensors) json_.fail(fmt::format("expected at most {} tensors", kMaxTensors));
    const ElementType* type = nullptr;
    std::optional<std::vector<int64_t>> shape;
    std::optional<std::array<uint64_t, 2>> range;
    json_.read_object(kMaxNameBytes, [&](const std::string& key) {
      const bool is_repeated = (key == "dtype" && type != nullptr) || (key == "shape" && shape) ||
                               (key == "data_offsets" && range);
      if (is_repeated) fail(name, fmt::format("field \"{}\" stands twice", key));
      if (key == "dtype") {
        type = read_type(name);
      } else if (key == "shape") {
        shape = read_shape(name);
      } else if (key == "data_offsets") {
        range = read_range(name);
      } else {
        fail(name, fmt::format("unknown field \"{}\"", printable(key)));
      }
    });
    for (const auto& [field, is_there] :
         {std::pair("dtype", type != nullptr), std::pair("shape", shape.has_value()),
          std::pair("data_offsets", range.has_value())}) {
      if (!is_there) fail(name, fmt::format("field \"{}\" is missing", field));
    }
    add(name, *type, *shape, *range);
  }

  const ElementType* read_type(const std::string& tensor) {
    std::string text;
    json_.read_string(text, kMaxNameBytes);
    for (const ElementType& type : kElementTypes) {
      if (type.name == text) return &type;
    }
    fail(tensor, fmt::format("unknown dtype \"{}\"", printable(text)));
  }

  std::vector<int64_t> read_shape(const std::string& tensor) {
    std::vector<int64_t> shape;
    json_.read_array([&] {
      if (shape.size() == kMaxRank) fail(tensor, fmt::format("expected at most {} dimensions", kMaxRank));
      const auto dim = checked_cast<int64_t>(json_.read_unsigned());
      if (!dim) fail(tensor, "a dimension is out of range");
      shape.push_back(*dim);
    });
    return shape;
  }

  std::array<uint64_t, 2> read_range(const std::string& tensor) {
    std::array<uint64_t, 2> range{};
    size_t n = 0;
    json_.read_array([&] {
      if (n == 2) fail(tensor, "data_offsets: expected two numbers");
      range[n++] = json_.read_unsigned();
    });
    if (n != 2) fail(tensor, "data_offsets: expected two numbers");
    if (range[0] > range[1]) {
      fail(tensor, fmt::format("data_offsets: begin {} lies after end {}", range[0], range[1]));
    }
    return range;
  }

  void add(const std::string& name, const ElementType& type, const std::vector<int64_t>& dims,
           const std::array<uint64_t, 2>& range) {
    std::optional<int64_t> elements = 1;
    for (const int64_t dim : dims) {
      if (elements) elements = checked_mul(*elements, dim);
    }
    const auto bits = elements ? checked_mul(static_cast<uint64_t>(*elements), type.bits) : std::nullopt;
    if (!bits) fail(name, "shape times dtype is out of range");
    if (*bits % 8 != 0)
      fail(name, fmt::format("{} numbers of {} bits fill no whole bytes", *elements, type.bits));
    if (range[1] - range[0] != *bits / 8) {
      fail(name, fmt::format("data_offsets span {} bytes, expected {} from shape and dtype",
                             range[1] - range[0], *bits / 8));
    }
    if (dims.size() > 4) {
      throw Error(ErrorCode::kUnsupported, "read safetensors",
                  fmt::format("{}: tensor {}: {} dimensions, at most 4 are supported", source_.name(),
                              printable(name), dims.size()));
    }
    entries_.push_back({name, type.name, type.dtype, shape_of(dims), range[0], *bits / 8});
  }

  static Shape shape_of(const std::vector<int64_t>& d) {
    switch (d.size()) {
      case 0:
        return {};
      case 1:
        return {d[0]};
      case 2:
        return {d[0], d[1]};
      case 3:
        return {d[0], d[1], d[2]};
      default:
        return {d[0], d[1], d[2], d[3]};
    }
  }

  [[noreturn]] void fail(const std::string& tensor, const std::string& message) const {
    json_.fail(fmt::format("tensor \"{}\": {}", printable(tensor), message));
  }

  const ByteSource& source_;
  JsonStream json_;
  std::deque<SafetensorsEntry> entries_;
};

[[noreturn]] void fail(const ByteSource& source, const std::string& message, std::string hint = {}) {
  throw Error(ErrorCode::kCorrupt, "read safetensors", fmt::format("{}: {}", source.name(), message),
              std::move(hint));
}

/// From offsets in the data to offsets in the file, once the data are seen to be filled without hole or
/// overlap.
void place(std::deque<SafetensorsEntry>& entries, const ByteSource& source, uint64_t data_begin) {
  std::vector<SafetensorsEntry*> order;
  for (SafetensorsEntry& entry : entries) order.push_back(&entry);
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return a->offset != b->offset ? a->offset < b->offset : a->bytes < b->bytes;
  });
  uint64_t expected = 0;
  for (SafetensorsEntry* entry : order) {
    if (entry->offset != expected) {
      fail(source, fmt::format("tensor \"{}\" begins at offset {} of the data, expected {}: {}",
                               printable(entry->name), entry->offset, expected,
                               entry->offset > expected ? "a hole" : "an overlap"));
    }
    expected += entry->bytes;  // cannot wrap: an offset below 2^64 was read for the end
    entry->offset += data_begin;
  }
  const uint64_t found = source.size() - data_begin;
  if (found != expected) {
    fail(source, fmt::format("expected {} bytes of tensors after the header, found {}", expected, found),
         found < expected ? "the file is incomplete; fetch it again" : "");
  }
}

}  // namespace

std::deque<SafetensorsEntry> read_safetensors_header(const ByteSource& source) {
  refuse_lfs_pointer(source);
  std::array<std::byte, 8> bytes;
  if (source.size() < bytes.size()) {
    fail(source, fmt::format("expected at least 8 bytes, found {}", source.size()));
  }
  source.read_at(0, bytes);
  const auto length = std::bit_cast<uint64_t>(bytes);
  if (length > kMaxHeaderBytes) {
    fail(source,
         fmt::format("header length at offset 0: expected at most {}, found {}", kMaxHeaderBytes, length));
  }
  if (length > source.size() - bytes.size()) {
    fail(source,
         fmt::format("header length at offset 0: {} bytes, the file has {} after it", length,
                     source.size() - bytes.size()),
         "the file is incomplete or is no safetensors file");
  }
  std::deque<SafetensorsEntry> entries = Parser(source, bytes.size() + length).parse();
  place(entries, source, bytes.size() + length);
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  for (size_t i = 1; i < entries.size(); ++i) {
    if (entries[i].name == entries[i - 1].name) {
      fail(source, fmt::format("tensor \"{}\" stands twice", printable(entries[i].name)));
    }
  }
  return entries;
}

}  // namespace chaski
