// The tokenizer on small vocabularies: split rules, merging, special tokens, files, and what is refused.
#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <set>

#include "base/error.h"
#include "base/utf8.h"
#include "support/error_of.h"
#include "support/heap_meter.h"
#include "unit/text_vocab.h"

namespace chaski {
namespace {

using test::error_of;

using test::small_json;
using test::small_spec;
using testing::ElementsAre;
using testing::HasSubstr;
using Ids = std::vector<int32_t>;

std::vector<std::string> split(SplitRule rule, std::string_view text) {
  std::vector<std::string> parts;
  for (Splitter splitter(rule, text); !splitter.at_end();) {
    parts.emplace_back(splitter.next());
    EXPECT_FALSE(parts.back().empty());
  }
  return parts;
}

/// Runs `load` and gives the error; fails the test where there is none.
Error json_error(const Json& json) {
  return error_of([&] { Tokenizer::from_tokenizer_json(to_json_text(json), "t.json"); });
}

TEST(Split, Llama3RuleCutsNumbersByThreeAndKeepsOneCharacterBeforeLetters) {
  EXPECT_THAT(split(SplitRule::kLlama3, "Hello, world! 12345"),
              ElementsAre("Hello", ",", " world", "!", " ", "123", "45"));
  EXPECT_THAT(split(SplitRule::kLlama3, "(x)\t\tkey\xC2\xA0nb"),
              ElementsAre("(x", ")", "\t", "\tkey", "\xC2\xA0nb"));
  EXPECT_THAT(split(SplitRule::kLlama3, "中文，好"), ElementsAre("中文", "，好"));
}

TEST(Split, ContractionsIgnoreCaseInLlama3RuleOnly) {
  EXPECT_THAT(split(SplitRule::kLlama3, "I'LL can't x'\xC5\xBFy"),
              ElementsAre("I", "'LL", " can", "'t", " x", "'\xC5\xBF", "y"));
  EXPECT_THAT(split(SplitRule::kGpt2, "I'LL can't"), ElementsAre("I", "'", "LL", " can", "'t"));
}

TEST(Split, WhiteSpaceLeavesItsLastCharacterToTheWordAndEndsAtNewlines) {
  EXPECT_THAT(split(SplitRule::kLlama3, "a   b \n \n  c  "),
              ElementsAre("a", "  ", " b", " \n \n", " ", " c", "  "));
  EXPECT_THAT(split(SplitRule::kLlama3, "!\r\n\nx"), ElementsAre("!\r\n\n", "x"));
  EXPECT_THAT(split(SplitRule::kGpt2, "a   b\n\n c"), ElementsAre("a", "  ", " b", "\n\n", " c"));
}

TEST(Split, SmolLmRuleIsolatesEachDigitAndEndsSegmentsThere) {
  EXPECT_THAT(split(SplitRule::kSmolLm, "a  12 b"), ElementsAre("a", "  ", "1", "2", " b"));
  EXPECT_THAT(split(SplitRule::kGpt2, "a  12 b"), ElementsAre("a", " ", " 12", " b"));
}

/// Merging by the definition: the best pair, leftmost first, until there is none.
Ids merge_by_definition(const TokenizerSpec& spec, std::string_view text) {
  std::vector<std::string> parts;
  for (const char c : text) {
    if (!spec.pieces[static_cast<unsigned char>(c)].empty()) parts.emplace_back(1, c);
  }
  while (true) {
    size_t best_rank = spec.merges.size();
    size_t best_at = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      for (size_t rank = 0; rank < best_rank; ++rank) {
        if (spec.merges[rank].first != parts[i] || spec.merges[rank].second != parts[i + 1]) continue;
        best_rank = rank;
        best_at = i;
      }
    }
    if (best_rank == spec.merges.size()) break;
    parts[best_at] += parts[best_at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
  }
  Ids ids;
  for (const std::string& part : parts) {
    ids.push_back(
        static_cast<int32_t>(std::find(spec.pieces.begin(), spec.pieces.end(), part) - spec.pieces.begin()));
  }
  return ids;
}

TEST(Tokenizer, ShortAndLongPiecesMergeAsTheDefinitionSays) {
  const TokenizerSpec spec = small_spec({{"a", "b"},
                                         {"b", "a"},
                                         {"ab", "a"},
                                         {"a", "a"},
                                         {"aa", "aa"},
                                         {"b", "b"},
                                         {"ba", "bb"},
                                         {"aba", "b"}});
  const Tokenizer tokenizer{spec};
  std::mt19937 rng(7);
  for (int i = 0; i < 400; ++i) {
    std::string text;
    const size_t length = 1 + rng() % 150;
    while (text.size() < length) text += "aaab"[rng() % 4];
    EXPECT_EQ(tokenizer.encode(text), merge_by_definition(spec, text)) << text;
  }
}

/// A vocabulary whose merges are made at random in texts of `characters`, across their edges too, in any
/// order and some tokens in two ways; `missing` is a byte without a token.
TokenizerSpec random_spec(const std::vector<std::string>& characters, unsigned char missing,
                          std::mt19937& rng) {
  std::vector<std::string> pieces;
  std::vector<std::pair<std::string, std::string>> merges;
  for (int i = 0; i < 60; ++i) {
    std::string text;
    while (text.size() < 12) text += characters[rng() % characters.size()];
    const auto piece_at = [&](size_t at) {  // a byte, or one of the pieces so far
      std::string found = text.substr(at, 1);
      for (const std::string& piece : pieces) {
        if (rng() % 2 == 0 && text.compare(at, piece.size(), piece) == 0) found = piece;
      }
      return found;
    };
    const size_t at = rng() % 4;
    const std::string left = piece_at(at);
    if (at + left.size() >= text.size()) continue;
    const std::string right = piece_at(at + left.size());
    if ((left + right).find(static_cast<char>(missing)) != std::string::npos) continue;
    pieces.push_back(left + right);
    merges.emplace_back(left, right);
  }
  if (rng() % 2 == 0) std::shuffle(merges.begin(), merges.end(), rng);
  std::sort(pieces.begin(), pieces.end());
  pieces.erase(std::unique(pieces.begin(), pieces.end()), pieces.end());
  TokenizerSpec spec = small_spec({});
  spec.pieces[missing].clear();
  spec.pieces.insert(spec.pieces.end(), pieces.begin(), pieces.end());
  spec.is_special.resize(spec.pieces.size(), false);
  std::set<std::pair<std::string, std::string>> seen;
  for (const auto& merge : merges) {
    if (seen.insert(merge).second) spec.merges.emplace_back(merge.first, merge.second);
  }
  spec.split = SplitRule::kWhole;
  return spec;
}

TEST(Tokenizer, CharactersOfSeveralBytesMergeAsTheDefinitionSaysWhateverTheMerges) {
  const std::vector<std::string> characters{"a",      " ",      "\x04",   "\u00E9",    "\u00EA",
                                            "\u4E2D", "\u4E8D", "\u56FD", "\U0001F600"};
  std::mt19937 rng(5);
  for (int i = 0; i < 60; ++i) {
    constexpr unsigned char kMissing[] = {0x04, 0x04, 0x04, 0xE4, 0xAD, 0xC3};
    const TokenizerSpec spec = random_spec(characters, kMissing[rng() % std::size(kMissing)], rng);
    const Tokenizer tokenizer{spec};
    for (int k = 0; k < 20; ++k) {
      std::string text;
      const size_t n_bytes = i % 6 == 0 && k == 0 ? 220 : 24;
      while (text.size() < n_bytes) text += characters[rng() % characters.size()];
      ASSERT_EQ(tokenizer.encode(text), merge_by_definition(spec, text)) << i << ": " << text;
    }
  }
}

TEST(Tokenizer, WholePiecesBeatMergesOnlyWhereTheFileSaysSo) {
  TokenizerSpec spec = small_spec({{"a", "b"}, {"b", "c"}});
  spec.pieces.push_back("abc");
  spec.is_special.push_back(false);
  EXPECT_THAT(Tokenizer(spec).encode("abc"), ElementsAre(256, 'c'));
  spec.ignore_merges = true;
  EXPECT_THAT(Tokenizer(spec).encode("abc"), ElementsAre(258));
}

TEST(Tokenizer, BytesWithoutATokenAreLeftOutAsTheReferenceDoes) {
  TokenizerSpec spec = small_spec({});
  spec.merges = {{"!", "?"}};
  spec.pieces[4] = "!?";
  EXPECT_THAT(Tokenizer(spec).encode("!\x04?"), ElementsAre(4));
}

TEST(Tokenizer, InvalidBytesCountAsTheReplacementCharacter) {
  const Tokenizer tokenizer{small_spec({{"\xEF", "\xBF"}})};
  const std::string text = "a\xFF\xC3(\xE4\xB8\xF0\x9F\x98";
  EXPECT_EQ(tokenizer.encode(text), tokenizer.encode(replace_invalid_utf8(text)));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(text), false), replace_invalid_utf8(text));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(std::string("a\0b", 3)), false), std::string("a\0b", 3));
}

