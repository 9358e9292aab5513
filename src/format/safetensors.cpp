#include "format/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <unordered_set>
#include <vector>

#include "base/checked.h"
#include "base/error.h"
#include "format/json_stream.h"

namespace chaski {
namespace {

constexpr uint64_t kMaxHeaderBytes = 100000000;
constexpr size_t kMaxTensors = 200000;
constexpr size_t kMaxNameBytes = 512;
constexpr size_t kMaxMetadataKeyBytes = 4096;
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

/// Where one tensor's bytes lie, in the data; all that is kept of those that nobody wants.
struct Range {
  uint64_t begin, bytes;
  uint64_t header_offset;   // where the header has told all of it
  SafetensorsEntry* entry;  // null where it is not kept
};

class Parser {
 public:
  Parser(const ByteSource& source, uint64_t header_end,
         const std::function<bool(const std::string&)>& is_wanted, size_t n_before)
      : source_(source), json_(source, 8, header_end), is_wanted_(is_wanted), n_before_(n_before) {}

  void parse() {
    if (json_.peek() != '{' || json_.offset() != 8) json_.fail("expected the header to begin with '{'");
    bool has_metadata = false;
    json_.read_object(kMaxNameBytes, [&](const std::string& name) {
      if (name != "__metadata__") return read_tensor(name);
      if (has_metadata) json_.fail("key \"__metadata__\" stands twice");
      has_metadata = true;
      read_metadata();
    });
    json_.expect_end();
  }

  std::vector<Range>& ranges() { return ranges_; }
  std::deque<SafetensorsEntry> take_entries() { return std::move(entries_); }

 private:
  /// Text to text; we use none of it, and do not keep it.
  void read_metadata() {
    json_.read_object(kMaxMetadataKeyBytes, [&](const std::string& key) {
      if (json_.peek() != '"') {
        json_.fail(fmt::format("__metadata__ \"{}\": expected a string", printable(key)));
      }
      json_.skip_value();
    });
  }

  void read_tensor(const std::string& name) {
    if (n_before_ + ranges_.size() >= kMaxTensors) {
      json_.fail(fmt::format("expected at most {} tensors in a model", kMaxTensors));
    }
    // By hash, so that names are not kept; a collision of two honest names is out of reach.
    if (!name_hashes_.insert(std::hash<std::string>{}(name)).second) {
      json_.fail(fmt::format("tensor \"{}\" stands twice", printable(name)));
    }
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
    SafetensorsEntry* entry = nullptr;
    if (!is_wanted_ || is_wanted_(name)) {
      entries_.push_back({name, type.name, type.dtype, shape_of(dims), range[0], *bits / 8});
      entry = &entries_.back();
    }
    ranges_.push_back({range[0], *bits / 8, json_.offset(), entry});
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
  const std::function<bool(const std::string&)>& is_wanted_;
  size_t n_before_;
  std::deque<SafetensorsEntry> entries_;  // does not move what it has
  std::vector<Range> ranges_;
  std::unordered_set<size_t> name_hashes_;
};

[[noreturn]] void fail(const ByteSource& source, const std::string& message, std::string hint = {}) {
  throw Error(ErrorCode::kCorrupt, "read safetensors", fmt::format("{}: {}", source.name(), message),
              std::move(hint));
}

std::string name_of(const Range& range) {
  return range.entry != nullptr ? fmt::format("tensor \"{}\"", printable(range.entry->name))
                                : fmt::format("the tensor before offset {}", range.header_offset);
}

/// From offsets in the data to offsets in the file, once the data are seen to be filled without hole or
/// overlap.
void place(std::vector<Range>& ranges, const ByteSource& source, uint64_t data_begin) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.bytes < b.bytes;
  });
  uint64_t expected = 0;
  for (const Range& range : ranges) {
    if (range.begin != expected) {
      fail(source, fmt::format("{} begins at offset {} of the data, expected {}: {}", name_of(range),
                               range.begin, expected, range.begin > expected ? "a hole" : "an overlap"));
    }
    expected += range.bytes;  // cannot wrap: an offset below 2^64 was read for the end
    if (range.entry != nullptr) range.entry->offset += data_begin;
  }
  const uint64_t found = source.size() - data_begin;
  if (found != expected) {
    fail(source, fmt::format("expected {} bytes of tensors after the header, found {}", expected, found),
         found < expected ? "the file is incomplete; fetch it again" : "");
  }
}

}  // namespace

SafetensorsHeader read_safetensors_header(const ByteSource& source,
                                          const std::function<bool(const std::string&)>& is_wanted,
                                          size_t n_before) {
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
  Parser parser(source, bytes.size() + length, is_wanted, n_before);
  parser.parse();
  place(parser.ranges(), source, bytes.size() + length);
  SafetensorsHeader header{parser.take_entries(), parser.ranges().size()};
  std::sort(header.entries.begin(), header.entries.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return header;
}

}  // namespace chaski
