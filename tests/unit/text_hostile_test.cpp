// Hostile vocabularies and texts, by the numbers of the project's list: H35 and H51 to H60.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "base/byte_alphabet.h"
#include "base/error.h"
#include "base/utf8.h"
#include "support/error_of.h"
#include "text/text_stream.h"
#include "unit/text_vocab.h"

namespace chaski {
namespace {

using test::error_of;

using test::small_json;
using test::small_sentencepiece;
using test::small_spec;
using testing::ElementsAre;
using testing::HasSubstr;
using Ids = std::vector<int32_t>;

Error json_error(const Json& json) {
  return error_of([&] { Tokenizer::from_tokenizer_json(to_json_text(json), "t.json"); });
}

Error json_error_with(const char* pointer, const Json& value) {
  Json json = small_json({{"a", "b"}}, {"<s>"});
  json[Json::json_pointer(pointer)] = value;
  return json_error(json);
}

TEST(HostileTokenizer, H35ByteTokensThatNameNoByteAreRefusedOrPlainText) {
  for (const char* text : {"<0x-1>", "<0xZZ>", "<0x100>", "<0x>", "<0xab>", "0x41"}) {
    test::SentencePieceVocabulary v = small_sentencepiece();
    v.add(text, -50, 6);
    EXPECT_EQ(error_of([&] { spec_from_gguf(v.view(), "t.gguf"); }).code(), ErrorCode::kCorrupt) << text;
    test::SentencePieceVocabulary plain = small_sentencepiece();
    plain.add(text, -50, 1);
    const Tokenizer tokenizer{spec_from_gguf(plain.view(), "t.gguf")};
    EXPECT_EQ(tokenizer.piece(tokenizer.vocab_size() - 1), text);
  }
  test::SentencePieceVocabulary twice = small_sentencepiece();
  twice.add("<0x41>", -50, 6);
  EXPECT_THAT(error_of([&] { spec_from_gguf(twice.view(), "t.gguf"); }).what(), HasSubstr("0x41"));
}

TEST(HostileTokenizer, H51LongRunsTakeLinearTimeWithEverySplitRule) {
  for (int i = 0; i <= static_cast<int>(SplitRule::kLast); ++i) {
    const auto rule = static_cast<SplitRule>(i);
    for (const std::string unit : {"a", "A", "aA", " ", "7", "中", "e\xCC\x81", "\xCC\x81", "\xE2\x80\x8D",
                                   "'", "\n", " \n", "<", "'s", "\xC2\x85", "\x01"}) {
      std::string text;
      while (text.size() < 100'000) text += unit;
      text += "x";
      const auto start = std::chrono::steady_clock::now();
      size_t n_bytes = 0;
      for (Splitter splitter(rule, text); !splitter.at_end();) n_bytes += splitter.next().size();
      EXPECT_EQ(n_bytes, text.size());
      // A quadratic scan reads each character tens of thousands of times; this leaves room for a busy
      // machine.
      EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(3))
          << static_cast<int>(rule) << " " << unit;
    }
  }
}

TEST(HostileTokenizer, H51CharactersMergeInLinearTimeToo) {
  test::SentencePieceVocabulary v = small_sentencepiece();
  v.add("aa", -1, 1);
  v.add("aaaa", -2, 1);
  v.add("a\xE2\x96\x81", -3, 1);  // reaches across a space, so that the text is one pre-token
  const Tokenizer tokenizer{spec_from_gguf(v.view(), "t.gguf")};
  for (const std::string unit : {"a", " ", "a ", "中", "\xF0\x9F\x98\x80"}) {
    std::string text;
    while (text.size() < 300'000) text += unit;
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text), false), text);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10)) << unit;
  }
}

