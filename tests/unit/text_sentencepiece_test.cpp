// SentencePiece's BPE: merging by scores, byte fallback, the space before text, and its three kinds of files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "base/error.h"
#include "support/error_of.h"
#include "text/text_stream.h"
#include "unit/text_vocab.h"

namespace chaski {
namespace {

using test::error_of;

using test::SentencePieceVocabulary;
using test::small_sentencepiece;
using testing::ElementsAre;
using testing::HasSubstr;
using Ids = std::vector<int32_t>;

// Of small_sentencepiece: 0 <unk>, 1 <s>, 2 </s>, 3 to 258 the bytes, then ▁ a b c, ▁a, ab, abc, ▁▁.
constexpr int32_t kByte0 = 3, kSpace = 259, kA = 260, kB = 261, kC = 262, kSpaceA = 263, kAb = 264,
                  kAbc = 265, kTwoSpaces = 266;

Tokenizer small() { return Tokenizer(spec_from_gguf(small_sentencepiece().view(), "t.gguf")); }

TEST(SentencePiece, NeighboursMergeByTheScoreOfWhatTheyJoinTo) {
  const Tokenizer tokenizer = small();
  EXPECT_THAT(tokenizer.encode("abc"), ElementsAre(kSpaceA, kB, kC)) << "▁a has the best score";
  EXPECT_THAT(tokenizer.encode("cabc"), ElementsAre(kSpace, kC, kAbc));
  EXPECT_THAT(tokenizer.encode("c ab"), ElementsAre(kSpace, kC, kSpaceA, kB));
  EXPECT_THAT(tokenizer.encode("   c"), ElementsAre(kTwoSpaces, kTwoSpaces, kC));
}

TEST(SentencePiece, CharactersWithoutATokenBecomeTheirBytes) {
  const Tokenizer tokenizer = small();
  EXPECT_THAT(tokenizer.encode("é"), ElementsAre(kSpace, kByte0 + 0xC3, kByte0 + 0xA9));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("é中\n😀 a"), false), "é中\n😀 a");
}

TEST(SentencePiece, APieceMadeOfACharacterWithoutATokenIsRefused) {
  const auto refusal = [](const char* piece) {
    SentencePieceVocabulary v = small_sentencepiece();
    v.add(piece, -5, 1);
    return error_of([&] { Tokenizer(spec_from_gguf(v.view(), "t.gguf")); });
  };
  for (const char* piece : {"\n\n", "\nab", "ab\n", "中文"}) {
    const Error error = refusal(piece);
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported) << piece;
    EXPECT_THAT(error.what(), HasSubstr("piece 267 \"")) << piece;
  }
  SentencePieceVocabulary v = small_sentencepiece();
  v.add("a\nb", -5, 1);  // neither "a\n" nor "\nb" is there, so no merge can make it
  v.add("\n\n", -5, 4);  // matched in text, not merged
  EXPECT_NO_THROW(Tokenizer(spec_from_gguf(v.view(), "t.gguf")));
}

TEST(SentencePiece, WithoutByteTokensUnknownNeighboursAreOneUnknownToken) {
  SentencePieceVocabulary v;
  v.add("<unk>", 0, 2);
  for (const char* piece : {"\xE2\x96\x81", "a"}) v.add(piece, -1, 1);
  GgufVocabulary view = v.view();
  view.add_bos = false;
  EXPECT_THAT(Tokenizer(spec_from_gguf(view, "t.gguf")).encode("xyaz"), ElementsAre(1, 0, 2, 0));
  view.unk = std::nullopt;
  v.types[0] = 1;
  const TokenizerSpec spec = [&] {
    TokenizerSpec s = spec_from_gguf(v.view(), "t.gguf");
    s.unk.reset();
    return s;
  }();
  EXPECT_THAT(error_of([&] { Tokenizer{spec}; }).what(), HasSubstr("no token for the byte"));
}

TEST(SentencePiece, TheSpaceBeforeTextStandsAfterSpecialTokensTooAndCanBeOff) {
  const Tokenizer tokenizer = small();
  EXPECT_THAT(tokenizer.encode("<s>a</s>b", {.parse_special = true}), ElementsAre(1, kSpaceA, 2, kSpace, kB));
  EXPECT_THAT(tokenizer.encode(""), ElementsAre());
  EXPECT_THAT(tokenizer.encode("a", {.add_bos = true}), ElementsAre(1, kSpaceA));
  const SentencePieceVocabulary v = small_sentencepiece();
  GgufVocabulary view = v.view();
  view.add_space_prefix = false;
  const Tokenizer bare{spec_from_gguf(view, "t.gguf")};
  EXPECT_THAT(bare.encode("a"), ElementsAre(kA));
  EXPECT_EQ(bare.decode(Ids{kSpaceA}, false), " a");
}

