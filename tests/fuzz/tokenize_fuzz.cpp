// Any text, with any plain spans and stop strings, on a small vocabulary with every byte, split by every
// rule, or of SentencePiece's kind: what is encoded decodes to the same text, ids are in range, special
// tokens appear only where they may, and the stream agrees with the decode. Input: rule, two span places (one
// byte each), then the text, of which 96 bytes are looked at; a 0xFF byte in it ends the stop string before
// it.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"
#include "text/text_stream.h"
#include "text/tokenizer.h"

namespace {

using chaski::SplitRule;
using chaski::Tokenizer;

Tokenizer make_tokenizer(SplitRule rule) {
  chaski::TokenizerSpec spec;
  for (int byte = 0; byte < 256; ++byte) spec.pieces.emplace_back(1, static_cast<char>(byte));
  const auto merge = [&spec](std::string left, std::string right) {
    spec.pieces.push_back(left + right);
    spec.merges.emplace_back(std::move(left), std::move(right));
  };
  merge("a", "a");
  merge("aa", "a");
  merge("aa", "aa");
  merge(" ", " ");
  merge(" ", "a");
  merge("\xE4", "\xB8");
  merge("\xB8", "\xAD");
  merge("'", "s");
  merge("1", "2");
  merge("<", "|");
  spec.is_special.resize(spec.pieces.size(), false);
  for (const char* special : {"<|a|>", "<|a|>b", "|>", "<s>"}) spec.pieces.emplace_back(special);
  spec.is_special.resize(spec.pieces.size(), true);
  spec.split = rule;
  spec.where = "fuzz";
  return Tokenizer(std::move(spec));
}

void require(bool condition) {
  if (!condition) std::abort();
}

/// The same pieces by characters, with the bytes apart and a space before text.
Tokenizer make_character_tokenizer() {
  chaski::TokenizerSpec spec;
  const auto add = [&spec](std::string piece, float score) {
    spec.pieces.push_back(std::move(piece));
    spec.scores.push_back(score);
  };
  for (int byte = 0; byte < 256; ++byte) {
    add(std::string(1, static_cast<char>(byte)), 0);
    spec.byte_tokens[static_cast<size_t>(byte)] = byte;
  }
  for (const char* piece : {" ", "a", "b", "\u4E2D", "'", "s", "<", "|"}) add(piece, -100);
  float score = 0;
  for (const char* piece : {"aa", "aaaa", "  ", " a", "a b", "ab", "'s", "\u4E2D\u4E2D", "<|"})
    add(piece, --score);
  spec.is_special.resize(spec.pieces.size(), false);
  for (const char* special : {"<|a|>", "<|a|>b", "|>", "<s>"}) add(special, 0);
  spec.is_special.resize(spec.pieces.size(), true);
  spec.is_of_characters = true;
  spec.split = SplitRule::kWhole;
  spec.space_prefix = chaski::SpacePrefix::kFirstUnspaced;
  spec.where = "fuzz";
  return Tokenizer(std::move(spec));
}

void check_spans(const Tokenizer& tokenizer, std::string_view text, size_t begin, size_t end) {
  const std::vector<chaski::PlainSpan> all{{0, text.size()}};
  require(tokenizer.encode_rendered(text, all) == tokenizer.encode(text));
  const std::vector<chaski::PlainSpan> plain{{begin, end}};
  const auto ids = tokenizer.encode_rendered(text, plain);
  const std::string valid = chaski::replace_invalid_utf8(text);
  require(tokenizer.decode(ids, false) == valid);
  if (valid.size() != text.size()) return;
  size_t at = 0;
  for (const int32_t id : ids) {
    const size_t next = at + tokenizer.piece(id).size();
    require(!tokenizer.is_special(id) || begin == end || next <= begin || at >= end);
    at = next;
  }
}

void check_stream(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                  const std::vector<std::string>& stops) {
  const std::string whole = tokenizer.decode(ids, true);
  chaski::TextStream stream(tokenizer, stops);
  std::string out;
  for (const int32_t id : ids) {
    const std::string part = stream.push(id);
    require(chaski::is_valid_utf8(part));
    out += part;
  }
  out += stream.finish();
  require(out == stream.text() && whole.starts_with(out));
  require(stream.is_stopped() || out == whole);
  for (const std::string& stop : stops) {
    require(stop.empty() || out.find(chaski::replace_invalid_utf8(stop)) == std::string::npos);
  }
}

/// Splitting cuts the text and does nothing else to it.
void check_split(SplitRule rule, std::string_view text) {
  const std::string valid = chaski::replace_invalid_utf8(text);
  std::string joined;
  for (chaski::Splitter splitter(rule, valid); !splitter.at_end();) {
    const std::string_view piece = splitter.next();
    require(!piece.empty() && chaski::is_valid_utf8(piece));
    joined += piece;
  }
  require(joined == valid);
}

/// The text with SentencePiece's space spelled as one, and the space that is put before it.
std::string spaced(std::string_view text) {
  constexpr std::string_view kMark = "\u2581";
  std::string valid = chaski::replace_invalid_utf8(text);
  for (size_t at = valid.find(kMark); at != valid.npos; at = valid.find(kMark, at)) valid.replace(at, 3, " ");
  return (valid.empty() || valid[0] == ' ' ? "" : " ") + valid;
}

void check_characters(std::string_view text) {
  static const Tokenizer kTokenizer = make_character_tokenizer();
  const auto ids = kTokenizer.encode(text);
  for (const int32_t id : ids) require(id >= 0 && id < kTokenizer.vocab_size() && !kTokenizer.is_special(id));
  require(kTokenizer.decode(ids, false) == spaced(text));
  check_stream(kTokenizer, ids, {});
  for (const int32_t id : kTokenizer.encode(text, {.parse_special = true})) {
    require(id >= 0 && id < kTokenizer.vocab_size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kRules = static_cast<size_t>(SplitRule::kBeforeEachSpace) + 1;
  static const std::vector<Tokenizer> kTokenizers = [] {
    std::vector<Tokenizer> all;
    for (size_t rule = 0; rule < kRules; ++rule) all.push_back(make_tokenizer(static_cast<SplitRule>(rule)));
    return all;
  }();
  if (size < 3) return 0;
  const size_t choice = data[0] % (kRules + 1);
  const std::string_view text(reinterpret_cast<const char*>(data) + 3, std::min<size_t>(size - 3, 96));
  if (choice == kRules) {
    check_characters(text);
    return 0;
  }
  const Tokenizer& tokenizer = kTokenizers[choice];
  check_split(static_cast<SplitRule>(choice), text);

  const auto ids = tokenizer.encode(text);
  for (const int32_t id : ids) require(id >= 0 && id < tokenizer.vocab_size() && !tokenizer.is_special(id));
  require(tokenizer.decode(ids, false) == chaski::replace_invalid_utf8(text));

  const size_t first = std::min<size_t>(data[1], text.size());
  const size_t second = std::min<size_t>(data[2], text.size());
  check_spans(tokenizer, text, std::min(first, second), std::max(first, second));

  // The bytes of the text as ids are what a model might give: any order, any cut characters.
  std::vector<int32_t> raw;
  for (const char c : text) raw.push_back(static_cast<unsigned char>(c));
  std::vector<std::string> stops;
  for (size_t at = 0, end = text.find('\xFF'); end != std::string_view::npos && stops.size() < 4;
       at = end + 1, end = text.find('\xFF', at)) {
    stops.emplace_back(text.substr(at, end - at));
  }
  switch (data[1] % 3) {
    case 0:
      check_stream(tokenizer, raw, {});
      break;
    case 1:
      check_stream(tokenizer, raw, stops);
      break;
    default:
      check_stream(tokenizer, tokenizer.encode(text, {.parse_special = true}), stops);
  }
  return 0;
}
