#include "text/bpe.h"

#include <algorithm>
#include <functional>
#include <string>

#include "base/error.h"
#include "base/utf8.h"

namespace chaski {
namespace {

constexpr size_t kShortPiece = 192;  // bytes that are tried with room on the stack
constexpr size_t kFewParts = 64;     // up to here, looking for the best pair by a scan beats a queue

/// The parts of a piece while they merge: a doubly linked list in one array, since text of one pre-token may
/// be a gigabyte. A part from `at` to `end` keeps its end at its first place and, where it is longer than one
/// place, -(at + 1) at its last.
class PartList {
 public:
  explicit PartList(BpeScratch& s) : ids_(s.ids), links_(s.links), n_(static_cast<int32_t>(s.ids.size())) {
    links_.resize(ids_.size());
    for (int32_t i = 0; i < n_; ++i) links_[i] = i + 1;
  }

  int32_t end() const { return n_; }
  int32_t next(int32_t at) const { return links_[at]; }
  int32_t previous(int32_t at) const {
    if (at == 0) return -1;
    const int32_t link = links_[at - 1];
    return link < 0 ? -link - 1 : at - 1;
  }
  int32_t id(int32_t at) const { return ids_[at]; }  ///< -1 where no part begins any more
  /// The part at `at` and its next become one part of this id.
  void join(int32_t at, int32_t id) {
    const int32_t gone = links_[at];
    ids_[at] = id;
    ids_[gone] = -1;
    links_[at] = links_[gone];
    links_[links_[at] - 1] = -at - 1;
  }

 private:
  std::vector<int32_t>& ids_;
  std::vector<int32_t>& links_;
  int32_t n_;
};

[[noreturn]] void corrupt(std::string_view where, const std::string& message) {
  throw Error(ErrorCode::kCorrupt, "load tokenizer", fmt::format("{}: {}", where, message));
}

}  // namespace

Bpe::Bpe(PieceTable pieces, const MergeList& merges, const BpeOptions& options, std::string_view where)
    : pieces_(std::move(pieces)),
      is_of_characters_(options.byte_fallback.has_value()),
      unknown_(options.unknown) {
  for (size_t byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    byte_ids_[byte] =
        is_of_characters_ ? (*options.byte_fallback)[byte] : pieces_.find(std::string_view(&c, 1));
  }
  byte_merges_.resize(256);
  if (merges.empty()) {
    derive_merges(options.ranks);
  } else {
    load_merges(merges, where);
  }
  if (!options.takes_whole_pieces) find_whole_pieces();
}

void Bpe::find_whole_pieces() {
  is_whole_.assign(static_cast<size_t>(pieces_.size()), false);
  BpeScratch scratch;
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < pieces_.size(); ++id) {
    const std::string_view piece = pieces_.piece(id);
    if (pieces_.find(piece) != id || !is_valid_utf8(piece)) continue;  // no pre-token is that
    ids.clear();
    if (!merge_short(piece, ids)) merge_long(piece, scratch, ids);
    is_whole_[static_cast<size_t>(id)] = ids.size() == 1 && ids[0] == id;
  }
}

void Bpe::add_merge(int32_t left, int32_t right, MergeTable::Merge merge,
                    WholeCharactersBuilder& characters) {
  merges_.insert(left, right, merge);
  if (is_of_characters_) return;
  characters.see(left, right, merge.rank);
  const std::string_view left_bytes = pieces_.piece(left), right_bytes = pieces_.piece(right);
  if (left_bytes.size() != 1 || right_bytes.size() != 1) return;
  uint16_t& row = byte_rows_[static_cast<unsigned char>(left_bytes[0])];
  if (row == 0) {
    row = static_cast<uint16_t>(byte_merges_.size() >> 8);
    byte_merges_.resize(byte_merges_.size() + 256);
  }
  byte_merges_[static_cast<size_t>(row) << 8 | static_cast<unsigned char>(right_bytes[0])] = merge;
}

