// Pair merging over one pre-token, of bytes or of characters: the merge loop. Its tables are in bpe_tables.h
// and bpe_characters.h; how text is cut into pre-tokens is in split.h; special tokens and files are in
// tokenizer.h.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "text/bpe_characters.h"
#include "text/bpe_tables.h"

namespace chaski {

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
  /// Throws Error(kCorrupt) naming `where` and the entry that is wrong.
  Bpe(PieceTable pieces, const MergeList& merges, const BpeOptions& options, std::string_view where);

  const PieceTable& pieces() const { return pieces_; }
  /// The token of a single byte, or -1.
  int32_t byte_id(unsigned char byte) const { return byte_ids_[byte]; }

  /// Append the ids of one pre-token (under 2 GiB, valid UTF-8 for characters). n bytes take O(n log n) time
  /// at worst, constant stack and 18 n bytes of scratch.
  /// Bytes without a token are left out, as the reference does where a vocabulary has no unknown token.
  void encode(std::string_view piece, BpeScratch& scratch, std::vector<int32_t>& ids) const;

 private:
  void load_merges(const MergeList& merges, std::string_view where);
  void derive_merges(std::span<const uint32_t> ranks);
  void add_merge(int32_t left, int32_t right, MergeTable::Merge merge, WholeCharactersBuilder& characters);
  void find_whole_pieces();
  template <typename Put>
  void start(std::string_view piece, Put put) const;
  template <typename Put>
  void start_from_characters(std::string_view piece, Put put) const;
  bool merge_short(std::string_view piece, std::vector<int32_t>& ids) const;
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
  WholeCharacters characters_;
  std::vector<bool> is_whole_;  // [vocab] whether a pre-token that is this piece becomes this id; empty: all
};

}  // namespace chaski
