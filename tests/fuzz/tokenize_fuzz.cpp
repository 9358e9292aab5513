// Any text, with any plain spans and stop strings, on a small vocabulary with every byte: what is encoded
// decodes to the same text, ids are in range, special tokens appear only where they may, and the stream
// agrees with the decode. Input: rule, two span places (one byte each), then the text; a 0xFF byte in the
// text ends the stop string before it.
#include <algorithm>
#include <array>
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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::array<Tokenizer, 3> kTokenizers = {make_tokenizer(SplitRule::kLlama3),
                                                       make_tokenizer(SplitRule::kSmolLm),
                                                       make_tokenizer(SplitRule::kGpt2)};
  if (size < 3) return 0;
  const Tokenizer& tokenizer = kTokenizers[data[0] % 3];
  const std::string_view text(reinterpret_cast<const char*>(data) + 3, size - 3);

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
  check_stream(tokenizer, raw, {});
  check_stream(tokenizer, raw, stops);
  check_stream(tokenizer, tokenizer.encode(text, {.parse_special = true}), stops);
  return 0;
}