void Bpe::load_merges(const MergeList& merges, std::string_view where) {
  merges_ = MergeTable(merges.size());
  WholeCharactersBuilder characters(pieces_, byte_ids_);
  struct Found {
    std::array<std::string_view, 3> texts;  // left, right and both
    std::array<PieceTable::Key, 3> keys;
    std::array<int32_t, 3> ids;
  };
  // By blocks, in three steps: each asks for the memory that the next one reads.
  std::array<Found, 32> block;
  for (size_t begin = 0; begin < merges.size(); begin += block.size()) {
    const size_t n = std::min(block.size(), merges.size() - begin);
    for (size_t i = 0; i < n; ++i) {
      Found& f = block[i];
      const auto [left, right] = merges[begin + i];
      f.texts = {left, right, merges.joined(begin + i)};
      for (size_t k = 0; k < 3; ++k) {
        f.keys[k] = PieceTable::key_of(f.texts[k]);
        pieces_.prefetch(f.keys[k]);
      }
    }
    for (size_t i = 0; i < n; ++i) {
      Found& f = block[i];
      for (size_t k = 0; k < 3; ++k) {
        f.ids[k] = pieces_.find(f.texts[k], f.keys[k]);
        if (f.ids[k] >= 0) continue;
        corrupt(where,
                fmt::format("merge {} names \"{}\", which is no token", begin + i, printable(f.texts[k])));
      }
      merges_.prefetch(f.ids[0], f.ids[1]);
    }
    for (size_t i = 0; i < n; ++i) {
      const auto [left, right, joined] = block[i].ids;
      add_merge(left, right, {static_cast<uint32_t>(begin + i), joined}, characters);
    }
  }
  if (!is_of_characters_) characters_ = characters.build(merges_);
}

void Bpe::derive_merges(std::span<const uint32_t> ranks) {
  struct Found {
    int32_t left, right, id;
  };
  std::vector<Found> found;
  for (int32_t id = 0; id < pieces_.size(); ++id) {
    const std::string_view piece = pieces_.piece(id);
    if (piece.size() < 2 || pieces_.find(piece) != id) continue;
    for (size_t cut = 1; cut < piece.size(); ++cut) {
      const int32_t left = pieces_.find(piece.substr(0, cut));
      const int32_t right = left < 0 ? -1 : pieces_.find(piece.substr(cut));
      if (right >= 0) found.push_back({left, right, id});
    }
  }
  merges_ = MergeTable(found.size());
  WholeCharactersBuilder characters(pieces_, byte_ids_);
  for (const Found& f : found) {
    const uint32_t rank = ranks.empty() ? static_cast<uint32_t>(f.id) : ranks[static_cast<size_t>(f.id)];
    add_merge(f.left, f.right, {rank, f.id}, characters);
  }
  if (!is_of_characters_) characters_ = characters.build(merges_);
}

/// Calls `put(id, merge)` for each part that `piece` begins with; `merge` is that of the part before and
/// this.
template <typename Put>
void Bpe::start(std::string_view piece, Put put) const {
  if (is_of_characters_) {
    start_from_characters(piece, put);
    return;
  }
  int32_t last = -1;   // what was put last
  int last_byte = -1;  // the byte that it is, if it is one
  for (size_t at = 0; at < piece.size();) {
    const size_t n_bytes = WholeCharacters::length_of(static_cast<unsigned char>(piece[at]));
    if (n_bytes > 1 && at + n_bytes <= piece.size()) {
      if (const int32_t id = characters_.find(piece, at, n_bytes); id >= 0) {
        put(id, last < 0 ? MergeTable::Merge() : merges_.find(last, id));
        last = id;
        last_byte = -1;
        at += n_bytes;
        continue;
      }
    }
    for (const size_t end = std::min(at + n_bytes, piece.size()); at < end; ++at) {
      const char c = piece[at];
      const int32_t id = byte_id(static_cast<unsigned char>(c));
      if (id < 0) continue;
      put(id, last_byte >= 0 ? byte_merge(static_cast<char>(last_byte), c)
              : last < 0     ? MergeTable::Merge()
                             : merges_.find(last, id));
      last = id;
      last_byte = static_cast<unsigned char>(c);
    }
  }
}

template <typename Put>
void Bpe::start_from_characters(std::string_view piece, Put put) const {
  int32_t last = -1;
  const auto put_id = [&](int32_t id) {
    put(id, last < 0 ? MergeTable::Merge() : merges_.find(last, id));
    last = id;
  };
  for (size_t at = 0; at < piece.size();) {
    size_t end = at + 1;
    while (end < piece.size() && (static_cast<unsigned char>(piece[end]) & 0xC0) == 0x80) ++end;
    const std::string_view character = piece.substr(at, end - at);
    at = end;
    if (const int32_t id = pieces_.find(character); id >= 0) {
      put_id(id);
      continue;
    }
    const auto has_token = [this](char c) { return byte_id(static_cast<unsigned char>(c)) >= 0; };
    if (std::all_of(character.begin(), character.end(), has_token)) {
      for (const char c : character) put_id(byte_id(static_cast<unsigned char>(c)));
    } else if (unknown_ >= 0 && last != unknown_) {
      put_id(unknown_);
    }
  }
}