TEST(Tokenizer, SpecialTextIsPlainUnlessTheCallerAllowsIt) {
  const Tokenizer tokenizer{small_spec({}, {"<|eot|>", "<|eot|>x"})};
  EXPECT_EQ(tokenizer.encode("a<|eot|>").size(), 8u);
  EXPECT_THAT(tokenizer.encode("a<|eot|>b", {.parse_special = true}), ElementsAre('a', 256, 'b'));
  EXPECT_THAT(tokenizer.encode("<|eot|>x<|eot|>", {.parse_special = true}), ElementsAre(257, 256));
  EXPECT_EQ(tokenizer.find_special("<|eot|>"), 256);
  EXPECT_EQ(tokenizer.find_special("a"), std::nullopt);
  EXPECT_EQ(tokenizer.decode(Ids{'a', 256, 'b'}, true), "ab");
  EXPECT_EQ(tokenizer.decode(Ids{'a', 256, 'b'}, false), "a<|eot|>b");
}

TEST(Tokenizer, UsersTextNeverBecomesOrBreaksASpecialToken) {
  TokenizerSpec spec = small_spec({}, {"<|eot|>", "<|eot|>!", "t|><"});
  spec.pieces.push_back("xy");
  spec.is_special.push_back(false);
  spec.merges = {{"x", "y"}};
  const Tokenizer tokenizer{spec};
  const auto encode = [&](const std::string& text, std::vector<PlainSpan> plain) {
    return tokenizer.encode_rendered(text, plain);
  };
  EXPECT_THAT(encode("<|eot|>", {}), ElementsAre(256));
  EXPECT_EQ(encode("<|eot|>", {{0, 7}}).size(), 7u);
  EXPECT_EQ(encode("<|eot|>", {{3, 4}}).size(), 7u) << "one byte of the user's is enough";
  EXPECT_EQ(encode("<|eot|>", {{6, 7}}).size(), 7u);
  EXPECT_THAT(encode("<|eot|>", {{3, 3}}), ElementsAre(256)) << "an empty message splits nothing";
  EXPECT_THAT(encode("<|eot|>!", {{7, 8}}), ElementsAre(256, '!'))
      << "the longer token would take the user's byte";
  EXPECT_THAT(encode("t|><|eot|>", {{0, 3}}), ElementsAre('t', '|', '>', 256));
  EXPECT_THAT(encode("xy", {{1, 2}}), ElementsAre(259)) << "an edge is no token boundary";
}

