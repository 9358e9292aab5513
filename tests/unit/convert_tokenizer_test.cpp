// Tokenizers turned from one file's form to the other's: hostile ones are refused before they cost anything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <limits>

#include "base/error.h"
#include "convert/tokenizer_to_gguf.h"
#include "convert/tokenizer_to_hf.h"
#include "unit/text_vocab.h"

namespace chaski {
namespace {

using testing::HasSubstr;

/// A tokenizer and no weights.
class TokenizerOnly : public Checkpoint {
 public:
  explicit TokenizerOnly(TokenizerData data) {
    path_ = "model";
    tokenizer_ = std::move(data);
    config_.vocab = 400;
  }
  std::vector<std::string> names() const override { return {}; }
  WeightSourcePtr find(std::string_view) const override { return nullptr; }
  std::string content_hash(const OnBytes&) const override { return ""; }
  uint64_t weight_bytes() const override { return 0; }
};

TokenizerData gguf_data(const test::SentencePieceVocabulary& v) {
  TokenizerData data;
  data.gguf_model = "llama";
  data.tokens = v.tokens;
  data.token_types = v.types;
  data.scores = v.scores;
  data.bos = 1;
  data.eos = 2;
  data.unk = 0;
  return data;
}

std::string refusal(const std::function<void()>& work, ErrorCode code) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    return describe(error);
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

std::string hf_refusal(TokenizerData data, ErrorCode code) {
  return refusal([&] { hf_tokenizer_of(TokenizerOnly(std::move(data))); }, code);
}

TEST(ConvertTokenizer, PiecesOfScoresBecomeTheirMerges) {
  const HfTokenizerFiles files = hf_tokenizer_of(TokenizerOnly(gguf_data(test::small_sentencepiece())));
  const Json json = parse_json(files.tokenizer_json, "tokenizer.json");
  EXPECT_EQ(json["model"]["merges"], Json({"\u2581 a", "a b", "ab c", "\u2581 \u2581"}));
  EXPECT_EQ(json["added_tokens"].size(), 3u);
  EXPECT_EQ(json["model"]["vocab"].size(), 267u);
}

TEST(ConvertTokenizer, APieceThatIsCutAtEveryPlaceDoesNotMakeAFileWithoutBound) {
  test::SentencePieceVocabulary v = test::small_sentencepiece();
  for (const char letter : {'x', 'y'}) {
    for (size_t n = 1; n <= Tokenizer::kMaxScoredPieceBytes; ++n) v.add(std::string(n, letter), -5, 1);
  }
  EXPECT_THAT(hf_refusal(gguf_data(v), ErrorCode::kUnsupported), HasSubstr("more than 67108864 bytes"));
  v = test::small_sentencepiece();
  v.add(std::string(Tokenizer::kMaxScoredPieceBytes + 1, 'x'), -5, 1);
  EXPECT_THAT(hf_refusal(gguf_data(v), ErrorCode::kCorrupt), HasSubstr("at most 512"));
}

TEST(ConvertTokenizer, AScoreThatIsNoNumberIsRefused) {
  test::SentencePieceVocabulary v = test::small_sentencepiece();
  v.scores[261] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(hf_refusal(gguf_data(v), ErrorCode::kCorrupt), HasSubstr("score of token 261"));
}

std::string varint(uint64_t value) {
  std::string text;
  for (; value >= 0x80; value >>= 7) text += static_cast<char>((value & 0x7F) | 0x80);
  return text + static_cast<char>(value);
}
std::string bytes_field(uint64_t number, const std::string& bytes) {
  return varint(number << 3 | 2) + varint(bytes.size()) + bytes;
}
std::string int_field(uint64_t number, uint64_t value) { return varint(number << 3) + varint(value); }

/// SentencePiece's tokenizer.model with this id as bos.
std::string model_with_bos(uint64_t bos) {
  const test::SentencePieceVocabulary v = test::small_sentencepiece();
  std::string model;
  for (size_t id = 0; id < v.tokens.size(); ++id) {
    std::string score(sizeof(float), '\0');
    std::memcpy(score.data(), &v.scores[id], sizeof(float));
    model += bytes_field(
        1, bytes_field(1, v.tokens[id]) + "\x15" + score + int_field(3, static_cast<uint64_t>(v.types[id])));
  }
  return model + bytes_field(2, int_field(3, 2) + int_field(41, bos)) +
         bytes_field(3, bytes_field(1, "identity") + int_field(4, 0));
}

TEST(ConvertTokenizer, AnIdOutsideTheVocabularyIsRefused) {
  TokenizerData data;
  data.tokenizer_model = model_with_bos(1);
  EXPECT_EQ(gguf_tokenizer_of(TokenizerOnly(data)).bos, 1);
  for (const uint64_t bos : {uint64_t{400}, uint64_t{1} << 31}) {
    data.tokenizer_model = model_with_bos(bos);
    refusal([&] { gguf_tokenizer_of(TokenizerOnly(data)); }, ErrorCode::kCorrupt);
  }
}

TEST(ConvertTokenizer, ThePadTokenOfAConfigIsATextOrAnObjectWithOne) {
  TokenizerData data;
  data.tokenizer_json = test::small_json({{"a", "b"}}, {"<pad>"}).dump();
  for (const char* config :
       {R"({"pad_token":"<pad>"})", R"({"pad_token":{"content":"<pad>"},"unk_token":null})"}) {
    data.tokenizer_config_json = config;
    EXPECT_EQ(gguf_tokenizer_of(TokenizerOnly(data)).pad, 257) << config;
  }
  for (const char* config : {R"({"pad_token":{"content":5}})", R"({"pad_token":5})"}) {
    data.tokenizer_config_json = config;
    EXPECT_THAT(refusal([&] { gguf_tokenizer_of(TokenizerOnly(data)); }, ErrorCode::kCorrupt),
                HasSubstr("a string"));
  }
}

}  // namespace
}  // namespace chaski