TEST(SentencePiece, AStreamLosesTheFirstSpaceAndJoinsBytes) {
  const Tokenizer tokenizer = small();
  TextStream stream(tokenizer);
  EXPECT_EQ(stream.push(1), "");
  EXPECT_EQ(stream.push(kSpaceA), "a");
  EXPECT_EQ(stream.push(kByte0 + 0xE4), "");
  EXPECT_EQ(stream.push(kByte0 + 0xB8), "");
  EXPECT_EQ(stream.push(kByte0 + 0xAD), "中");
  EXPECT_EQ(stream.push(kSpaceA), " a");
  EXPECT_EQ(stream.push(kByte0 + 0xFF), "\xEF\xBF\xBD");
  EXPECT_EQ(stream.text(), "a中 a\xEF\xBF\xBD");
  TextStream spaces(tokenizer);
  EXPECT_EQ(spaces.push(kTwoSpaces), " ");
  EXPECT_EQ(spaces.push(kTwoSpaces), "  ");
}

TEST(SentencePiece, PiecesThatReachAcrossASpaceStillMerge) {
  SentencePieceVocabulary v = small_sentencepiece();
  v.add("c\xE2\x96\x81", -0.25F, 1);
  const int32_t across = static_cast<int32_t>(v.tokens.size()) - 1;
  const Tokenizer tokenizer{spec_from_gguf(v.view(), "t.gguf")};
  EXPECT_THAT(tokenizer.encode("c a"), ElementsAre(kSpace, across, kA));
}

