// Rank files, bare tokenizer files told apart by content, and what the readers of all tokenizer files share.
#include "text/tokenizer_files.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/byte_alphabet.h"
#include "base/error.h"
#include "base/files.h"
#include "base/llama3_specials.h"

namespace chaski {
namespace tokenizer_files {

void corrupt(std::string_view where, const std::string& message) {
  throw Error(ErrorCode::kCorrupt, "load tokenizer", fmt::format("{}: {}", where, message));
}

void unsupported(std::string_view where, std::string_view field, const std::string& message) {
  throw Error(ErrorCode::kUnsupported, "load tokenizer", fmt::format("{}: {}: {}", where, field, message));
}

std::string bytes_of(std::string_view spelled, std::string_view where, std::string_view what) {
  std::string bytes;
  append_bytes_of(spelled, where, what, bytes);
  return bytes;
}

void append_bytes_of(std::string_view spelled, std::string_view where, std::string_view what,
                     std::string& bytes) {
  if (append_bytes_from_alphabet(spelled, bytes)) return;
  corrupt(where, fmt::format("{} \"{}\" is not in the byte-level alphabet", what, printable(spelled)));
}

void append_spaced(std::string_view spelled, std::string& text) {
  for (size_t at = 0; at < spelled.size();) {
    const size_t mark = std::min(spelled.find(kSpaceMark, at), spelled.size());
    text.append(spelled.substr(at, mark - at));
    if (mark < spelled.size()) text += ' ';
    at = mark + kSpaceMark.size();
  }
}

std::string spaced_of(std::string_view spelled) {
  std::string text;
  append_spaced(spelled, text);
  return text;
}

std::optional<uint8_t> byte_of(std::string_view spelled) {
  if (spelled.size() != 6 || !spelled.starts_with("<0x") || spelled[5] != '>') return std::nullopt;
  unsigned value = 0;
  for (const char c : spelled.substr(3, 2)) {
    const bool is_digit = c >= '0' && c <= '9';
    if (!is_digit && (c < 'A' || c > 'F')) return std::nullopt;
    value = value << 4 | static_cast<unsigned>(is_digit ? c - '0' : c - 'A' + 10);
  }
  return static_cast<uint8_t>(value);
}

void set_byte_token(TokenizerSpec& spec, uint8_t byte, size_t id) {
  if (spec.byte_tokens[byte] >= 0) {
    corrupt(spec.where, fmt::format("tokens {} and {} are both the byte 0x{:02x}", spec.byte_tokens[byte], id,
                                    unsigned{byte}));
  }
  spec.byte_tokens[byte] = static_cast<int32_t>(id);
  spec.pieces[id] = static_cast<char>(byte);
}

std::pair<std::string_view, std::string_view> sides_of(std::string_view merge, std::string_view where) {
  const size_t space = merge.find(' ');
  if (space == std::string_view::npos || merge.find(' ', space + 1) != std::string_view::npos) {
    corrupt(where, fmt::format("merge \"{}\": expected two tokens with a space between", printable(merge)));
  }
  return {merge.substr(0, space), merge.substr(space + 1)};
}

size_t claim_id(TokenizerSpec& spec, int64_t id, size_t n_ids, std::string_view what) {
  if (id < 0 || id >= static_cast<int64_t>(n_ids)) {
    corrupt(spec.where, fmt::format("{} has id {}, expected 0 to {}", what, id, n_ids - 1));
  }
  const auto i = static_cast<size_t>(id);
  if (i >= spec.pieces.size()) {
    spec.pieces.resize(i + 1);
    spec.is_special.resize(i + 1, false);
  }
  return i;
}

}  // namespace tokenizer_files

using namespace tokenizer_files;

namespace {

constexpr size_t kLlama3Ranks = 128000;

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  const size_t n_pad = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  std::string bytes;
  uint32_t bits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    uint32_t value = 0;
    if (c >= 'A' && c <= 'Z') {
      value = static_cast<uint32_t>(c - 'A');
    } else if (c >= 'a' && c <= 'z') {
      value = static_cast<uint32_t>(c - 'a' + 26);
    } else if (c >= '0' && c <= '9') {
      value = static_cast<uint32_t>(c - '0' + 52);
    } else if (c == '+' || c == '/') {
      value = c == '+' ? 62 : 63;
    } else if (c != '=' || i + n_pad < text.size()) {
      return std::nullopt;
    }
    bits = bits << 6 | value;
    if (i % 4 == 3) {
      for (const int shift : {16, 8, 0}) bytes += static_cast<char>(bits >> shift & 0xFF);
      bits = 0;
    }
  }
  bytes.resize(bytes.size() - n_pad);
  return bytes;
}

