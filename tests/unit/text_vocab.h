// Small vocabularies for the tests of text/: all bytes, a few merges, a few special tokens.
#pragma once

#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "base/byte_alphabet.h"
#include "base/json.h"
#include "text/tokenizer.h"

namespace chaski::test {

/// Ids 0 to 255 are the bytes; then one token per merge, in order; then the special tokens.
inline TokenizerSpec small_spec(const std::vector<std::pair<std::string, std::string>>& merges,
                                const std::vector<std::string>& specials = {}) {
  TokenizerSpec spec;
  for (int byte = 0; byte < 256; ++byte) spec.pieces.push_back(std::string(1, static_cast<char>(byte)));
  for (const auto& [left, right] : merges) spec.pieces.push_back(left + right);
  spec.is_special.assign(spec.pieces.size(), false);
  for (const std::string& special : specials) {
    spec.pieces.push_back(special);
    spec.is_special.push_back(true);
  }
  spec.merges = merges;
  spec.split = TokenizerSpec::Split::kGpt2;
  spec.where = "small vocabulary";
  return spec;
}

/// The same as a tokenizer.json with GPT-2's rule.
inline Json small_json(const std::vector<std::pair<std::string, std::string>>& merges,
                       const std::vector<std::string>& specials = {}) {
  const TokenizerSpec spec = small_spec(merges, specials);
  Json vocab = Json::object();
  Json added = Json::array();
  for (size_t id = 0; id < spec.pieces.size(); ++id) {
    if (spec.is_special[id]) {
      added.push_back({{"id", id}, {"content", spec.pieces[id]}, {"special", true}});
    } else {
      vocab[alphabet_from_bytes(spec.pieces[id])] = id;
    }
  }
  Json spelled = Json::array();
  for (const auto& [left, right] : merges) {
    spelled.push_back(alphabet_from_bytes(left) + " " + alphabet_from_bytes(right));
  }
  return {{"normalizer", nullptr},
          {"added_tokens", added},
          {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
          {"post_processor", nullptr},
          {"decoder", {{"type", "ByteLevel"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", spelled}}}};
}

/// A SentencePiece vocabulary as GGUF has it.
struct SentencePieceVocabulary {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<float> scores;

  void add(std::string token, float score, int32_t type) {
    tokens.push_back(std::move(token));
    scores.push_back(score);
    types.push_back(type);
  }
  GgufVocabulary view() const {
    GgufVocabulary v;
    v.model = "llama";
    v.tokens = tokens;
    v.token_types = types;
    v.scores = scores;
    return v;
  }
};

/// <unk>, <s>, </s>, the 256 bytes, then ▁ a b c and what they join to, the best score first.
inline SentencePieceVocabulary small_sentencepiece() {
  SentencePieceVocabulary v;
  v.add("<unk>", 0, 2);
  v.add("<s>", 0, 3);
  v.add("</s>", 0, 3);
  for (int byte = 0; byte < 256; ++byte) v.add(fmt::format("<0x{:02X}>", byte), 0, 6);
  for (const char* piece : {"\u2581", "a", "b", "c"}) v.add(piece, -100, 1);
  v.add("\u2581a", -1, 1);
  v.add("ab", -2, 1);
  v.add("abc", -3, 1);
  v.add("\u2581\u2581", -4, 1);
  return v;
}

}  // namespace chaski::test
