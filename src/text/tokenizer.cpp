#include "text/tokenizer.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/utf8.h"
#include "text/tokenizer_files.h"

namespace chaski {
namespace {

[[noreturn]] void corrupt(const std::string& where, const std::string& message) {
  throw Error(ErrorCode::kCorrupt, "load tokenizer", fmt::format("{}: {}", where, message));
}

/// The id of an added token as an index.
size_t checked_id(const TokenizerSpec& spec, int32_t id) {
  if (id < 0 || static_cast<size_t>(id) >= spec.pieces.size()) {
    corrupt(spec.where,
            fmt::format("added token {} is outside the vocabulary of {}", id, spec.pieces.size()));
  }
  return static_cast<size_t>(id);
}

/// Limits that hold whatever the file was. Returns which ids take part in merging.
std::vector<PieceUse> check_pieces(const TokenizerSpec& spec) {
  const size_t vocab = spec.pieces.size();
  if (vocab == 0 || vocab > Tokenizer::kMaxVocab) {
    corrupt(spec.where, fmt::format("{} tokens, expected 1 to {}", vocab, Tokenizer::kMaxVocab));
  }
  if (spec.merges.size() > Tokenizer::kMaxVocab) {
    corrupt(spec.where,
            fmt::format("{} merges, at most {} are accepted", spec.merges.size(), Tokenizer::kMaxVocab));
  }
  CHECK(spec.is_special.size() == vocab, "{} pieces, {} flags", vocab, spec.is_special.size());
  std::vector<PieceUse> uses(vocab, PieceUse::kAlways);
  for (const AddedToken& token : spec.added) {
    uses[checked_id(spec, token.id)] = token.is_matched ? PieceUse::kIfFree : PieceUse::kNever;
  }
  for (const int32_t id : spec.byte_tokens) {
    if (id >= 0) uses[static_cast<size_t>(id)] = PieceUse::kNever;
  }
  const size_t max_bytes = spec.scores.empty() ? Tokenizer::kMaxPieceBytes : Tokenizer::kMaxScoredPieceBytes;
  size_t n_unused = 0;
  for (size_t id = 0; id < vocab; ++id) {
    const std::string& piece = spec.pieces[id];
    if (spec.is_special[id]) uses[id] = PieceUse::kNever;
    if (piece.size() > max_bytes) {
      corrupt(spec.where,
              fmt::format("token {} has {} bytes, at most {} are accepted", id, piece.size(), max_bytes));
    }
    if (piece.empty()) ++n_unused;
  }
  if (n_unused > Tokenizer::kMaxUnusedIds) {
    corrupt(spec.where,
            fmt::format("{} ids have no token, at most {} are accepted", n_unused, Tokenizer::kMaxUnusedIds));
  }
  return uses;
}

bool is_character(std::string_view bytes) {
  return !bytes.empty() && static_cast<size_t>(decode_utf8(bytes, 0).length) == bytes.size();
}

/// Characters without a token are spelled in bytes before merging, in SentencePiece afterwards: there such a
/// character can be joined to a piece. Pieces that a merge makes from one are refused; it is their first or
/// their last, since one in the middle needs such a piece to get there.
void check_characters(const TokenizerSpec& spec, const std::vector<PieceUse>& uses,
                      const PieceTable& pieces) {
  const auto joins = [&pieces](std::string_view character, std::string_view rest) {
    return is_character(character) && pieces.find(character) < 0 &&
           (is_character(rest) || pieces.find(rest) >= 0);
  };
  for (size_t id = 0; id < uses.size(); ++id) {
    const std::string_view piece = spec.pieces[id];
    if (uses[id] != PieceUse::kAlways || piece.empty()) continue;
    const size_t first = static_cast<size_t>(decode_utf8(piece, 0).length);
    size_t last = piece.size() - 1;
    while (last > 0 && (static_cast<unsigned char>(piece[last]) & 0xC0) == 0x80) --last;
    if (joins(piece.substr(0, first), piece.substr(first)) ||
        joins(piece.substr(last), piece.substr(0, last))) {
      throw Error(
          ErrorCode::kUnsupported, "load tokenizer",
          fmt::format("{}: piece {} \"{}\" begins or ends with a character that has no token of its own, "
                      "which is not supported",
                      spec.where, id, printable(piece)));
    }
  }
}

PieceTable make_pieces(const TokenizerSpec& spec) {
  const std::vector<PieceUse> uses = check_pieces(spec);
  PieceTable pieces(spec.pieces, uses, spec.where);
  if (spec.is_of_characters && !spec.scores.empty()) check_characters(spec, uses, pieces);
  return pieces;
}

/// Scores as ranks: the highest is 0, equal ones are equal.
std::vector<uint32_t> ranks_of_scores(const TokenizerSpec& spec) {
  if (spec.scores.empty()) return {};
  CHECK(spec.scores.size() == spec.pieces.size(), "{} pieces, {} scores", spec.pieces.size(),
        spec.scores.size());
  std::vector<float> sorted = spec.scores;
  for (size_t id = 0; id < sorted.size(); ++id) {
    if (std::isnan(sorted[id])) corrupt(spec.where, fmt::format("the score of token {} is no number", id));
  }
  std::sort(sorted.begin(), sorted.end(), std::greater<>());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  std::vector<uint32_t> ranks;
  ranks.reserve(spec.scores.size());
  for (const float score : spec.scores) {
    const auto it = std::lower_bound(sorted.begin(), sorted.end(), score, std::greater<>());
    ranks.push_back(static_cast<uint32_t>(it - sorted.begin()));
  }
  return ranks;
}

Bpe make_bpe(const TokenizerSpec& spec) {
  PieceTable pieces = make_pieces(spec);
  const std::vector<uint32_t> ranks = ranks_of_scores(spec);
  BpeOptions options;
  options.takes_whole_pieces = spec.ignore_merges || (spec.merges.empty() && spec.scores.empty());
  options.ranks = ranks;
  if (spec.is_of_characters) options.byte_fallback = spec.byte_tokens;
  options.unknown = spec.unk.value_or(-1);
  return Bpe(std::move(pieces), spec.merges, options, spec.where);
}

/// Text without a split rule may be cut before each run of spaces where no piece reaches across: no merge
/// does then, and words are merged faster than whole texts.
SplitRule split_of(const TokenizerSpec& spec, const PieceTable& pieces) {
  if (spec.split != SplitRule::kWhole || spec.ignore_merges) return spec.split;
  for (int32_t id = 0; id < pieces.size(); ++id) {
    const std::string_view piece = pieces.piece(id);
    const size_t word = std::min(piece.find_first_not_of(' '), piece.size());
    if (piece.find(' ', word) != piece.npos && pieces.find(piece) == id) return SplitRule::kWhole;
  }
  return SplitRule::kBeforeSpaces;
}

/// Without these, ordinary text would silently lose characters. Other bytes may lack a token: SmolLM2 has
/// none for some control characters.
void check_byte_tokens(const Bpe& bpe, const TokenizerSpec& spec) {
  const bool can_be_unknown = spec.is_of_characters && spec.unk;
  for (int byte = 0; byte < (spec.is_of_characters ? 0x100 : 0x7F) && !can_be_unknown; ++byte) {
    const bool is_ordinary = spec.is_of_characters || byte >= 0x20 || byte == '\n' || byte == '\t';
    if (is_ordinary && bpe.byte_id(static_cast<unsigned char>(byte)) < 0) {
      corrupt(spec.where,
              fmt::format("no token for the byte 0x{:02x}, so that text could not be encoded", byte));
    }
  }
}

AddedTokens make_added(const TokenizerSpec& spec) {
  AddedTokens added;
  std::vector<bool> is_done(spec.pieces.size(), false);
  size_t n_bytes = 0;
  const auto put = [&](const AddedToken& token) {
    const size_t id = checked_id(spec, token.id);
    const std::string& text = spec.pieces[id];
    if (is_done[id]) corrupt(spec.where, fmt::format("added token {} stands twice", id));
    is_done[id] = true;
    // Text is valid UTF-8; what is not would match in the middle of a character.
    if (!token.is_matched || !is_valid_utf8(text)) return;
    if (text.empty() || text.size() > AddedTokens::kMaxBytes) {
      corrupt(spec.where, fmt::format("added token {} has {} bytes, expected 1 to {}", id, text.size(),
                                      AddedTokens::kMaxBytes));
    }
    n_bytes += text.size();
    if (n_bytes > AddedTokens::kMaxTotalBytes) {
      corrupt(spec.where, fmt::format("added tokens of more than {} bytes", AddedTokens::kMaxTotalBytes));
    }
    if (token.single_word) {
      throw Error(ErrorCode::kUnsupported, "load tokenizer",
                  fmt::format("{}: added token {} has single_word, which is not supported", spec.where, id));
    }
    if (const int32_t other = added.find_exact(text); other >= 0) {
      corrupt(spec.where, fmt::format("added tokens {} and {} are both \"{}\"", other, id, printable(text)));
    }
    added.insert(token, text, spec.is_special[id]);
  };
  for (const AddedToken& token : spec.added) put(token);
  for (size_t id = 0; id < spec.pieces.size(); ++id) {
    if (spec.is_special[id] && !is_done[id]) put({.id = static_cast<int32_t>(id)});
  }
  return added;
}

std::optional<int32_t> check_id(const TokenizerSpec& spec, std::optional<int32_t> id, std::string_view name) {
  if (id && (*id < 0 || static_cast<size_t>(*id) >= spec.pieces.size())) {
    corrupt(spec.where,
            fmt::format("{} is token {}, outside the vocabulary of {}", name, *id, spec.pieces.size()));
  }
  return id;
}

/// Text made valid UTF-8, and the spans moved to where their bytes went.
struct Repaired {
  std::string text;
  std::vector<PlainSpan> plain;
};

Repaired repair(std::string_view text, std::span<const PlainSpan> plain) {
  std::vector<size_t> edges;
  for (const PlainSpan& span : plain) edges.insert(edges.end(), {span.begin, span.end});
  Repaired out;
  size_t next_edge = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    const auto length = static_cast<size_t>(c.length);
    const size_t new_length = c.is_valid ? length : 3;
    // An edge inside a character takes the whole of it into the span: begins move left, ends right.
    for (; next_edge < edges.size() && edges[next_edge] < at + length; ++next_edge) {
      const bool is_end = next_edge % 2 == 1;
      edges[next_edge] = out.text.size() + (is_end && edges[next_edge] > at ? new_length : 0);
    }
    if (c.is_valid) {
      out.text.append(text.substr(at, length));
    } else {
      out.text += "\xEF\xBF\xBD";
    }
    at += length;
  }
  for (; next_edge < edges.size(); ++next_edge) edges[next_edge] = out.text.size();
  for (size_t i = 0; i < edges.size(); i += 2) out.plain.push_back({edges[i], edges[i + 1]});
  return out;
}

/// Places in the text are kept as 32-bit numbers, and there is at most one token per byte, a space and bos.
void check_size(std::string_view text) {
  if (text.size() < INT32_MAX - 1) return;
  throw Error(ErrorCode::kUsage, "tokenize",
              fmt::format("{} bytes of text, expected less than 2 GiB", text.size()));
}

}  // namespace