TEST(Tokenizer, PlainSpansFollowTheirTextWhereInvalidBytesAreReplaced) {
  const Tokenizer tokenizer{small_spec({}, {"<|eot|>"})};
  const std::string text = "\xFF\xFF<|eot|><|eot|>";
  const Ids ids = tokenizer.encode_rendered(text, std::vector<PlainSpan>{{0, 9}});
  ASSERT_EQ(ids.size(), 6u + 7u + 1u);
  EXPECT_EQ(ids.back(), 256);
}

TEST(Tokenizer, AddedTokensTakeTheWhiteSpaceTheyAskFor) {
  TokenizerSpec spec = small_spec({}, {"<l>", "<r>"});
  spec.added = {{.id = 256, .lstrip = true}, {.id = 257, .rstrip = true}};
  const Tokenizer tokenizer{spec};
  EXPECT_THAT(tokenizer.encode("a \xE3\x80\x80<l> b", {.parse_special = true}),
              ElementsAre('a', 256, ' ', 'b'));
  EXPECT_THAT(tokenizer.encode("a <r> \n<l>b", {.parse_special = true}),
              ElementsAre('a', ' ', 257, 256, 'b'));
}

TEST(Tokenizer, OfAddedTokensOnlyWhiteSpaceMatchesInTheUsersText) {
  TokenizerSpec spec = small_spec({}, {"<|eot|>"});
  spec.pieces.insert(spec.pieces.end(), {"<turn>", "  \n", "\xE3\x80\x80", " x "});
  spec.is_special.resize(261, false);
  spec.added = {{.id = 257}, {.id = 258}, {.id = 259, .normalized = true}, {.id = 260}};
  const Tokenizer tokenizer{spec};
  const std::string text = "<turn>  \n\xE3\x80\x80 x <|eot|>";
  EXPECT_THAT(tokenizer.encode_rendered(text, {}), ElementsAre(257, 258, 259, 260, 256));
  EXPECT_THAT(
      tokenizer.encode_rendered(text, std::vector<PlainSpan>{{0, text.size()}}),
      ElementsAre('<', 't', 'u', 'r', 'n', '>', 258, 259, ' ', 'x', ' ', '<', '|', 'e', 'o', 't', '|', '>'));
  EXPECT_THAT(tokenizer.encode_rendered("<turn>", std::vector<PlainSpan>{{5, 6}}),
              ElementsAre('<', 't', 'u', 'r', 'n', '>'))
      << "one byte of the user's is enough";
  EXPECT_THAT(tokenizer.encode_rendered("<turn>a<turn>", std::vector<PlainSpan>{{6, 7}}),
              ElementsAre(257, 'a', 257));
}

