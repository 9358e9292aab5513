#include "text/bpe_tables.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "base/error.h"

namespace chaski {
namespace {

uint64_t mix(uint64_t hash) {
  hash ^= hash >> 32;
  hash *= 0x9FB21C651E98DF25u;
  return hash ^ hash >> 29;
}

template <typename Word>
uint64_t load(const char* at) {
  Word word;
  std::memcpy(&word, at, sizeof(word));
  return word;
}

/// Up to eight bytes as a number, other bytes as another number; without reading past their end.
uint64_t word_of(std::string_view bytes) {
  const char* at = bytes.data();
  const size_t n = bytes.size();
  if (n == 8) return load<uint64_t>(at);
  if (n >= 4) return load<uint32_t>(at) | load<uint32_t>(at + n - 4) << 8 * (n - 4);
  if (n >= 2) return load<uint16_t>(at) | load<uint16_t>(at + n - 2) << 8 * (n - 2);
  return n == 0 ? 0 : static_cast<unsigned char>(*at);
}

/// A power of two of which `n` entries fill at most three quarters: what stays in the cache counts for more
/// than short probes.
size_t table_size(size_t n) { return std::bit_ceil(n + n / 3 + 2); }

}  // namespace

PieceTable::Key PieceTable::key_of(std::string_view bytes) {
  const uint64_t n = bytes.size() * 0x9E3779B97F4A7C15u;
  if (bytes.size() <= 8) {
    const uint64_t word = word_of(bytes);
    return {word, mix((word ^ n) * 0x9E3779B97F4A7C15u)};
  }
  uint64_t hash = n;
  while (bytes.size() > 8) {
    const uint64_t word = load<uint64_t>(bytes.data());
    hash = mix(hash ^ word) + word;
    bytes.remove_prefix(8);
  }
  hash = mix(mix(hash ^ word_of(bytes)));
  return {hash, hash};
}

PieceTable::PieceTable(const std::vector<std::string>& pieces, const std::vector<PieceUse>& uses,
                       std::string_view where)
    : slots_(table_size(pieces.size())) {
  CHECK(pieces.size() == uses.size(), "{} pieces, {} uses", pieces.size(), uses.size());
  size_t n_bytes = 0;
  for (const std::string& piece : pieces) n_bytes += piece.size();
  bytes_.reserve(n_bytes);
  ends_.reserve(pieces.size());
  for (const std::string& piece : pieces) {
    bytes_ += piece;
    ends_.push_back(bytes_.size());
  }
  for (const PieceUse use : {PieceUse::kAlways, PieceUse::kIfFree}) {
    std::array<Key, 32> keys{};  // of the ids to come, whose memory is asked for
    for (int32_t id = 0; id < size(); ++id) {
      const size_t in_block = static_cast<size_t>(id) % keys.size();
      for (size_t i = 0; in_block == 0 && i < keys.size() && id + static_cast<int32_t>(i) < size(); ++i) {
        keys[i] = key_of(piece(id + static_cast<int32_t>(i)));
        prefetch(keys[i]);
      }
      const std::string_view bytes = piece(id);
      if (uses[static_cast<size_t>(id)] != use || bytes.empty()) continue;
      const Key& key = keys[in_block];
      Slot& slot = slots_[slot_of(bytes, key)];
      if (slot.id < 0) {
        slot = {key.word, static_cast<uint32_t>(bytes.size()), id};
      } else if (use == PieceUse::kAlways) {
        throw Error(
            ErrorCode::kCorrupt, "load tokenizer",
            fmt::format("{}: tokens {} and {} are both \"{}\"", where, slot.id, id, printable(bytes)));
      }
    }
  }
}

size_t PieceTable::slot_of(std::string_view bytes, const Key& key) const {
  const size_t mask = slots_.size() - 1;
  for (size_t at = key.hash & mask;; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.id < 0) return at;
    if (slot.word == key.word && slot.n_bytes == bytes.size() &&
        (bytes.size() <= 8 || piece(slot.id) == bytes)) {
      return at;
    }
  }
}

MergeList::MergeList(std::initializer_list<Sides> merges) {
  for (const auto& [left, right] : merges) emplace_back(left, right);
}

MergeList::MergeList(const std::vector<std::pair<std::string, std::string>>& merges) {
  for (const auto& [left, right] : merges) emplace_back(left, right);
}

void MergeList::emplace_back(std::string_view left, std::string_view right) {
  bytes_ += left;
  ends_.push_back(bytes_.size());
  bytes_ += right;
  ends_.push_back(bytes_.size());
}

MergeList::Sides MergeList::operator[](size_t rank) const {
  const std::string_view both = joined(rank);
  const size_t n_left = both.size() - (ends_[2 * rank + 1] - ends_[2 * rank]);
  return {both.substr(0, n_left), both.substr(n_left)};
}

std::string_view MergeList::joined(size_t rank) const {
  const size_t begin = rank == 0 ? 0 : ends_[2 * rank - 1];
  return std::string_view(bytes_).substr(begin, ends_[2 * rank + 1] - begin);
}

MergeTable::MergeTable(size_t n_merges)
    : slots_(table_size(n_merges)), may_have_(std::bit_ceil(slots_.size() / 8 + 1)) {}

size_t MergeTable::slot_of(uint64_t hash, int32_t left, int32_t right) const {
  size_t at = hash & (slots_.size() - 1);
  while (slots_[at].left >= 0 && (slots_[at].left != left || slots_[at].right != right)) {
    at = (at + 1) & (slots_.size() - 1);
  }
  return at;
}

void MergeTable::insert(int32_t left, int32_t right, Merge merge) {
  const uint64_t hash = hash_of(left, right);
  slots_[slot_of(hash, left, right)] = {left, right, merge};
  const uint64_t bit = hash >> 32 & (may_have_.size() * 64 - 1);
  may_have_[bit / 64] |= uint64_t{1} << bit % 64;
}

}  // namespace chaski
