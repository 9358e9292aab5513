// Rank files and GGUF metadata, each turned into a TokenizerSpec; tokenizer.json is read in
// tokenizer_json.cpp.
#include "text/tokenizer_files.h"

#include <algorithm>
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
  auto bytes = bytes_from_alphabet(spelled);
  if (!bytes)
    corrupt(where, fmt::format("{} \"{}\" is not in the byte-level alphabet", what, printable(spelled)));
  return std::move(*bytes);
}

std::pair<std::string, std::string> merge_of(std::string_view line, std::string_view where) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
    corrupt(where, fmt::format("merge \"{}\": expected two tokens with a space between", printable(line)));
  }
  return {bytes_of(line.substr(0, space), where, "merge of"),
          bytes_of(line.substr(space + 1), where, "merge of")};
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

}  // namespace

Tokenizer Tokenizer::from_rank_file(std::string_view text, std::string_view where) {
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
  Tokenizer tokenizer(std::move(spec));
  for (int byte = 0; byte < 256; ++byte) {
    if (tokenizer.bpe_.byte_id(static_cast<unsigned char>(byte)) < 0) {
      corrupt(where, fmt::format("no rank for the byte 0x{:02x}", byte));
    }
  }
  return tokenizer;
}

Tokenizer Tokenizer::open(const std::filesystem::path& path) {
  const std::string text = read_text_file(path);
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '{') return from_tokenizer_json(text, path.string());
  return from_rank_file(text, path.string());
}

std::optional<std::string_view> gguf_pre_name(SplitRule rule, bool ignores_merges) {
  switch (rule) {
    case SplitRule::kLlama3:
      return ignores_merges ? "llama-bpe" : "dbrx";
    case SplitRule::kSmolLm:
      return "smollm";
    case SplitRule::kGpt2:
      return "gpt-2";
  }
  return std::nullopt;
}

TokenizerSpec spec_from_gguf(const std::vector<std::string>& tokens, const std::vector<int32_t>& token_types,
                             const std::vector<std::string>& merges, std::string_view pre,
                             std::optional<int32_t> bos, std::optional<int32_t> eos,
                             std::optional<bool> add_bos) {
  constexpr int32_t kControl = 3;
  constexpr int32_t kUserDefined = 4;
  constexpr int32_t kUnused = 5;
  TokenizerSpec spec;
  spec.where = "GGUF metadata tokenizer.ggml";
  if (pre == "llama-bpe" || pre == "llama3" || pre == "llama-v3") {
    spec.split = SplitRule::kLlama3;
  } else if (pre == "smollm") {
    spec.split = SplitRule::kSmolLm;
  } else if (pre == "gpt2" || pre == "gpt-2") {
    spec.split = SplitRule::kGpt2;
  } else {
    unsupported(spec.where, "tokenizer.ggml.pre",
                fmt::format("\"{}\" is not a split rule that chaski knows", printable(pre)));
  }
  if (token_types.size() != tokens.size()) {
    corrupt(spec.where, fmt::format("{} tokens, but {} token types", tokens.size(), token_types.size()));
  }
  spec.pieces.reserve(tokens.size());
  for (size_t id = 0; id < tokens.size(); ++id) {
    const bool is_text = token_types[id] >= kControl && token_types[id] <= kUnused;
    spec.pieces.push_back(is_text ? tokens[id] : bytes_of(tokens[id], spec.where, "token"));
    spec.is_special.push_back(token_types[id] == kControl);
    if (token_types[id] == kUserDefined) spec.added.push_back({.id = static_cast<int32_t>(id)});
  }
  spec.merges.reserve(merges.size());
  for (const std::string& merge : merges) spec.merges.push_back(merge_of(merge, spec.where));
  spec.ignore_merges = spec.split == SplitRule::kLlama3;
  spec.bos = bos;
  spec.eos = eos;
  spec.add_bos = add_bos.value_or(spec.split == SplitRule::kLlama3);
  return spec;
}

}  // namespace chaski