TEST(Tokenizer, UserDefinedTokensMatchOutsideUsersTextAndNormalizedOnesLast) {
  TokenizerSpec spec = small_spec({});
  spec.pieces.insert(spec.pieces.end(), {"abc", "bcd"});
  spec.is_special.resize(258, false);
  spec.added = {{.id = 256, .normalized = true}, {.id = 257}};
  EXPECT_THAT(Tokenizer(spec).encode("abcd abc"), ElementsAre('a', 257, ' ', 256));
}

TEST(Tokenizer, BosIsPutInFrontWhenAsked) {
  TokenizerSpec spec = small_spec({}, {"<s>"});
  spec.bos = 256;
  spec.add_bos = true;
  const Tokenizer tokenizer{spec};
  EXPECT_TRUE(tokenizer.add_bos());
  EXPECT_THAT(tokenizer.encode("a", {.add_bos = true}), ElementsAre(256, 'a'));
  EXPECT_THAT(tokenizer.encode("a"), ElementsAre('a'));
  EXPECT_EQ(tokenizer.piece(300), "");
  EXPECT_EQ(tokenizer.piece(-1), "");
}

TEST(Tokenizer, LongRunsTakeLinearTime) {
  TokenizerSpec spec = small_spec({{"a", "a"}, {"aa", "aa"}, {"aaaa", "aaaa"}, {" ", " "}, {"\xE4", "\xB8"}});
  spec.split = SplitRule::kLlama3;
  const Tokenizer tokenizer{spec};
  for (const std::string unit : {"a", " ", "7", "中", "e\xCC\x81", "\xE2\x80\x8D", "'", "\n", "<"}) {
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text), false), text);
    // A quadratic algorithm needs hours; this leaves room for sanitizers and a busy machine.
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20)) << unit;
  }
}

TEST(Tokenizer, ALongPreTokenTakesAtMostNineteenBytesPerByteBesideItsIds) {
  TokenizerSpec spec = small_spec({{"a", "a"}, {"aa", "aa"}, {"aaaa", "aaaa"}, {"b", "a"}, {"a", "b"}});
  spec.split = SplitRule::kLlama3;
  const Tokenizer tokenizer{spec};
  for (const std::string unit : {"a", "x", "ab", "aab", "aaaab"}) {
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    heap_meter::reset_peak();
    const size_t before = heap_meter::now();
    const Ids ids = tokenizer.encode(text);
    // A list of ids that grows takes twelve bytes for each at the worst.
    EXPECT_LT(heap_meter::peak() - before, 19 * text.size() + 12 * ids.size()) << unit;
    EXPECT_EQ(tokenizer.decode(ids, false), text);
  }
}

TEST(TokenizerJson, ReadsBothSpellingsOfMerges) {
  Json json = small_json({{"a", "b"}, {" ", "ab"}}, {"<s>"});
  const Tokenizer strings = Tokenizer::from_tokenizer_json(to_json_text(json), "t.json");
  json["model"]["merges"] = Json::array({Json::array({"a", "b"}), Json::array({"Ġ", "ab"})});
  const Tokenizer pairs = Tokenizer::from_tokenizer_json(to_json_text(json), "t.json");
  EXPECT_THAT(strings.encode("ab ab"), ElementsAre(256, 257));
  EXPECT_EQ(pairs.encode("ab ab"), strings.encode("ab ab"));
  EXPECT_TRUE(strings.is_special(258));
}

