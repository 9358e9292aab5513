// GGUF's metadata tokenizer.ggml.* turned into a TokenizerSpec.
#include "base/byte_alphabet.h"
#include "base/error.h"
#include "text/tokenizer_files.h"

namespace chaski {

using namespace tokenizer_files;

namespace {

enum TokenType : int32_t { kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

/// `gpt2`: pieces in the byte-level alphabet, merges as a list.
void fill_byte_level(const GgufVocabulary& v, TokenizerSpec& spec) {
  const GgufPre* pre = find_gguf_pre(v.pre);
  if (pre == nullptr) {
    unsupported(spec.where, "tokenizer.ggml.pre",
                fmt::format("\"{}\" is not a split rule that chaski knows; it knows {}", printable(v.pre),
                            gguf_pre_names()));
  }
  spec.split = pre->rule;
  spec.ignore_merges = pre->ignores_merges;
  spec.add_bos = v.add_bos.value_or(pre->adds_bos);
  for (size_t id = 0; id < v.tokens.size(); ++id) {
    const int32_t type = v.token_types[id];
    const bool is_text = type >= kControl && type <= kUnused;
    // A normal token that the alphabet cannot spell is one that no text becomes.
    auto bytes = is_text ? std::nullopt : bytes_from_alphabet(v.tokens[id]);
    const bool is_matched = is_text || bytes.has_value();
    if (v.merges.empty() && bytes && bytes->size() > 1) {
      corrupt(spec.where, fmt::format("tokens of several bytes, such as \"{}\", but no merges that make them",
                                      printable(v.tokens[id])));
    }
    spec.pieces.push_back(bytes ? std::move(*bytes) : v.tokens[id]);
    spec.is_special.push_back(type == kControl);
    if (type == kUserDefined || !is_matched) {
      spec.added.push_back({.id = static_cast<int32_t>(id), .is_matched = is_matched});
    }
  }
  spec.merges.reserve(v.merges.size());
  std::string bytes;
  for (const std::string& merge : v.merges) {
    const auto [left, right] = sides_of(merge, spec.where);
    bytes.clear();
    append_bytes_of(left, spec.where, "merge of", bytes);
    const size_t n_left = bytes.size();
    append_bytes_of(right, spec.where, "merge of", bytes);
    spec.merges.emplace_back(std::string_view(bytes).substr(0, n_left),
                             std::string_view(bytes).substr(n_left));
  }
}

/// `llama`: pieces with U+2581 for a space, merged by their scores.
void fill_sentencepiece(const GgufVocabulary& v, TokenizerSpec& spec) {
  if (v.scores.size() != v.tokens.size()) {
    corrupt(spec.where, fmt::format("{} tokens, but {} scores", v.tokens.size(), v.scores.size()));
  }
  const auto default_id = [&v](int32_t id) {
    return static_cast<size_t>(id) < v.tokens.size() ? std::optional(id) : std::nullopt;
  };
  spec.is_of_characters = true;
  spec.split = SplitRule::kWhole;
  spec.scores.assign(v.scores.begin(), v.scores.end());
  spec.unk = v.unk ? v.unk : default_id(0);
  if (!spec.bos) spec.bos = default_id(1);
  if (!spec.eos) spec.eos = default_id(2);
  spec.add_bos = v.add_bos.value_or(true);
  const bool has_prefix = v.add_space_prefix.value_or(true);
  spec.space_prefix = has_prefix ? SpacePrefix::kEvery : SpacePrefix::kNone;
  spec.strips_first_space = has_prefix;
  for (size_t id = 0; id < v.tokens.size(); ++id) {
    const int32_t type = v.token_types[id];
    const std::string& token = v.tokens[id];
    const bool is_special = type == kControl || type == kUnknown;
    spec.pieces.push_back(is_special ? token : spaced_of(token));
    spec.is_special.push_back(is_special);
    // Text has spaces, so a token with U+2581 is made by merging only.
    if (type == kUserDefined && spec.pieces.back() == token) {
      spec.added.push_back({.id = static_cast<int32_t>(id)});
    }
    if (type != kByte) continue;
    const auto byte = byte_of(token);
    if (!byte) {
      corrupt(spec.where, fmt::format("token {} is \"{}\" and said to be a byte, expected <0x00> to <0xFF>",
                                      id, printable(token)));
    }
    set_byte_token(spec, *byte, id);
  }
}

}  // namespace

TokenizerSpec spec_from_gguf(const GgufVocabulary& vocabulary, std::string_view where) {
  TokenizerSpec spec;
  spec.where = where;
  if (vocabulary.token_types.size() != vocabulary.tokens.size()) {
    corrupt(where, fmt::format("{} tokens, but {} token types", vocabulary.tokens.size(),
                               vocabulary.token_types.size()));
  }
  spec.pieces.reserve(vocabulary.tokens.size());
  spec.is_special.reserve(vocabulary.tokens.size());
  spec.bos = vocabulary.bos;
  spec.eos = vocabulary.eos;
  if (vocabulary.model == "gpt2") {
    fill_byte_level(vocabulary, spec);
  } else if (vocabulary.model == "llama") {
    fill_sentencepiece(vocabulary, spec);
  } else {
    unsupported(where, "tokenizer.ggml.model",
                fmt::format("\"{}\", expected \"gpt2\" (byte-level BPE) or \"llama\" (SentencePiece's BPE)",
                            printable(vocabulary.model)));
  }
  return spec;
}

}  // namespace chaski