TEST(HostileTokenizer, H52InvalidBytesAndNulKeepTheirRoundTrip) {
  const std::string text = std::string("a\0b", 3) + "\xC0\x80\xED\xA0\x80\xF4\x90\x80\x80\xFF\xE4\xB8";
  const std::string valid = replace_invalid_utf8(text);
  const Tokenizer bytes{small_spec({{"a", "b"}})};
  const Tokenizer characters{spec_from_gguf(small_sentencepiece().view(), "t.gguf")};
  for (const Tokenizer* tokenizer : {&bytes, &characters}) {
    const Ids ids = tokenizer->encode(text);
    EXPECT_EQ(tokenizer->decode(ids, false), valid);
    EXPECT_EQ(tokenizer->encode(tokenizer->decode(ids, false)), ids);
  }
}

TEST(HostileTokenizer, H53PatternsAreRecognisedOrRefusedWhenLoadedAndNeverRun) {
  for (const char* pattern : {"(a+)+$", "(?<=a)b", "(?=(a+))\\1", "", "\\p{N}{1,4}"}) {
    Json split = {{"type", "Split"}, {"behavior", "Isolated"}};
    split["pattern"]["Regex"] = pattern;
    const Json steps = Json::array({split, {{"type", "ByteLevel"}, {"add_prefix_space", false}}});
    const Error error = json_error_with("/pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", steps}});
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported) << pattern;
    EXPECT_THAT(error.what(), HasSubstr("pre_tokenizer")) << pattern;
  }
}