TEST(TokenizerJson, TakesBosFromTheTemplateAndEosFromTheConfig) {
  Json json = small_json({{"a", "b"}}, {"<s>", "</s>"});
  json["post_processor"] = {
      {"type", "Sequence"},
      {"processors",
       {{{"type", "ByteLevel"}},
        {{"type", "TemplateProcessing"},
         {"single", {{{"SpecialToken", {{"id", "<s>"}}}}, {{"Sequence", {{"id", "A"}}}}}}}}}};
  const std::string config = R"({"eos_token": {"content": "</s>"}, "bos_token": "<s>"})";
  const Tokenizer tokenizer = Tokenizer::from_tokenizer_json(to_json_text(json), config, "t.json");
  EXPECT_TRUE(tokenizer.add_bos());
  EXPECT_EQ(tokenizer.bos(), 257);
  EXPECT_EQ(tokenizer.eos(), 258);
}

TEST(TokenizerJson, TheConfigDecidesWhetherBosIsAdded) {
  Json with_bos = small_json({{"a", "b"}}, {"<s>"});
  const Json without_bos = with_bos;
  with_bos["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single", {{{"SpecialToken", {{"id", "<s>"}}}}, {{"Sequence", {{"id", "A"}}}}}}};
  const auto load = [](const Json& json, const std::string& config) {
    return Tokenizer::from_tokenizer_json(to_json_text(json), config, "t.json");
  };
  EXPECT_TRUE(load(with_bos, "{}").add_bos());
  EXPECT_TRUE(load(with_bos, R"({"add_bos_token": null, "add_eos_token": false})").add_bos());
  EXPECT_FALSE(load(with_bos, R"({"add_bos_token": false})").add_bos());
  EXPECT_EQ(load(with_bos, R"({"add_bos_token": false})").bos(), 257);
  EXPECT_FALSE(load(without_bos, R"({"bos_token": "<s>"})").add_bos());
  EXPECT_TRUE(load(without_bos, R"({"bos_token": "<s>", "add_bos_token": true})").add_bos());
  const Error error = error_of([&] { load(with_bos, R"({"add_eos_token": true})"); });
  EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
  EXPECT_THAT(error.what(), HasSubstr("add_eos_token"));
}

TEST(TokenizerJson, WhatIsNotReadIsSkippedAndWhatIsReadIsLimited) {
  const std::string document = to_json_text(small_json({{"a", "b"}}));
  const auto with_member = [&](const std::string& key, size_t n, const std::string& unit) {
    std::string text = "{\"" + key + "\":[";
    for (size_t i = 0; i < n; ++i) text += unit;
    return text + "0]," + document.substr(1);
  };
  const std::string skipped = with_member("x", 200'000, "[{}],");
  const std::string read = with_member("added_tokens", 2'000'000, "{},");
  heap_meter::reset_peak();
  const size_t before = heap_meter::now();
  EXPECT_THAT(Tokenizer::from_tokenizer_json(skipped, "t.json").encode("ab"), ElementsAre(256));
  EXPECT_LT(heap_meter::peak() - before, 8u << 20);
  const std::string many = with_member("x", 2'000'000, "[{}],");
  for (const std::string& text : {std::cref(many), std::cref(read)}) {
    const size_t at_first = heap_meter::now();
    heap_meter::reset_peak();
    EXPECT_THAT(error_of([&] { Tokenizer::from_tokenizer_json(text, "t.json"); }).what(),
                HasSubstr("more than 500000 values outside model.vocab and model.merges"));
    EXPECT_LT(heap_meter::peak() - at_first, 64u << 20);
  }
  const std::string deep = "{\"x\":" + std::string(1000, '[') + std::string(1000, ']') + "}";
  EXPECT_THAT(error_of([&] { Tokenizer::from_tokenizer_json(deep, "t.json"); }).what(), HasSubstr("nested"));
}

TEST(TokenizerJson, KnowsTheSplitRulesOfLlama3AndSmolLm2) {
  Json json = small_json({{"a", "b"}, {"1", "2"}});
  const Json spelling = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  Json splitting = spelling;
  splitting["use_regex"] = true;
  const auto encode = [&](const Json& first, const Json& second) {
    json["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {first, second}}};
    return Tokenizer::from_tokenizer_json(to_json_text(json), "t.json").encode("12");
  };
  const Json llama3 = {{"type", "Split"},
                       {"pattern", {{"Regex", kLlama3Pattern}}},
                       {"behavior", "Isolated"},
                       {"invert", false}};
  EXPECT_THAT(encode(llama3, spelling), ElementsAre(257));
  EXPECT_THAT(encode({{"type", "Digits"}, {"individual_digits", true}}, splitting), ElementsAre('1', '2'));
}

TEST(TokenizerJson, WhatIsNotKnownIsRefusedWhenLoadedNamingTheField) {
  const auto expect = [](const char* pointer, const Json& value, const char* named) {
    Json json = small_json({{"a", "b"}}, {"<s>"});
    json[Json::json_pointer(pointer)] = value;
    const Error error = json_error(json);
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(named));
  };
  expect("/normalizer", {{"type", "NFC"}}, "normalizer");
  expect("/pre_tokenizer", {{"type", "Whitespace"}}, "pre_tokenizer");
  expect("/pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", true}}, "pre_tokenizer");
  expect("/pre_tokenizer",
         {{"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Split"}, {"pattern", {{"Regex", "(a+)+$"}}}, {"behavior", "Isolated"}},
            {{"type", "ByteLevel"}}}}},
         "pre_tokenizer");
  expect("/decoder", {{"type", "WordPiece"}}, "decoder");
  expect("/post_processor", {{"type", "BertProcessing"}}, "post_processor");
  expect("/model/type", "Unigram", "model.type");
  expect("/model/byte_fallback", true, "byte_fallback");
  expect("/added_tokens/0/single_word", true, "single_word");
}

