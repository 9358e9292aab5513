#include "backend/cpu/pack_index.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/checksum.h"
#include "base/error.h"

namespace chaski::cpu {
namespace {

constexpr std::array<char, 8> kMagic = {'c', 'h', 'a', 's', 'k', 'i', 'P', 'W'};
constexpr uint32_t kByteOrder = 0x01020304;
constexpr size_t kHashDigits = 64;
constexpr size_t kMaxNameBytes = 256;

struct PackHeader {
  std::array<char, 8> magic;
  uint32_t byte_order;
  uint32_t format_version;
  uint32_t layout_version;
  uint32_t index_bytes;  ///< behind this header
  uint64_t file_bytes;
  std::array<char, kHashDigits> model_hash;
  uint64_t index_checksum;
  uint64_t header_checksum;  ///< of all before it
};
static_assert(sizeof(PackHeader) == 112 && offsetof(PackHeader, header_checksum) == 104);

[[noreturn]] void refuse(ErrorCode code, const std::string& message) {
  throw Error(code, "read packed weights", message);
}

/// Takes numbers and texts off the front of the index.
class Taker {
 public:
  explicit Taker(std::span<const std::byte> bytes) : left_(bytes) {}

  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string text() {
    const auto n = number<uint32_t>();
    if (n > kMaxNameBytes) refuse(ErrorCode::kCorrupt, fmt::format("a name of {} bytes", n));
    const std::span<const std::byte> bytes = take(n);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  size_t n_left() const { return left_.size(); }

 private:
  std::span<const std::byte> take(size_t n) {
    if (n > left_.size()) refuse(ErrorCode::kCorrupt, "the index ends early");
    const auto taken = left_.first(n);
    left_ = left_.subspan(n);
    return taken;
  }
  std::span<const std::byte> left_;
};

template <typename T>
void put(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}
void put_text(std::string& bytes, std::string_view text) {
  put(bytes, static_cast<uint32_t>(text.size()));
  bytes += text;
}

PackHeader checked_header(std::span<const std::byte> beginning, uint64_t file_bytes,
                          uint32_t layout_version) {
  PackHeader header;
  if (beginning.size() < sizeof header) refuse(ErrorCode::kCorrupt, "the file ends before its header");
  std::memcpy(&header, beginning.data(), sizeof header);
  if (header.magic != kMagic) refuse(ErrorCode::kCorrupt, "not a file of packed weights");
  if (header.byte_order != kByteOrder) {
    refuse(ErrorCode::kUnsupported, "written by a machine of another byte order");
  }
  if (header.format_version != kPackFormatVersion || header.layout_version != layout_version) {
    refuse(ErrorCode::kUnsupported,
           fmt::format("written by another version: format {}, layout {}; expected {} and {}",
                       header.format_version, header.layout_version, kPackFormatVersion, layout_version));
  }
  if (header.header_checksum != checksum_of(beginning.first(offsetof(PackHeader, header_checksum)))) {
    refuse(ErrorCode::kCorrupt, "the header is damaged");
  }
  if (header.file_bytes != file_bytes || file_bytes < kPackChunk) {
    refuse(ErrorCode::kCorrupt, fmt::format("expected {} bytes, found {}", header.file_bytes, file_bytes));
  }
  if (header.index_bytes > beginning.size() - sizeof header) {
    refuse(ErrorCode::kCorrupt, "the index reaches beyond its place");
  }
  return header;
}

bool is_hash(std::string_view text) {
  return text.size() == kHashDigits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

void take_weight(Taker& taker, PackIndex& index) {
  const std::string name = taker.text();
  const std::string dtype_name = taker.text();
  PackedPlace place;
  const auto dtype = dtype_named(dtype_name);
  if (!dtype) refuse(ErrorCode::kCorrupt, fmt::format("unknown type \"{}\"", printable(dtype_name)));
  place.dtype = *dtype;
  const auto is_wide = taker.number<uint32_t>();
  if (is_wide > 1) refuse(ErrorCode::kCorrupt, fmt::format("weight {}: unknown form", printable(name)));
  place.is_wide = is_wide == 1;
  place.n_rows = taker.number<int64_t>();
  place.n_cols = taker.number<int64_t>();
  place.offset = taker.number<uint64_t>();
  place.bytes = taker.number<uint64_t>();
  const bool is_inside = place.offset >= kPackChunk && place.offset <= index.file_bytes &&
                         place.bytes <= index.file_bytes - place.offset;
  if (place.n_rows < 1 || place.n_cols < 1 || !is_inside || place.offset % kPackAlignment != 0) {
    refuse(ErrorCode::kCorrupt, fmt::format("weight {} of {} bytes at {} of {}", printable(name), place.bytes,
                                            place.offset, index.file_bytes));
  }
  if (!index.weights.emplace(name, place).second) {
    refuse(ErrorCode::kCorrupt, fmt::format("weight {} stands twice", printable(name)));
  }
}

}  // namespace

std::string encode_pack_index(const PackIndex& index, uint32_t layout_version) {
  CHECK(is_hash(index.model_hash), "\"{}\" is no hash", index.model_hash);
  std::string body;
  put(body, static_cast<uint32_t>(index.weights.size()));
  for (const auto& [name, place] : index.weights) {
    if (name.size() > kMaxNameBytes) return {};
    put_text(body, name);
    put_text(body, name_of(place.dtype));
    put(body, uint32_t{place.is_wide});
    put(body, place.n_rows);
    put(body, place.n_cols);
    put(body, place.offset);
    put(body, place.bytes);
  }
  for (const uint64_t checksum : index.checksums) put(body, checksum);
  if (body.size() > kPackChunk - sizeof(PackHeader)) return {};

  PackHeader header{};
  header.magic = kMagic;
  header.byte_order = kByteOrder;
  header.format_version = kPackFormatVersion;
  header.layout_version = layout_version;
  header.index_bytes = static_cast<uint32_t>(body.size());
  header.file_bytes = index.file_bytes;
  std::copy(index.model_hash.begin(), index.model_hash.end(), header.model_hash.begin());
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  bytes += body;
  repair_pack_checksums(std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

PackIndex decode_pack_index(std::span<const std::byte> beginning, uint64_t file_bytes,
                            uint32_t layout_version) {
  const PackHeader header = checked_header(beginning, file_bytes, layout_version);
  const auto body = beginning.subspan(sizeof header, header.index_bytes);
  if (header.index_checksum != checksum_of(body)) refuse(ErrorCode::kCorrupt, "the index is damaged");
  PackIndex index;
  index.model_hash.assign(header.model_hash.begin(), header.model_hash.end());
  if (!is_hash(index.model_hash)) refuse(ErrorCode::kCorrupt, "the model's hash is none");
  index.file_bytes = file_bytes;
  Taker taker(body);
  for (auto n = taker.number<uint32_t>(); n > 0; --n) take_weight(taker, index);
  const uint64_t n_chunks = PackIndex::n_chunks(file_bytes);
  if (taker.n_left() % sizeof(uint64_t) != 0 || taker.n_left() / sizeof(uint64_t) != n_chunks) {
    refuse(ErrorCode::kCorrupt,
           fmt::format("expected {} checksums, found {} bytes", n_chunks, taker.n_left()));
  }
  while (taker.n_left() > 0) index.checksums.push_back(taker.number<uint64_t>());
  return index;
}

void repair_pack_checksums(std::span<std::byte> beginning) {
  PackHeader header;
  if (beginning.size() < sizeof header) return;
  std::memcpy(&header, beginning.data(), sizeof header);
  const size_t body = std::min<size_t>(header.index_bytes, beginning.size() - sizeof header);
  header.index_checksum = checksum_of(beginning.subspan(sizeof header, body));
  std::memcpy(beginning.data(), &header, sizeof header);
  header.header_checksum = checksum_of(beginning.first(offsetof(PackHeader, header_checksum)));
  std::memcpy(beginning.data(), &header, sizeof header);
}

}  // namespace chaski::cpu