Tokenizer::Tokenizer(TokenizerSpec spec)
    : bpe_(make_bpe(spec)),
      split_(split_of(spec, bpe_.pieces())),
      is_of_characters_(spec.is_of_characters),
      space_prefix_(spec.space_prefix),
      strips_first_space_(spec.strips_first_space),
      is_special_(spec.is_special),
      added_(make_added(spec)),
      add_bos_(spec.add_bos && spec.bos.has_value()),
      bos_(check_id(spec, spec.bos, "bos")),
      eos_(check_id(spec, spec.eos, "eos")) {
  check_id(spec, spec.unk, "unk");
  check_byte_tokens(bpe_, spec);
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  check_size(text);
  const AddedTokens::Rules rules{.parse_special = options.parse_special, .plain = {}};
  if (is_valid_utf8(text)) return encode_with(text, rules, options.add_bos);
  return encode_with(replace_invalid_utf8(text), rules, options.add_bos);
}

std::vector<int32_t> Tokenizer::encode_rendered(std::string_view text, std::span<const PlainSpan> plain,
                                                const EncodeOptions& options) const {
  check_size(text);
  std::vector<PlainSpan> spans;
  size_t last = 0;
  for (const PlainSpan& span : plain) {
    CHECK(span.begin >= last && span.end >= span.begin && span.end <= text.size(),
          "plain spans are not in order");
    last = span.end;
    if (span.begin != span.end) spans.push_back(span);
  }
  if (is_valid_utf8(text)) return encode_with(text, {.parse_special = true, .plain = spans}, options.add_bos);
  const Repaired repaired = repair(text, spans);
  return encode_with(repaired.text, {.parse_special = true, .plain = repaired.plain}, options.add_bos);
}

