#include "text/tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"

namespace chaski {
namespace {

[[noreturn]] void corrupt(const std::string& where, const std::string& message) {
  throw Error(ErrorCode::kCorrupt, "load tokenizer", fmt::format("{}: {}", where, message));
}

/// Limits that hold whatever the file was. Returns which ids take no part in merging.
std::vector<bool> check_pieces(const TokenizerSpec& spec) {
  const size_t vocab = spec.pieces.size();
  if (vocab == 0 || vocab > Tokenizer::kMaxVocab) {
    corrupt(spec.where, fmt::format("{} tokens, expected 1 to {}", vocab, Tokenizer::kMaxVocab));
  }
  if (spec.merges.size() > Tokenizer::kMaxVocab) {
    corrupt(spec.where,
            fmt::format("{} merges, at most {} are accepted", spec.merges.size(), Tokenizer::kMaxVocab));
  }
  CHECK(spec.is_special.size() == vocab, "{} pieces, {} flags", vocab, spec.is_special.size());
  std::vector<bool> is_left_out = spec.is_special;
  size_t n_unused = 0;
  for (size_t id = 0; id < vocab; ++id) {
    const std::string& piece = spec.pieces[id];
    if (piece.size() > Tokenizer::kMaxPieceBytes) {
      corrupt(spec.where, fmt::format("token {} has {} bytes, at most {} are accepted", id, piece.size(),
                                      Tokenizer::kMaxPieceBytes));
    }
    if (piece.empty()) ++n_unused;
  }
  if (n_unused > Tokenizer::kMaxUnusedIds) {
    corrupt(spec.where,
            fmt::format("{} ids have no token, at most {} are accepted", n_unused, Tokenizer::kMaxUnusedIds));
  }
  return is_left_out;
}

PieceTable make_pieces(const TokenizerSpec& spec) {
  return PieceTable(spec.pieces, check_pieces(spec), spec.where);
}

/// Without these, ordinary text would silently lose characters. Other bytes may lack a token: SmolLM2 has
/// none for some control characters.
void check_byte_tokens(const Bpe& bpe, const std::string& where) {
  for (int byte = 0; byte < 0x7F; ++byte) {
    const bool is_ordinary = byte >= 0x20 || byte == '\n' || byte == '\t';
    if (is_ordinary && bpe.byte_id(static_cast<unsigned char>(byte)) < 0) {
      corrupt(where, fmt::format("no token for the byte 0x{:02x}, so that text could not be encoded", byte));
    }
  }
}

AddedTokens make_added(const TokenizerSpec& spec) {
  AddedTokens added;
  std::vector<bool> is_done(spec.pieces.size(), false);
  const auto put = [&](const AddedToken& token) {
    if (token.id < 0 || static_cast<size_t>(token.id) >= spec.pieces.size()) {
      corrupt(spec.where,
              fmt::format("added token {} is outside the vocabulary of {}", token.id, spec.pieces.size()));
    }
    const auto id = static_cast<size_t>(token.id);
    const std::string& text = spec.pieces[id];
    if (is_done[id]) corrupt(spec.where, fmt::format("added token {} stands twice", id));
    is_done[id] = true;
    if (text.empty() || text.size() > AddedTokens::kMaxBytes) {
      corrupt(spec.where, fmt::format("added token {} has {} bytes, expected 1 to {}", id, text.size(),
                                      AddedTokens::kMaxBytes));
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

}  // namespace

Tokenizer::Tokenizer(TokenizerSpec spec)
    : bpe_(make_pieces(spec), spec.merges, spec.ignore_merges, spec.where),
      split_(spec.split),
      is_special_(spec.is_special),
      added_(make_added(spec)),
      add_bos_(spec.add_bos && spec.bos.has_value()),
      bos_(check_id(spec, spec.bos, "bos")),
      eos_(check_id(spec, spec.eos, "eos")) {
  check_byte_tokens(bpe_, spec.where);
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  const AddedTokens::Rules rules{.parse_special = options.parse_special, .plain = {}};
  if (is_valid_utf8(text)) return encode_with(text, rules, options.add_bos);
  return encode_with(replace_invalid_utf8(text), rules, options.add_bos);
}

std::vector<int32_t> Tokenizer::encode_rendered(std::string_view text, std::span<const PlainSpan> plain,
                                                const EncodeOptions& options) const {
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

std::vector<int32_t> Tokenizer::encode_with(std::string_view text, const AddedTokens::Rules& rules,
                                            bool add_bos) const {
  // Places in the text are kept as 32-bit numbers, and there is at most one token per byte and bos.
  if (text.size() >= INT32_MAX) {
    throw Error(ErrorCode::kUsage, "tokenize",
                fmt::format("{} bytes of text, expected less than 2 GiB", text.size()));
  }
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 2);
  if (add_bos && bos_) ids.push_back(*bos_);
  BpeScratch scratch;
  const auto encode_segment = [&](std::string_view segment) {
    for (size_t at = 0; at < segment.size();) {
      const size_t end = next_split(split_, segment, at);
      bpe_.encode(segment.substr(at, end - at), scratch, ids);
      at = end;
    }
  };
  size_t at = 0;
  for (const AddedTokens::Match& match : added_.find(text, rules)) {
    encode_segment(text.substr(at, match.begin - at));
    ids.push_back(match.id);
    at = match.end;
  }
  encode_segment(text.substr(at));
  return ids;
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
  return replace_invalid_utf8(bytes);
}

}  // namespace chaski