TEST(HostileTokenizer, H54IdsThatRepeatAreNegativeOrLeaveHolesAreRefused) {
  for (const Json& id : {Json(97), Json(-1), Json(int64_t{1} << 31), Json(1'000'000'000), Json(1.5)}) {
    EXPECT_EQ(json_error_with("/model/vocab/ab", id).code(), ErrorCode::kCorrupt) << id;
  }
  EXPECT_EQ(json_error_with("/added_tokens/0/id", 1'000'000'000).code(), ErrorCode::kCorrupt);
  EXPECT_EQ(json_error_with("/added_tokens/0/id", -1).code(), ErrorCode::kCorrupt);
}

TEST(HostileTokenizer, H55MergesOfUnknownOrEmptyPiecesAreRefused) {
  for (const char* merge : {"a zz", " ", " a", "a ", "a", "a b c", ""}) {
    EXPECT_EQ(json_error_with("/model/merges", Json::array({merge})).code(), ErrorCode::kCorrupt) << merge;
  }
  EXPECT_EQ(json_error_with("/model/merges", Json::array({Json::array({"", ""})})).code(),
            ErrorCode::kCorrupt);
  TokenizerSpec spec = small_spec({});
  while (spec.merges.size() <= Tokenizer::kMaxVocab) spec.merges.emplace_back("", "");
  EXPECT_THAT(error_of([&] { Tokenizer{spec}; }).what(), HasSubstr("merges"));
}

TEST(HostileTokenizer, H56SpecialTextOfTheUserStaysPlainInBothKindsOfVocabulary) {
  const Tokenizer tokenizer{spec_from_gguf(small_sentencepiece().view(), "t.gguf")};
  for (const int32_t id : tokenizer.encode("</s>a<s>")) EXPECT_FALSE(tokenizer.is_special(id));
  const std::string prompt = "<s>ab</s>";
  const Ids ids = tokenizer.encode_rendered(prompt, std::vector<PlainSpan>{{3, prompt.size()}});
  EXPECT_EQ(ids.front(), 1);
  EXPECT_EQ(std::count_if(ids.begin(), ids.end(), [&](int32_t id) { return tokenizer.is_special(id); }), 1);
}

TEST(HostileTokenizer, H57AddedTokensThatShareTextMatchTheLongestAndTakeTheirSpaces) {
  TokenizerSpec spec = small_spec({}, {"<a>", "<a><b>", "<b>"});
  spec.added = {{.id = 256}, {.id = 257, .lstrip = true, .rstrip = true}, {.id = 258, .rstrip = true}};
  const Tokenizer tokenizer{spec};
  const auto encode = [&](const char* text) { return tokenizer.encode(text, {.parse_special = true}); };
  EXPECT_THAT(encode("<a> <a><b> <b> x"), ElementsAre(256, 257, 258, 'x'));
  EXPECT_THAT(encode("<a><a><b"), ElementsAre(256, 256, '<', 'b'));
}

TEST(HostileTokenizer, H57AddedTokensThatAreNoCharactersCutNone) {
  TokenizerSpec spec = small_spec({}, {"\xB8", "\xE4"});
  spec.split = SplitRule::kLlama3;
  const Tokenizer tokenizer{spec};
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("a中", {.parse_special = true}), true), "a中");
}

TEST(HostileTokenizer, H58UnknownAndDeeplyNestedStepsAreRefused) {
  Json nested = {{"type", "NFC"}};
  for (int i = 0; i < 30; ++i) nested = {{"type", "Sequence"}, {"normalizers", Json::array({nested})}};
  EXPECT_EQ(json_error_with("/normalizer", nested).code(), ErrorCode::kUnsupported);
  EXPECT_EQ(json_error_with("/decoder", {{"type", "Sequence"}, {"decoders", Json::array()}}).code(),
            ErrorCode::kUnsupported);
  EXPECT_EQ(json_error_with("/normalizer", {{"type", "Nobody"}}).code(), ErrorCode::kUnsupported);
  std::string deep = "{\"decoder\":";
  for (int i = 0; i < 1000; ++i) deep += R"({"type":"Sequence","decoders":[)";
  for (int i = 0; i < 1000; ++i) deep += "]}";
  const Error error = error_of([&] { Tokenizer::from_tokenizer_json(deep + "}", "t.json"); });
  EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
  EXPECT_THAT(error.what(), HasSubstr("deep"));
}

TEST(HostileTokenizer, H59LongPiecesAreRefused) {
  for (const size_t n_bytes : {size_t{4097}, size_t{65'537}, size_t{1} << 20}) {
    Json json = small_json({{"a", "b"}});
    json["model"]["vocab"][std::string(n_bytes, 'a')] = 257;
    EXPECT_EQ(json_error(json).code(), ErrorCode::kCorrupt);
    test::SentencePieceVocabulary v = small_sentencepiece();
    v.add(std::string(n_bytes, 'a'), -1, 1);
    EXPECT_EQ(error_of([&] { Tokenizer{spec_from_gguf(v.view(), "t.gguf")}; }).code(), ErrorCode::kCorrupt);
  }
}

TEST(HostileTokenizer, H59AddedTokensOfManyBytesTogetherAreRefused) {
  test::SentencePieceVocabulary v = small_sentencepiece();
  constexpr int32_t kUserDefined = 4;
  for (int i = 0; i < 9000; ++i) v.add(fmt::format("{:0512}", i), 0, kUserDefined);
  EXPECT_THAT(error_of([&] { Tokenizer{spec_from_gguf(v.view(), "t.gguf")}; }).what(),
              HasSubstr("added tokens of more than"));
}

TEST(HostileTokenizer, AByteLevelVocabularyThatLostItsMergesIsRefused) {
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    tokens.push_back(alphabet_from_bytes({&c, 1}));
  }
  tokens.push_back("ab");
  const std::vector<int32_t> types(257, 1);
  GgufVocabulary v;
  v.pre = "llama-bpe";
  v.tokens = std::span(tokens).first(256);
  v.token_types = std::span(types).first(256);
  EXPECT_NO_THROW(Tokenizer{spec_from_gguf(v, "t.gguf")});
  v.tokens = tokens;
  v.token_types = types;
  EXPECT_THAT(error_of([&] { spec_from_gguf(v, "t.gguf"); }).what(), HasSubstr("no merges"));
}

TEST(HostileTokenizer, H60MoreTextThanAnIdCanCountIsRefusedBeforeItIsRead) {
  const Tokenizer tokenizer{small_spec({})};
  const char first = 'a';
  for (const size_t n_bytes : {size_t{INT32_MAX}, size_t{1} << 31, (size_t{1} << 32) + 1}) {
    const std::string_view text(&first, n_bytes);  // only its length is looked at
    EXPECT_EQ(error_of([&] { tokenizer.encode(text); }).code(), ErrorCode::kUsage);
    EXPECT_EQ(error_of([&] { tokenizer.encode_rendered(text, {}); }).code(), ErrorCode::kUsage);
  }
}

}  // namespace
}  // namespace chaski
