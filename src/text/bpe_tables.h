// The tables of pair encoding: the bytes of tokens, the merges as files list them, and the merge of two ids.
// How they are used is in bpe.h.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace chaski {

/// Whether a piece can be found by its bytes. kIfFree: unless a kAlways has the same, as tokens that are
/// matched before text is split may.
enum class PieceUse : uint8_t { kAlways, kIfFree, kNever };

/// The bytes of every token, and the way back from bytes to id.
class PieceTable {
 public:
  PieceTable() = default;
  /// `uses` is [vocab]; a piece without bytes is never found. Throws Error(kCorrupt) naming `where` for two
  /// kAlways with the same bytes.
  PieceTable(const std::vector<std::string>& pieces, const std::vector<PieceUse>& uses,
             std::string_view where);

  int32_t size() const { return static_cast<int32_t>(ends_.size()); }
  std::string_view piece(int32_t id) const {
    const auto i = static_cast<size_t>(id);
    const uint64_t begin = i == 0 ? 0 : ends_[i - 1];
    return {bytes_.data() + begin, ends_[i] - begin};
  }
  int32_t find(std::string_view bytes) const { return find(bytes, key_of(bytes)); }  ///< the id, or -1

  /// Short bytes are their own key; of longer ones it is a hash.
  struct Key {
    uint64_t word;
    uint64_t hash;
  };
  static Key key_of(std::string_view bytes);
  /// The same as find(bytes) for bytes of this key; `prefetch` before it hides the wait for memory.
  int32_t find(std::string_view bytes, const Key& key) const { return slots_[slot_of(bytes, key)].id; }
  void prefetch(const Key& key) const { __builtin_prefetch(&slots_[key.hash & (slots_.size() - 1)]); }

 private:
  struct Slot {
    uint64_t word = 0;
    uint32_t n_bytes = 0;
    int32_t id = -1;
  };
  size_t slot_of(std::string_view bytes, const Key& key) const;
  std::string bytes_;           // all pieces, one after the other
  std::vector<uint64_t> ends_;  // [vocab] in bytes_
  std::vector<Slot> slots_;
};

/// Merges as raw bytes, the best first, all in one buffer.
class MergeList {
 public:
  using Sides = std::pair<std::string_view, std::string_view>;

  MergeList() = default;
  MergeList(std::initializer_list<Sides> merges);
  MergeList(const std::vector<std::pair<std::string, std::string>>& merges);

  size_t size() const { return ends_.size() / 2; }
  bool empty() const { return ends_.empty(); }
  void reserve(size_t n_merges) { ends_.reserve(2 * n_merges); }
  void emplace_back(std::string_view left, std::string_view right);
  /// Views hold until a merge is added.
  Sides operator[](size_t rank) const;
  std::string_view joined(size_t rank) const;  ///< what the merge makes

 private:
  std::string bytes_;
  std::vector<size_t> ends_;  // [2 * size] of left and right sides in bytes_
};

/// From a pair of neighbouring ids to the merge of the two.
class MergeTable {
 public:
  static constexpr uint32_t kNoMerge = UINT32_MAX;
  struct Merge {
    uint32_t rank = kNoMerge;  // lower merges first
    int32_t id = -1;           // what the pair becomes
  };

  /// Room for `n_merges`; at least one.
  explicit MergeTable(size_t n_merges = 1);
  /// A pair that is there already gets the new merge, as in the reference implementation.
  void insert(int32_t left, int32_t right, Merge merge);
  /// Hides the wait for memory from an insert or find after it.
  void prefetch(int32_t left, int32_t right) const {
    __builtin_prefetch(&slots_[hash_of(left, right) & (slots_.size() - 1)], 1);
  }
  Merge find(int32_t left, int32_t right) const {
    const uint64_t hash = hash_of(left, right);
    const uint64_t bit = hash >> 32 & (may_have_.size() * 64 - 1);
    if ((may_have_[bit / 64] >> bit % 64 & 1) == 0) return {};
    return slots_[slot_of(hash, left, right)].merge;
  }

 private:
  struct Slot {
    int32_t left = -1;
    int32_t right = -1;
    Merge merge;
  };
  static uint64_t hash_of(int32_t left, int32_t right);
  size_t slot_of(uint64_t hash, int32_t left, int32_t right) const;
  std::vector<Slot> slots_;
  // One bit per hash, 8 to 16 bits per slot: most pairs have no merge, and this stays in the cache where
  // slots do not.
  std::vector<uint64_t> may_have_;
};

inline uint64_t MergeTable::hash_of(int32_t left, int32_t right) {
  const uint64_t key =
      static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  uint64_t hash = key * 0x9E3779B97F4A7C15u;
  hash = (hash ^ hash >> 32) * 0x9FB21C651E98DF25u;
  return hash ^ hash >> 29;
}

}  // namespace chaski