void check_has_all_bytes(const TokenizerSpec& spec, size_t n_ranks) {
  std::array<bool, 256> has_rank{};
  for (size_t id = 0; id < n_ranks; ++id) {
    const std::string& piece = spec.pieces[id];
    if (piece.size() == 1) has_rank[static_cast<unsigned char>(piece[0])] = true;
  }
  const auto missing = std::find(has_rank.begin(), has_rank.end(), false);
  if (missing == has_rank.end()) return;
  corrupt(spec.where, fmt::format("no rank for the byte 0x{:02x}", missing - has_rank.begin()));
}

}  // namespace

TokenizerSpec spec_from_rank_file(std::string_view text, std::string_view where) {
  TokenizerSpec spec;
  spec.where = where;
  size_t n_lines = 0;
  while (!text.empty()) {
    const size_t line_end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, line_end);
    text.remove_prefix(std::min(line_end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    ++n_lines;
    const size_t space = std::min(line.find(' '), line.size());
    auto bytes = decode_base64(line.substr(0, space));
    const std::string_view digits = line.substr(std::min(space + 1, line.size()));
    uint32_t rank = 0;
    const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
    if (!bytes || status != std::errc() || end != digits.data() + digits.size()) {
      corrupt(where,
              fmt::format("line {}: expected \"base64 rank\", found \"{}\"", n_lines, printable(line)));
    }
    if (rank >= kLlama3Ranks) {
      unsupported(where, "ranks",
                  fmt::format("rank {}, but a Llama 3 vocabulary has {}", rank, kLlama3Ranks));
    }
    const size_t id = claim_id(spec, rank, kLlama3Ranks, "a rank");
    if (!spec.pieces[id].empty()) corrupt(where, fmt::format("rank {} stands twice", rank));
    spec.pieces[id] = std::move(*bytes);
  }
  if (n_lines != spec.pieces.size() || n_lines == 0) {
    corrupt(where, fmt::format("{} ranks, but the last is {}", n_lines,
                               static_cast<int64_t>(spec.pieces.size()) - 1));
  }
  spec.bos = static_cast<int32_t>(n_lines);
  spec.eos = *spec.bos + 1;
  spec.add_bos = true;
  spec.ignore_merges = true;
  for (std::string& name : llama3_specials()) spec.pieces.push_back(std::move(name));
  spec.is_special.resize(spec.pieces.size(), true);
  check_has_all_bytes(spec, n_lines);
  return spec;
}

Tokenizer Tokenizer::from_rank_file(std::string_view text, std::string_view where) {
  return Tokenizer(spec_from_rank_file(text, where));
}

TokenizerSpec spec_from_tokenizer_file(std::string_view text, std::string_view config_json,
                                       std::string_view where) {
  const size_t first = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  if (text.substr(first).starts_with('{')) return spec_from_tokenizer_json(text, config_json, where);
  // A protobuf begins with the key of its first field, the list of pieces, and has bytes that no text has.
  const bool is_binary = std::any_of(text.begin(), text.begin() + std::min<ptrdiff_t>(64, std::ssize(text)),
                                     [](char c) { return static_cast<unsigned char>(c) < 9; });
  if (text.starts_with('\n') && is_binary) return spec_from_sentencepiece(text, config_json, where);
  return spec_from_rank_file(text, where);
}

Tokenizer Tokenizer::open(const std::filesystem::path& path) {
  return Tokenizer(spec_from_tokenizer_file(read_text_file(path), {}, path.string()));
}

}  // namespace chaski