/// The vocabulary as tokenizer.json, with merges in the order of the scores.
Json small_characters_json() {
  const SentencePieceVocabulary v = small_sentencepiece();
  Json vocab = Json::object();
  for (size_t id = 0; id < v.tokens.size(); ++id) vocab[v.tokens[id]] = id;
  const auto token = [](int id, const char* text) {
    return Json{{"id", id}, {"content", text}, {"special", true}, {"normalized", false}};
  };
  const Json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}};
  const Json back = {{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}};
  return {{"added_tokens", {token(0, "<unk>"), token(1, "<s>"), token(2, "</s>")}},
          {"normalizer",
           {{"type", "Sequence"}, {"normalizers", {{{"type", "Prepend"}, {"prepend", "\u2581"}}, replace}}}},
          {"pre_tokenizer", nullptr},
          {"decoder",
           {{"type", "Sequence"},
            {"decoders",
             {back,
              {{"type", "ByteFallback"}},
              {{"type", "Fuse"}},
              {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}}},
          {"model",
           {{"type", "BPE"},
            {"byte_fallback", true},
            {"fuse_unk", true},
            {"unk_token", "<unk>"},
            {"vocab", vocab},
            {"merges", {"\u2581 a", "a b", "ab c", "\u2581 \u2581"}}}}};
}

Tokenizer load(const Json& json) { return Tokenizer::from_tokenizer_json(to_json_text(json), "t.json"); }

TEST(SentencePiece, TokenizerJsonGivesTheSameIds) {
  const Tokenizer from_json = load(small_characters_json()), from_gguf = small();
  for (const char* text : {"abc", "cabc", "   c", "é中", "a<s>b", "\u2581a", "a\n b", ""}) {
    EXPECT_EQ(from_json.encode(text), from_gguf.encode(text)) << text;
    EXPECT_EQ(from_json.encode(text, {.parse_special = true}),
              from_gguf.encode(text, {.parse_special = true}))
        << text;
  }
  EXPECT_EQ(from_json.decode(Ids{kSpaceA, kB}, false), "ab");
}

TEST(SentencePiece, MetaspaceSaysWhereTheSpaceIsPutAndWhetherItCuts) {
  Json json = small_characters_json();
  json["normalizer"] = nullptr;
  const auto with = [&](const char* scheme, bool split) {
    json["pre_tokenizer"] = {
        {"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", scheme}, {"split", split}};
    return load(json).encode("b<s>a", {.parse_special = true});
  };
  EXPECT_THAT(with("first", false), ElementsAre(kSpace, kB, 1, kA));
  EXPECT_THAT(with("always", false), ElementsAre(kSpace, kB, 1, kSpaceA));
  EXPECT_THAT(with("never", false), ElementsAre(kB, 1, kA));
  with("first", true);
  EXPECT_THAT(load(json).encode("  b"), ElementsAre(kSpace, kSpace, kB)) << "no piece of two spaces";
}

TEST(SentencePiece, FormsOfTokenizerJsonThatAreNotKnownAreRefused) {
  const auto expect = [](const char* pointer, const Json& value, const char* named) {
    Json json = small_characters_json();
    json[Json::json_pointer(pointer)] = value;
    const Error error = error_of([&] { load(json); });
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(named));
  };
  expect("/normalizer/normalizers/0/prepend", "_", "normalizer");
  expect("/normalizer/normalizers/1", {{"type", "NFC"}}, "normalizer");
  expect("/normalizer", nullptr, "normalizer");
  expect("/decoder", {{"type", "ByteLevel"}}, "decoder");
  expect("/decoder/decoders/3/start", 2, "decoder");
  expect("/pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "\u2581"}}, "normalizer");
  expect("/added_tokens/0/normalized", true, "normalized");
}

std::string field(int number, const std::string& bytes) {
  std::string out(1, static_cast<char>(number << 3 | 2));
  for (size_t n = bytes.size(); true; n >>= 7) {
    out += static_cast<char>(n < 0x80 ? n : (n & 0x7F) | 0x80);
    if (n < 0x80) break;
  }
  return out + bytes;
}

std::string number(int field_number, int value) {
  return {static_cast<char>(field_number << 3 & 0x7F), static_cast<char>(value)};
}

/// A tokenizer.model of the small vocabulary; `trainer` and `normalizer` are appended to its messages.
std::string small_model(const std::string& trainer = {}, const std::string& normalizer = {}) {
  const SentencePieceVocabulary v = small_sentencepiece();
  std::string model;
  for (size_t id = 0; id < v.tokens.size(); ++id) {
    std::string score(4, '\0');
    std::memcpy(score.data(), &v.scores[id], 4);
    model += field(1, field(1, v.tokens[id]) + "\x15" + score + number(3, v.types[id]));
  }
  return model + field(2, number(3, 2) + trainer) +
         field(3, field(1, "identity") + number(4, 0) + normalizer);
}

TEST(SentencePiece, TheModelFileGivesTheSameIdsAndKnowsBos) {
  const Tokenizer from_model = Tokenizer::from_sentencepiece(small_model(), {}, "tokenizer.model");
  for (const char* text : {"abc", "cabc", "   c", "é中", "a<s>b", "a\n b"}) {
    EXPECT_EQ(from_model.encode(text), small().encode(text)) << text;
  }
  EXPECT_EQ(from_model.bos(), 1);
  EXPECT_TRUE(from_model.add_bos());
  EXPECT_FALSE(Tokenizer::from_sentencepiece(small_model(), R"({"add_bos_token": false})", "m").add_bos());
  EXPECT_EQ(spec_from_tokenizer_file(small_model(), {}, "m").bos, 1) << "told by its content";
  const Tokenizer bare = Tokenizer::from_sentencepiece(small_model({}, number(3, 0)), {}, "m");
  EXPECT_THAT(bare.encode("a"), ElementsAre(kA));
}

TEST(SentencePiece, ModelsOfOtherKindsAreRefused) {
  const auto expect = [](const std::string& model, const char* named) {
    const Error error = error_of([&] { Tokenizer::from_sentencepiece(model, {}, "m"); });
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(named));
  };
  expect(small_model(number(3, 1)), "unigram");
  expect(small_model({}, field(2, "x")), "charsmap");
  expect(small_model({}, number(4, 1)), "remove_extra_whitespaces");
  expect(small_model({}, number(5, 0)), "escape_whitespaces");
  const std::string config = R"({"added_tokens_decoder": {"300": {"content": "<x>"}}})";
  EXPECT_THAT(error_of([&] { Tokenizer::from_sentencepiece(small_model(), config, "m"); }).what(),
              HasSubstr("<x>"));
}

TEST(SentencePiece, DamagedModelFilesAreRefusedAtEveryLength) {
  const std::string model = small_model();
  for (size_t n = 0; n < model.size(); n += 7) {
    error_of([&] { Tokenizer::from_sentencepiece(model.substr(0, n), {}, "m"); });
  }
  const auto refuses = [](const std::string& bytes) {
    return error_of([&] { Tokenizer::from_sentencepiece(bytes, {}, "m"); }).code() == ErrorCode::kCorrupt;
  };
  EXPECT_TRUE(refuses("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"));
  EXPECT_TRUE(refuses(model + "\x0B"));
  EXPECT_TRUE(refuses(model + field(1, "")));
  SentencePieceVocabulary v = small_sentencepiece();
  v.scores.back() = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(error_of([&] { Tokenizer{spec_from_gguf(v.view(), "t.gguf")}; }).code(), ErrorCode::kCorrupt);
  v.scores.pop_back();
  EXPECT_EQ(error_of([&] { spec_from_gguf(v.view(), "t.gguf"); }).code(), ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace chaski