TEST(TokenizerJson, ContradictionsAreRefused) {
  const auto expect = [](const char* pointer, const Json& value, const char* named) {
    Json json = small_json({{"a", "b"}}, {"<s>"});
    json[Json::json_pointer(pointer)] = value;
    const Error error = json_error(json);
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(named));
  };
  expect("/model/vocab/ab", 97, "twice");
  expect("/model/vocab/ab", -1, "id -1");
  expect("/model/vocab/ab", int64_t{1} << 31, "ab");
  expect("/model/vocab/ab", 1000000000, "ab");
  expect("/model/vocab/zz", 4000000, "zz");
  expect("/model/vocab/zz", 66000, "no token");
  expect("/model/vocab/ab", "x", "no integer");
  expect("/model/vocab/中", 300, "alphabet");
  expect("/model/merges", Json::array(), "merges");
  expect("/model/merges", {"a q b"}, "merge");
  expect("/model/merges", {"a z"}, "no token");
  expect("/model/merges", {" a"}, "no token");
  expect("/model/merges", {Json{"a"}}, "merge");
  expect("/model/merges", {1}, "merges");
  expect("/added_tokens/0/id", 97, "vocabulary");
  expect("/added_tokens/1", {{"id", 258}, {"content", "<s>"}, {"special", true}}, "both");
  expect("/added_tokens/1", {{"id", 257}, {"content", "<t>"}}, "twice");
}

TEST(TokenizerJson, OversizedPiecesAndMissingLettersAreRefused) {
  Json json = small_json({{"a", "b"}});
  json["model"]["vocab"][std::string(4097, 'a')] = 257;
  EXPECT_THAT(json_error(json).what(), HasSubstr("4097 bytes"));
  json = small_json({{"a", "b"}});
  json["model"]["vocab"].erase("e");
  EXPECT_THAT(json_error(json).what(), HasSubstr("0x65"));
}

TEST(TokenizerJson, DeepNestingAndDuplicateKeysAreRefused) {
  const auto error_in = [](const std::string& text) {
    return error_of([&] { Tokenizer::from_tokenizer_json(text, "t.json"); });
  };
  EXPECT_THAT(error_in("{\"normalizer\":" + std::string(1000, '[') + std::string(1000, ']') + "}").what(),
              HasSubstr("nested"));
  EXPECT_THAT(error_in(R"({"model":{"type":"BPE"},"model":{}})").what(), HasSubstr("twice"));
  EXPECT_THAT(error_in(R"({"model":{"vocab":{"a":1},"vocab":{"b":2}}})").what(), HasSubstr("twice"));
  EXPECT_THAT(error_in("[1,2]").what(), HasSubstr("object"));
  EXPECT_THAT(error_in("{\"model\":").what(), HasSubstr("offset"));
}

