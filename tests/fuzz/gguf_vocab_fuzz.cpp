// Vocabularies as GGUF files give them, put together from choices: a refusal with an Error, or a tokenizer
// that works and keeps what the user wrote plain. The container's own parsing is in gguf_fuzz.cpp.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <limits>
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
  std::vector<float> scores;
};

/// The pieces without which a vocabulary is refused, and a few more: the fewer, the faster.
Vocabulary few_bytes() {
  Vocabulary v;
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool is_needed =
        (byte >= 0x20 && byte < 0x7F) || c == '\n' || c == '\t' || c == '\xE4' || c == '\xB8';
    if (is_needed) v.tokens.push_back(chaski::alphabet_from_bytes({&c, 1}));
  }
  v.types.assign(v.tokens.size(), 1);
  return v;
}

Vocabulary few_characters() {
  return {.tokens = {"<unk>", "<s>", "</s>", "\u2581", "a", "b", "\u4E2D", "<0x41>", "<0xE4>"},
          .merges = {},
          .types = {2, 3, 3, 1, 1, 1, 1, 6, 6},
          .scores = {}};
}

/// What is needed, unless the input says otherwise; then tokens, types, scores and merges of its choice.
Vocabulary vocabulary_of(Choices& in, bool is_of_characters) {
  static const Vocabulary kBytes = few_bytes(), kCharacters = few_characters();
  Vocabulary v = is_of_characters ? kCharacters : kBytes;
  if (in.one_in(8)) v.tokens[in.below(v.tokens.size())] = text_of(in);
  for (size_t n = in.below(24); n > 0; --n) {
    const bool is_joined = in.one_in(2);
    const std::string left = v.tokens[in.below(v.tokens.size())], right = v.tokens[in.below(v.tokens.size())];
    v.tokens.push_back(is_joined ? left + right : text_of(in));
    v.types.push_back(static_cast<int32_t>(in.below(8)) - (in.one_in(16) ? 4 : 0));
    if (is_joined) v.merges.push_back(left + (in.one_in(16) ? "" : " ") + right);
  }
  for (size_t n = is_of_characters ? v.tokens.size() : 0; n > 0; --n) {
    v.scores.push_back(static_cast<float>(in.byte()) - 128.0F);
  }
  if (in.one_in(16)) v.scores.resize(in.byte(), std::numeric_limits<float>::quiet_NaN());
  if (in.one_in(16)) v.types.resize(in.byte());
  if (in.one_in(8)) v.merges.push_back(text_of(in));
  return v;
}

void check(chaski::TokenizerSpec spec, const std::string& text) {
  const int32_t unknown = spec.unk.value_or(-1);  // a special token that plain text may become
  const chaski::Tokenizer tokenizer(std::move(spec));
  const auto in_range = [&](int32_t id) { return id >= 0 && id < tokenizer.vocab_size(); };
  for (const int32_t id : tokenizer.encode(text, {.parse_special = true, .add_bos = true})) {
    if (!in_range(id)) std::abort();
  }
  const std::vector<chaski::PlainSpan> all{{0, text.size()}};
  for (const int32_t id : tokenizer.encode_rendered(text, all)) {
    if (!in_range(id) || (tokenizer.is_special(id) && id != unknown)) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr std::array<const char*, 8> kRules = {"llama-bpe",    "smollm", "gpt2",    "qwen2",
                                                 "deepseek-llm", "tekken", "default", "unknown"};
  Choices in(data, std::min<size_t>(size, 256));
  const char* rule = kRules[in.below(kRules.size())];
  const bool is_of_characters = in.one_in(2);
  const Vocabulary v = vocabulary_of(in, is_of_characters);
  const auto bos = id_of(in), eos = id_of(in);
  const std::optional<bool> add_bos = in.one_in(3) ? std::nullopt : std::optional(in.one_in(2));
  std::string text;
  while (!in.is_empty() && text.size() < 128) {
    if (in.one_in(4) && !v.tokens.empty()) {
      text += v.tokens[in.below(v.tokens.size())];
    } else {
      text += static_cast<char>(in.byte());
    }
  }
  chaski::fuzz::expect_error_at_most([&] {
    const chaski::GgufVocabulary vocabulary{.model = is_of_characters ? "llama" : "gpt2",
                                            .pre = rule,
                                            .tokens = v.tokens,
                                            .token_types = v.types,
                                            .merges = v.merges,
                                            .scores = v.scores,
                                            .bos = bos,
                                            .eos = eos,
                                            .add_bos = add_bos,
                                            .add_space_prefix = in.one_in(2)};
    check(chaski::spec_from_gguf(vocabulary, "fuzz"), text);
  });
  return 0;
}
