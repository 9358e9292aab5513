// Which characters pair encoding may take whole from the start, instead of merging their bytes first: a
// shortcut that changes no result. What merging is, is in bpe.h.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/bpe_tables.h"

namespace chaski {

/// Finds characters of several bytes whose own merges all come before any other merge that could touch their
/// bytes, given the bytes beside them: merging then goes on as if it had begun with their tokens.
class WholeCharacters {
 public:
  /// Knows no character.
  WholeCharacters() = default;

  /// How many bytes the character has that this byte begins; 1 for a byte that begins none.
  static size_t length_of(unsigned char byte) {
    return byte < 0xC0 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
  }

  /// The token that the character of `n_bytes` bytes at `at` of `text` (valid UTF-8) can be begun with, or
  /// -1.
  int32_t find(std::string_view text, size_t at, size_t n_bytes) const {
    const Character& c =
        pages_[page_of_[code_at(text.data() + at, n_bytes) >> 8]][code_at(text.data() + at, n_bytes) & 0xFF];
    if (c.id < 0) return -1;
    const size_t end = at + n_bytes;
    const bool is_free = (at == 0 || c.rank < edge(text[at - 1], text[at])) &&
                         (end == text.size() || c.rank < edge(text[end - 1], text[end]));
    return is_free ? c.id : -1;
  }

 private:
  friend class WholeCharactersBuilder;
  struct Character {
    int32_t id = -1;
    uint32_t rank = 0;  // the highest of the merges that make it
  };
  using Page = std::array<Character, 256>;
  using EdgeRow = std::array<uint32_t, 256>;

  static constexpr EdgeRow no_edges() {
    EdgeRow row{};
    for (uint32_t& rank : row) rank = MergeTable::kNoMerge;
    return row;
  }
  static uint32_t code_at(const char* at, size_t n_bytes) {
    const auto tail = [at](size_t i) -> uint32_t { return static_cast<unsigned char>(at[i]) & 0x3Fu; };
    const uint32_t lead = static_cast<unsigned char>(*at);
    if (n_bytes == 3) return (lead & 0x0F) << 12 | tail(1) << 6 | tail(2);
    if (n_bytes == 2) return (lead & 0x1F) << 6 | tail(1);
    return (lead & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3);
  }
  /// The lowest rank of the merges across this edge of two characters that take a part of one of them.
  uint32_t edge(char last, char first) const {
    return edges_[edge_rows_[static_cast<unsigned char>(first)]][static_cast<unsigned char>(last)];
  }

  std::array<uint16_t, 0x2000> page_of_{};  // of 256 codes, in pages_; 0 is the empty one
  std::vector<Page> pages_ = std::vector<Page>(1);
  std::array<uint16_t, 256> edge_rows_{};  // of each first byte, in edges_; 0 is the one without merges
  std::vector<EdgeRow> edges_ = std::vector<EdgeRow>(1, no_edges());
};

/// Sees every merge of a vocabulary, then makes its WholeCharacters.
class WholeCharactersBuilder {
 public:
  /// Keeps references to `pieces` and to `byte_ids`, the token of each byte or -1.
  WholeCharactersBuilder(const PieceTable& pieces, const std::array<int32_t, 256>& byte_ids);
  void see(int32_t left, int32_t right, uint32_t rank);
  /// `merges` are those that were seen.
  WholeCharacters build(const MergeTable& merges);

 private:
  /// What a piece can be at the edge of two characters.
  struct Shape {
    unsigned char first = 0, last = 0;  // bytes
    bool is_character = false;          // one of several bytes
    bool is_head = false;               // how a character begins, without its end
    bool is_tail = false;               // how a character ends, without its beginning
  };
  static Shape shape_of(std::string_view piece);
  uint32_t& edge(unsigned char last, unsigned char first);
  void put(std::string_view character, int32_t id, const MergeTable& merges);

  const PieceTable& pieces_;
  const std::array<int32_t, 256>& byte_ids_;
  std::vector<Shape> shapes_;      // [vocab]
  std::vector<uint32_t> touches_;  // [vocab] of characters: the lowest rank of the merges that take them
  WholeCharacters made_;
};

}  // namespace chaski
