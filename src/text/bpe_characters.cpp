// Why a character may be taken whole. Let its own merges, alone, end in its token, R the highest rank among
// them. Until they are done, one of them is always possible, so nothing above R happens anywhere before. If
// then every merge that takes a part of the character together with what stands beside it ranks above R, none
// of them happens in time; and if every merge that takes the whole of it ranks above R too, none comes
// earlier because the character was there from the start. The first is looked up by the two bytes at each
// edge, the second is known once and for all.
#include "text/bpe_characters.h"

#include <algorithm>

#include "base/utf8.h"

namespace chaski {
namespace {

bool is_continuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

}  // namespace

WholeCharactersBuilder::Shape WholeCharactersBuilder::shape_of(std::string_view piece) {
  Shape shape;
  if (piece.empty()) return shape;
  shape.first = static_cast<unsigned char>(piece.front());
  shape.last = static_cast<unsigned char>(piece.back());
  if (shape.first < 0x80 || piece.size() > 4) return shape;
  const bool has_only_tail = std::all_of(
      piece.begin() + 1, piece.end(), [](char c) { return is_continuation(static_cast<unsigned char>(c)); });
  if (!has_only_tail) return shape;
  shape.is_tail = is_continuation(shape.first);
  shape.is_head = !shape.is_tail && piece.size() < WholeCharacters::length_of(shape.first);
  const Utf8Char c = decode_utf8(piece, 0);
  shape.is_character = c.is_valid && static_cast<size_t>(c.length) == piece.size();
  return shape;
}

WholeCharactersBuilder::WholeCharactersBuilder(const PieceTable& pieces,
                                               const std::array<int32_t, 256>& byte_ids)
    : pieces_(pieces),
      byte_ids_(byte_ids),
      touches_(static_cast<size_t>(pieces.size()), MergeTable::kNoMerge) {
  shapes_.reserve(touches_.size());
  for (int32_t id = 0; id < pieces.size(); ++id) shapes_.push_back(shape_of(pieces.piece(id)));
  // A byte without a token is left out, which makes neighbours of what the edges do not know.
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (byte_ids[byte] >= 0) continue;
    for (unsigned other = 0; other < 256; ++other) {
      edge(static_cast<unsigned char>(byte), static_cast<unsigned char>(other)) = 0;
      edge(static_cast<unsigned char>(other), static_cast<unsigned char>(byte)) = 0;
    }
  }
}

uint32_t& WholeCharactersBuilder::edge(unsigned char last, unsigned char first) {
  uint16_t& row = made_.edge_rows_[first];
  if (row == 0) {
    row = static_cast<uint16_t>(made_.edges_.size());
    made_.edges_.push_back(WholeCharacters::no_edges());
  }
  return made_.edges_[row][last];
}

void WholeCharactersBuilder::see(int32_t left, int32_t right, uint32_t rank) {
  const Shape &l = shapes_[static_cast<size_t>(left)], &r = shapes_[static_cast<size_t>(right)];
  if (r.is_head || (l.is_tail && !is_continuation(r.first))) {
    uint32_t& lowest = edge(l.last, r.first);
    lowest = std::min(lowest, rank);
  }
  if (l.is_character)
    touches_[static_cast<size_t>(left)] = std::min(touches_[static_cast<size_t>(left)], rank);
  if (r.is_character) {
    touches_[static_cast<size_t>(right)] = std::min(touches_[static_cast<size_t>(right)], rank);
  }
}

void WholeCharactersBuilder::put(std::string_view character, int32_t id, const MergeTable& merges) {
  std::array<int32_t, 4> parts{};
  size_t n = 0;
  for (const char c : character) {
    const int32_t byte_id = byte_ids_[static_cast<unsigned char>(c)];
    if (byte_id < 0) return;
    parts[n++] = byte_id;
  }
  uint32_t highest = 0;
  for (; n > 1; --n) {
    MergeTable::Merge best;
    size_t best_at = 0;
    for (size_t i = 0; i + 1 < n; ++i) {
      const MergeTable::Merge merge = merges.find(parts[i], parts[i + 1]);
      if (merge.rank < best.rank) {
        best = merge;
        best_at = i;
      }
    }
    if (best.id < 0) return;
    highest = std::max(highest, best.rank);
    parts[best_at] = best.id;
    std::copy(parts.begin() + best_at + 2, parts.begin() + n, parts.begin() + best_at + 1);
  }
  if (highest >= touches_[static_cast<size_t>(id)]) return;
  const uint32_t code = decode_utf8(character, 0).code;
  uint16_t& page = made_.page_of_[code >> 8];
  if (page == 0) {
    page = static_cast<uint16_t>(made_.pages_.size());
    made_.pages_.emplace_back();
  }
  made_.pages_[page][code & 0xFF] = {parts[0], highest};
}

WholeCharacters WholeCharactersBuilder::build(const MergeTable& merges) {
  for (int32_t id = 0; id < pieces_.size(); ++id) {
    if (!shapes_[static_cast<size_t>(id)].is_character) continue;
    const std::string_view character = pieces_.piece(id);
    if (pieces_.find(character) == id) put(character, id, merges);
  }
  return std::move(made_);
}

}  // namespace chaski