std::string base64_of_byte(int byte) {
  const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  return {digits[byte >> 2], digits[(byte & 3) << 4], '=', '='};
}

std::string small_ranks() {
  std::string text;
  for (int byte = 0; byte < 256; ++byte) text += base64_of_byte(byte) + " " + std::to_string(byte) + "\n";
  return text + "YWI= 256\nYWJj 257\n";  // ab, abc
}

TEST(RankFile, RanksAreIdsAndTheSpecialTokensFollow) {
  const Tokenizer tokenizer = Tokenizer::from_rank_file(small_ranks(), "tokenizer.model");
  EXPECT_EQ(tokenizer.vocab_size(), 258 + 256);
  EXPECT_THAT(tokenizer.encode("abcab abx"), ElementsAre(257, 256, ' ', 256, 'x'));
  EXPECT_EQ(tokenizer.bos(), 258);
  EXPECT_EQ(tokenizer.find_special("<|eot_id|>"), 258 + 9);
  EXPECT_EQ(tokenizer.find_special("<|reserved_special_token_247|>"), 258 + 255);
  EXPECT_TRUE(tokenizer.add_bos());
}

TEST(RankFile, DamagedFilesAreRefused) {
  const auto error_in = [](const std::string& text) {
    return error_of([&] { Tokenizer::from_rank_file(text, "tokenizer.model"); });
  };
  EXPECT_THAT(error_in("").what(), HasSubstr("0 ranks"));
  EXPECT_THAT(error_in(small_ranks() + "eHk= 256\n").what(), HasSubstr("twice"));
  EXPECT_THAT(error_in(small_ranks() + "eHk= 300\n").what(), HasSubstr("last is 300"));
  EXPECT_THAT(error_in(small_ranks() + "eHk 258\n").what(), HasSubstr("base64"));
  EXPECT_THAT(error_in(small_ranks() + "eHk= -1\n").what(), HasSubstr("base64"));
  EXPECT_THAT(error_in(small_ranks() + "YWI= 258\n").what(), HasSubstr("both"));
  EXPECT_EQ(error_in(small_ranks() + "eHk= 200000\n").code(), ErrorCode::kUnsupported);
  EXPECT_THAT(error_in("YQ== 0\n").what(), HasSubstr("byte"));
}

TEST(GgufVocabulary, GivesTheSameIdsAsTheSpecItCameFrom) {
  const TokenizerSpec spec = small_spec({{"a", "b"}, {" ", "ab"}}, {"<s>"});
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  for (size_t id = 0; id < spec.pieces.size(); ++id) {
    tokens.push_back(spec.is_special[id] ? spec.pieces[id] : alphabet_from_bytes(spec.pieces[id]));
    types.push_back(spec.is_special[id] ? 3 : 1);
  }
  GgufVocabulary vocabulary{.pre = "smollm", .tokens = tokens, .token_types = types, .bos = 258, .eos = 258};
  const std::vector<std::string> merges{"a b", "Ġ ab"};
  vocabulary.merges = merges;
  const Tokenizer tokenizer{spec_from_gguf(vocabulary, "t.gguf")};
  EXPECT_THAT(tokenizer.encode("ab ab1"), ElementsAre(256, 257, '1'));
  EXPECT_TRUE(tokenizer.is_special(258));
  EXPECT_FALSE(tokenizer.add_bos());
  vocabulary.pre = "llama-bpe";
  EXPECT_TRUE(Tokenizer(spec_from_gguf(vocabulary, "t.gguf")).add_bos());
  const auto load = [&](std::vector<int32_t> t, std::vector<std::string> m, const char* pre, int32_t bos) {
    const GgufVocabulary v{.pre = pre, .tokens = tokens, .token_types = t, .merges = m, .bos = bos};
    return error_of([&] { Tokenizer{spec_from_gguf(v, "t.gguf")}; });
  };
  EXPECT_EQ(load(types, {"a b"}, "kimi-k2", 258).code(), ErrorCode::kUnsupported);
  EXPECT_THAT(load(types, {"a b"}, "kimi-k2", 258).what(), HasSubstr("deepseek-coder"));
  EXPECT_EQ(load({1}, {"a b"}, "gpt2", 258).code(), ErrorCode::kCorrupt);
  EXPECT_EQ(load(types, {"ab"}, "gpt2", 258).code(), ErrorCode::kCorrupt);
  EXPECT_EQ(load(types, {"a b"}, "gpt2", 259).code(), ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace chaski