void Bpe::encode(std::string_view piece, BpeScratch& scratch, std::vector<int32_t>& ids) const {
  const int32_t id = pieces_.find(piece);
  if (id >= 0 && (is_whole_.empty() || is_whole_[static_cast<size_t>(id)])) {
    ids.push_back(id);
  } else if (!merge_short(piece, ids)) {
    merge_long(piece, scratch, ids);
  }
}

/// False, and nothing done, where the piece has too many parts for a scan.
bool Bpe::merge_short(std::string_view piece, std::vector<int32_t>& ids) const {
  if (piece.size() > kShortPiece) return false;
  std::array<int32_t, kShortPiece> parts;
  std::array<MergeTable::Merge, kShortPiece> merges;  // merges[i]: of parts[i] and parts[i + 1]
  size_t n = 0;
  start(piece, [&](int32_t id, const MergeTable::Merge& merge) {
    if (n > 0) merges[n - 1] = merge;
    parts[n++] = id;
  });
  if (n > kFewParts) return false;
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; ++i) {
      if (merges[i].rank < merges[best].rank) best = i;
    }
    if (merges[best].rank == MergeTable::kNoMerge) break;
    parts[best] = merges[best].id;
    --n;
    std::copy(parts.begin() + best + 2, parts.begin() + n + 1, parts.begin() + best + 1);
    if (best + 1 < n) {
      std::copy(merges.begin() + best + 2, merges.begin() + n, merges.begin() + best + 1);
      merges[best] = merges_.find(parts[best], parts[best + 1]);
    }
    if (best > 0) merges[best - 1] = merges_.find(parts[best - 1], parts[best]);
  }
  ids.insert(ids.end(), parts.begin(), parts.begin() + n);
  return true;
}

void Bpe::merge_long(std::string_view piece, BpeScratch& s, std::vector<int32_t>& ids) const {
  // A queue of (rank, place); an entry whose rank is no longer that of its place is stale. Once it is full
  // the stale ones go: what stays is at most one a part, so a quarter of room to spare is enough for all
  // time.
  s.ids.clear();
  s.ids.reserve(piece.size());
  s.queue.clear();
  s.queue.reserve(piece.size() + piece.size() / 4 + 16);
  const auto entry = [](uint32_t rank, int32_t at) {
    return static_cast<uint64_t>(rank) << 32 | static_cast<uint32_t>(at);
  };
  start(piece, [&](int32_t id, const MergeTable::Merge& merge) {
    if (merge.rank != MergeTable::kNoMerge) {
      s.queue.push_back(entry(merge.rank, static_cast<int32_t>(s.ids.size()) - 1));
    }
    s.ids.push_back(id);
  });
  PartList parts(s);
  const auto merge_at = [&](int32_t at) {
    const int32_t next = parts.next(at);
    return next < parts.end() ? merges_.find(parts.id(at), parts.id(next)) : MergeTable::Merge{};
  };
  const auto is_stale = [&](uint64_t e) {
    const auto at = static_cast<int32_t>(e & UINT32_MAX);
    return parts.id(at) < 0 || merge_at(at).rank != e >> 32;
  };
  const auto refresh = [&](int32_t at) {
    const uint32_t rank = merge_at(at).rank;
    if (rank == MergeTable::kNoMerge) return;
    if (s.queue.size() == s.queue.capacity()) {
      s.queue.erase(std::remove_if(s.queue.begin(), s.queue.end(), is_stale), s.queue.end());
      std::sort(s.queue.begin(), s.queue.end());  // which is a heap too
      s.queue.erase(std::unique(s.queue.begin(), s.queue.end()), s.queue.end());
    }
    s.queue.push_back(entry(rank, at));
    std::push_heap(s.queue.begin(), s.queue.end(), std::greater<>());
  };
  std::make_heap(s.queue.begin(), s.queue.end(), std::greater<>());
  while (!s.queue.empty()) {
    const uint64_t top = s.queue.front();
    std::pop_heap(s.queue.begin(), s.queue.end(), std::greater<>());
    s.queue.pop_back();
    const auto at = static_cast<int32_t>(top & UINT32_MAX);
    if (parts.id(at) < 0) continue;
    const MergeTable::Merge merge = merge_at(at);
    if (merge.rank != top >> 32) continue;
    parts.join(at, merge.id);
    refresh(at);
    if (parts.previous(at) >= 0) refresh(parts.previous(at));
  }
  for (int32_t at = 0; at < parts.end(); at = parts.next(at)) ids.push_back(parts.id(at));
}

}  // namespace chaski
