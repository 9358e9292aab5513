// Pair merging over one pre-token, of bytes or of characters: the tables and the merge loop. How text is cut
// into pre-tokens is in split.h; special tokens and files are in tokenizer.h.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
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
  std::string_view piece(int32_t id) const;
  int32_t find(std::string_view bytes) const;  ///< the id, or -1

 private:
  struct Slot {
    uint32_t tag = 0;
    int32_t id = -1;
  };
  size_t slot_of(std::string_view bytes, uint64_t hash) const;
  std::string bytes_;           // all pieces, one after the other
  std::vector<uint64_t> ends_;  // [vocab] in bytes_
  std::vector<Slot> slots_;
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
  Merge find(int32_t left, int32_t right) const;
  /// Calls `see(left, right, merge)` for each, in no order.
  template <typename See>
  void for_each(See see) const {
    for (const Slot& slot : slots_) {
      if (slot.left >= 0) see(slot.left, slot.right, slot.merge);
    }
  }

 private:
  struct Slot {
    int32_t left = -1;
    int32_t right = -1;
    Merge merge;
  };
  uint64_t hash_of(int32_t left, int32_t right) const;
  size_t slot_of(uint64_t hash, int32_t left, int32_t right) const;
  std::vector<Slot> slots_;
  // One bit per hash, 8 to 16 bits per slot: most pairs have no merge, and this stays in the cache where
  // slots do not.
  std::vector<uint64_t> may_have_;
};

/// Buffers that a caller keeps from pre-token to pre-token, so that long ones do not allocate each time.
struct BpeScratch {
  std::vector<int32_t> ids, links;
  std::vector<uint64_t> queue;
};

/// What a vocabulary says beside its pieces and merges.
struct BpeOptions {
  /// A pre-token that is a piece becomes that id even where merging would give others.
  bool takes_whole_pieces = false;
  /// [vocab]; without merges, any two neighbours whose joined bytes are a piece merge, lower ranks first.
  /// Empty: the id is the rank.
  std::span<const uint32_t> ranks;
  /// Where given, pre-tokens are merged from characters, and this is the token of each byte of a character
  /// that has none, or -1. Else they are merged from bytes, whose tokens are pieces.
  std::optional<std::array<int32_t, 256>> byte_fallback;
  /// Stands for characters without tokens of their bytes, one for neighbouring ones; -1: they are left out.
  int32_t unknown = -1;
};

/// Pair encoding of pre-tokens. Immutable after construction; safe to share between threads.
class Bpe {
 public:
  using Merges = std::vector<std::pair<std::string, std::string>>;

  /// Throws Error(kCorrupt) naming `where` and the entry that is wrong.
  Bpe(PieceTable pieces, const Merges& merges, const BpeOptions& options, std::string_view where);

  const PieceTable& pieces() const { return pieces_; }
  /// The token of a single byte, or -1.
  int32_t byte_id(unsigned char byte) const { return byte_ids_[byte]; }

  /// Append the ids of one pre-token (under 2 GiB, valid UTF-8 for characters). n bytes take O(n log n) time
  /// at worst, constant stack and 18 n bytes of scratch.
  /// Bytes without a token are left out, as the reference does where a vocabulary has no unknown token.
  void encode(std::string_view piece, BpeScratch& scratch, std::vector<int32_t>& ids) const;

 private:
  void load_merges(const Merges& merges, std::string_view where);
  void derive_merges(std::span<const uint32_t> ranks);
  void fill_byte_merges();
  template <typename Put>
  void start(std::string_view piece, Put put) const;
  template <typename Put>
  void start_from_characters(std::string_view piece, Put put) const;
  void merge_short(std::string_view piece, std::vector<int32_t>& ids) const;
  void merge_long(std::string_view piece, BpeScratch& scratch, std::vector<int32_t>& ids) const;

  /// The merge of two neighbouring bytes of text.
  const MergeTable::Merge& byte_merge(char left, char right) const {
    const size_t row = byte_rows_[static_cast<unsigned char>(left)];
    return byte_merges_[row << 8 | static_cast<unsigned char>(right)];
  }

  PieceTable pieces_;
  MergeTable merges_;
  std::array<int32_t, 256> byte_ids_{};
  bool is_of_characters_ = false;
  int32_t unknown_ = -1;
  std::array<uint16_t, 256> byte_rows_{};       // of byte_merges_; 0 where the byte begins no merge
  std::vector<MergeTable::Merge> byte_merges_;  // [rows * 256]
  std::vector<bool> is_whole_;  // [vocab] whether a pre-token that is this piece becomes this id
};

}  // namespace chaski
