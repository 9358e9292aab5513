#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>

#include "base/error.h"

namespace chaski {
namespace {

constexpr size_t kShortPiece = 64;  // up to here, looking for the best pair by a scan beats a queue

uint64_t mix(uint64_t hash) {
  hash ^= hash >> 32;
  hash *= 0x9FB21C651E98DF25u;
  return hash ^ hash >> 29;
}

uint64_t hash_bytes(std::string_view bytes) {
  uint64_t hash = bytes.size() * 0x9E3779B97F4A7C15u;
  while (bytes.size() >= 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes.data(), 8);
    hash = mix(hash ^ word) + word;
    bytes.remove_prefix(8);
  }
  uint64_t word = 0;
  std::memcpy(&word, bytes.data(), bytes.size());
  return mix(mix(hash ^ word));
}

/// A power of two of which `n` entries fill at most three quarters: what stays in the cache counts for more
/// than short probes.
size_t table_size(size_t n) { return std::bit_ceil(n + n / 3 + 2); }

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
    for (size_t i = 0; i < pieces.size(); ++i) {
      const std::string& piece = pieces[i];
      if (uses[i] != use || piece.empty()) continue;
      const uint64_t hash = hash_bytes(piece);
      Slot& slot = slots_[slot_of(piece, hash)];
      if (slot.id < 0) {
        slot = {static_cast<uint32_t>(hash >> 32), static_cast<int32_t>(i)};
      } else if (use == PieceUse::kAlways) {
        corrupt(where, fmt::format("tokens {} and {} are both \"{}\"", slot.id, i, printable(piece)));
      }
    }
  }
}

std::string_view PieceTable::piece(int32_t id) const {
  const auto i = static_cast<size_t>(id);
  const uint64_t begin = i == 0 ? 0 : ends_[i - 1];
  return std::string_view(bytes_).substr(begin, ends_[i] - begin);
}

size_t PieceTable::slot_of(std::string_view bytes, uint64_t hash) const {
  const auto tag = static_cast<uint32_t>(hash >> 32);
  size_t at = hash & (slots_.size() - 1);
  while (slots_[at].id >= 0 && (slots_[at].tag != tag || piece(slots_[at].id) != bytes)) {
    at = (at + 1) & (slots_.size() - 1);
  }
  return at;
}

int32_t PieceTable::find(std::string_view bytes) const {
  return slots_[slot_of(bytes, hash_bytes(bytes))].id;
}

MergeTable::MergeTable(size_t n_merges)
    : slots_(table_size(n_merges)), may_have_(std::bit_ceil(slots_.size() / 8 + 1)) {}

uint64_t MergeTable::hash_of(int32_t left, int32_t right) const {
  const uint64_t key =
      static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  return mix(key * 0x9E3779B97F4A7C15u);
}

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

MergeTable::Merge MergeTable::find(int32_t left, int32_t right) const {
  const uint64_t hash = hash_of(left, right);
  const uint64_t bit = hash >> 32 & (may_have_.size() * 64 - 1);
  if ((may_have_[bit / 64] >> bit % 64 & 1) == 0) return {};
  return slots_[slot_of(hash, left, right)].merge;
}

Bpe::Bpe(PieceTable pieces, const Merges& merges, const BpeOptions& options, std::string_view where)
    : pieces_(std::move(pieces)),
      is_of_characters_(options.byte_fallback.has_value()),
      unknown_(options.unknown) {
  for (size_t byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    byte_ids_[byte] =
        is_of_characters_ ? (*options.byte_fallback)[byte] : pieces_.find(std::string_view(&c, 1));
  }
  if (merges.empty()) {
    derive_merges(options.ranks);
  } else {
    load_merges(merges, where);
  }
  fill_byte_merges();
  is_whole_.assign(static_cast<size_t>(pieces_.size()), true);
  if (options.takes_whole_pieces) return;
  BpeScratch scratch;
  std::vector<int32_t> ids;
  for (int32_t id = 0; id < pieces_.size(); ++id) {
    const std::string_view piece = pieces_.piece(id);
    if (pieces_.find(piece) != id) continue;
    ids.clear();
    merge_long(piece, scratch, ids);
    is_whole_[static_cast<size_t>(id)] = ids.size() == 1 && ids[0] == id;
  }
}

void Bpe::fill_byte_merges() {
  byte_merges_.resize(256);
  if (is_of_characters_) return;
  merges_.for_each([this](int32_t left, int32_t right, const MergeTable::Merge& merge) {
    const std::string_view left_bytes = pieces_.piece(left), right_bytes = pieces_.piece(right);
    if (left_bytes.size() != 1 || right_bytes.size() != 1) return;
    uint16_t& row = byte_rows_[static_cast<unsigned char>(left_bytes[0])];
    if (row == 0) {
      row = static_cast<uint16_t>(byte_merges_.size() >> 8);
      byte_merges_.resize(byte_merges_.size() + 256);
    }
    byte_merges_[static_cast<size_t>(row) << 8 | static_cast<unsigned char>(right_bytes[0])] = merge;
  });
}

void Bpe::load_merges(const Merges& merges, std::string_view where) {
  merges_ = MergeTable(merges.size());
  std::string joined;
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    joined.assign(left).append(right);
    const int32_t left_id = pieces_.find(left);
    const int32_t right_id = pieces_.find(right);
    const int32_t id = pieces_.find(joined);
    if (left_id < 0 || right_id < 0 || id < 0) {
      const std::string& unknown = left_id < 0 ? left : right_id < 0 ? right : joined;
      corrupt(where, fmt::format("merge {} names \"{}\", which is no token", rank, printable(unknown)));
    }
    merges_.insert(left_id, right_id, {static_cast<uint32_t>(rank), id});
  }
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
  for (const Found& f : found) {
    const auto id = static_cast<size_t>(f.id);
    merges_.insert(f.left, f.right, {ranks.empty() ? static_cast<uint32_t>(f.id) : ranks[id], f.id});
  }
}

/// Calls `put(id, merge)` for each part that `piece` begins with; `merge` is that of the part before and
/// this.
template <typename Put>
void Bpe::start(std::string_view piece, Put put) const {
  if (is_of_characters_) {
    start_from_characters(piece, put);
    return;
  }
  bool is_first = true;
  char last = 0;
  for (const char c : piece) {
    const int32_t id = byte_id(static_cast<unsigned char>(c));
    if (id < 0) continue;
    put(id, is_first ? MergeTable::Merge() : byte_merge(last, c));
    is_first = false;
    last = c;
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
  if (id >= 0 && is_whole_[static_cast<size_t>(id)]) {
    ids.push_back(id);
  } else if (piece.size() <= kShortPiece) {
    merge_short(piece, ids);
  } else {
    merge_long(piece, scratch, ids);
  }
}

void Bpe::merge_short(std::string_view piece, std::vector<int32_t>& ids) const {
  std::array<int32_t, kShortPiece> parts;
  std::array<MergeTable::Merge, kShortPiece> merges;  // merges[i]: of parts[i] and parts[i + 1]
  size_t n = 0;
  start(piece, [&](int32_t id, const MergeTable::Merge& merge) {
    if (n > 0) merges[n - 1] = merge;
    parts[n++] = id;
  });
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
