// Vocabularies as GGUF files give them, put together from choices: a refusal with an Error, or a tokenizer
// that works and keeps what the user wrote plain. The container's own parsing is in gguf_fuzz.cpp.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_alphabet.h"
#include "fuzz_input.h"
#include "text/tokenizer.h"

namespace {

using chaski::fuzz::Choices;

std::string text_of(Choices& in) {
  std::string text;
  for (size_t n = in.below(12); n > 0; --n) text += static_cast<char>(in.byte());
  return text;
}

std::optional<int32_t> id_of(Choices& in) {
  return in.one_in(4) ? std::nullopt : std::optional(static_cast<int32_t>(in.below(300)) - 4);
}

struct Vocabulary {
  std::vector<std::string> tokens, merges;
  std::vector<int32_t> types;
};

/// All bytes, unless the input says otherwise; then tokens, types and merges of its choice.
Vocabulary vocabulary_of(Choices& in) {
  Vocabulary v;
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    v.tokens.push_back(chaski::alphabet_from_bytes({&c, 1}));
  }
  v.types.assign(256, 1);
  if (in.one_in(8)) v.tokens[in.byte()] = text_of(in);
  for (size_t n = in.below(32); n > 0; --n) {
    const bool is_joined = in.one_in(2);
    const std::string left = v.tokens[in.below(v.tokens.size())], right = v.tokens[in.below(v.tokens.size())];
    v.tokens.push_back(is_joined ? left + right : text_of(in));
    v.types.push_back(static_cast<int32_t>(in.below(8)) - (in.one_in(16) ? 4 : 0));
    if (is_joined) v.merges.push_back(left + (in.one_in(16) ? "" : " ") + right);
  }
  if (in.one_in(16)) v.types.resize(in.byte());
  if (in.one_in(8)) v.merges.push_back(text_of(in));
  return v;
}

void check(const chaski::Tokenizer& tokenizer, const std::string& text) {
  const auto in_range = [&](int32_t id) { return id >= 0 && id < tokenizer.vocab_size(); };
  for (const int32_t id : tokenizer.encode(text, {.parse_special = true, .add_bos = true})) {
    if (!in_range(id)) std::abort();
  }
  const std::vector<chaski::PlainSpan> all{{0, text.size()}};
  for (const int32_t id : tokenizer.encode_rendered(text, all)) {
    if (!in_range(id) || tokenizer.is_special(id)) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr std::array<const char*, 6> kRules = {"llama-bpe", "smollm", "gpt2", "gpt-2", "llama3", "qwen2"};
  Choices in(data, size);
  const char* rule = kRules[in.below(kRules.size())];
  const Vocabulary v = vocabulary_of(in);
  const auto bos = id_of(in), eos = id_of(in);
  const std::optional<bool> add_bos = in.one_in(3) ? std::nullopt : std::optional(in.one_in(2));
  std::string text;
  while (!in.is_empty()) {
    if (in.one_in(4) && !v.tokens.empty()) {
      text += v.tokens[in.below(v.tokens.size())];
    } else {
      text += static_cast<char>(in.byte());
    }
  }
  chaski::fuzz::expect_error_at_most([&] {
    const chaski::GgufVocabulary vocabulary{.pre = rule,
                                            .tokens = v.tokens,
                                            .token_types = v.types,
                                            .merges = v.merges,
                                            .bos = bos,
                                            .eos = eos,
                                            .add_bos = add_bos};
    check(chaski::Tokenizer(chaski::spec_from_gguf(vocabulary, "fuzz")), text);
  });
  return 0;
}