/// Ids being made, and the buffers for it.
struct Tokenizer::Encoding {
  std::vector<int32_t> ids;
  BpeScratch scratch;
  std::string spaced;
};

std::vector<int32_t> Tokenizer::encode_with(std::string_view text, const AddedTokens::Rules& rules,
                                            bool add_bos) const {
  check_size(text);
  Encoding encoding;
  std::vector<int32_t>& ids = encoding.ids;
  ids.reserve(text.size() / 4 + 2);
  if (add_bos && bos_) ids.push_back(*bos_);
  size_t at = 0;
  bool is_after_special = true;
  const auto encode_until = [&](size_t end, bool is_before_added) {
    const std::string_view segment = text.substr(at, end - at);
    bool has_prefix = space_prefix_ != SpacePrefix::kNone && !segment.empty();
    if (space_prefix_ == SpacePrefix::kAfterSpecial) {
      has_prefix = is_after_special && (has_prefix || (at == 0 && is_before_added));
    } else if (space_prefix_ >= SpacePrefix::kEveryUnspaced) {
      has_prefix = has_prefix && !segment.starts_with(' ') &&
                   !segment.starts_with(tokenizer_files::kSpaceMark) &&
                   (at == 0 || space_prefix_ == SpacePrefix::kEveryUnspaced);
    }
    encode_segment(segment, has_prefix, encoding);
  };
  for (const AddedTokens::Match& match : added_.find(text, rules)) {
    encode_until(match.begin, !is_special(match.id));
    ids.push_back(match.id);
    at = match.end;
    is_after_special = is_special(match.id);
  }
  encode_until(text.size(), false);
  return std::move(ids);
}

void Tokenizer::encode_segment(std::string_view segment, bool has_prefix, Encoding& encoding) const {
  if (is_of_characters_ && (has_prefix || segment.find(tokenizer_files::kSpaceMark) != segment.npos)) {
    std::string& spaced = encoding.spaced;
    spaced.clear();
    if (has_prefix) spaced += ' ';
    tokenizer_files::append_spaced(segment, spaced);
    segment = spaced;
  }
  Splitter splitter(split_, segment);
  while (!splitter.at_end()) bpe_.encode(splitter.next(), encoding.scratch, encoding.ids);
}

std::string_view Tokenizer::piece(int32_t id) const {
  return id >= 0 && id < vocab_size() ? bpe_.pieces().piece(id) : std::string_view();
}

std::optional<int32_t> Tokenizer::find_special(std::string_view text) const {
  const int32_t id = added_.find_exact(text);
  return is_special(id) ? std::optional(id) : std::nullopt;
}

bool Tokenizer::is_special(int32_t id) const {
  return id >= 0 && id < vocab_size() && is_special_[static_cast<size_t>(id)];
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string bytes;
  for (const int32_t id : ids) {
    if (!skip_special || !is_special(id)) bytes += piece(id);
  }
  if (strips_first_space_ && bytes.starts_with(' ')) bytes.erase(0, 1);
  return replace_invalid_utf8(bytes);
}

}  // namespace chaski
