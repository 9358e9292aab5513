// Incremental text: whole characters, stop strings, the same text however it was cut.
#include "text/text_stream.h"

#include <gtest/gtest.h>

#include <random>

#include "base/utf8.h"
#include "unit/text_vocab.h"

namespace chaski {
namespace {

using Ids = std::vector<int32_t>;

const Tokenizer& tokenizer() {
  static const Tokenizer made{
      test::small_spec({{"a", "b"}, {"e", "n"}, {"en", "d"}, {"\xE4", "\xB8"}}, {"<|eot|>"})};
  return made;
}

Ids bytes(std::string_view text) {
  Ids ids;
  for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

/// Everything emitted, checked against text() on the way.
std::string run(TextStream& stream, const Ids& ids) {
  std::string out;
  for (const int32_t id : ids) {
    const std::string part = stream.push(id);
    EXPECT_TRUE(is_valid_utf8(part));
    out += part;
    EXPECT_EQ(stream.text(), out);
  }
  out += stream.finish();
  EXPECT_EQ(stream.text(), out);
  return out;
}

TEST(TextStream, ACharacterComesOutWhenItsLastByteIsThere) {
  TextStream stream(tokenizer());
  EXPECT_EQ(stream.push(0xE4), "");
  EXPECT_EQ(stream.push(0xB8), "");
  EXPECT_EQ(stream.push(0xAD), "中");
  EXPECT_EQ(stream.finish(), "");
}

TEST(TextStream, InvalidBytesBecomeReplacementCharactersOnceTheyAreCertain) {
  TextStream stream(tokenizer());
  EXPECT_EQ(stream.push(0xE4), "");
  EXPECT_EQ(stream.push('x'), "\xEF\xBF\xBDx");
  EXPECT_EQ(stream.push(0xFF), "\xEF\xBF\xBD");
  EXPECT_EQ(stream.push(0xF0), "");
  EXPECT_EQ(stream.finish(), "\xEF\xBF\xBD");
}

TEST(TextStream, SpecialTokensLeaveNoTextAndUnknownIdsNone) {
  TextStream stream(tokenizer());
  EXPECT_EQ(run(stream, {'a', 260, 256, 99999, -5}), "aab");
}

TEST(TextStream, WhatMayBecomeAStopStringIsHeldBack) {
  TextStream stream(tokenizer(), {"end", "ab."});
  EXPECT_EQ(stream.push('x'), "x");
  EXPECT_EQ(stream.push(257), "");  // en
  EXPECT_EQ(stream.push('e'), "en");
  EXPECT_EQ(stream.push('n'), "");
  EXPECT_EQ(stream.push('d'), "");
  EXPECT_TRUE(stream.is_stopped());
  EXPECT_EQ(stream.push('z'), "");
  EXPECT_EQ(stream.finish(), "");
  EXPECT_EQ(stream.text(), "xen");
}

TEST(TextStream, AStopStringInsideATokenCutsTheToken) {
  TextStream stream(tokenizer(), {"b"});
  EXPECT_EQ(stream.push(256), "a");
  EXPECT_TRUE(stream.is_stopped());
}

TEST(TextStream, TheEndReleasesWhatWasHeld) {
  TextStream stream(tokenizer(), {"", "end"});
  EXPECT_EQ(run(stream, bytes("the en")), "the en");
  EXPECT_FALSE(stream.is_stopped());
}

TEST(TextStream, AStopStringCompletedByTheEndStillStops) {
  TextStream stream(tokenizer(), {"\xEF\xBF\xBD"});
  EXPECT_EQ(run(stream, {'a', 0xF0}), "a");
  EXPECT_TRUE(stream.is_stopped());
}

TEST(TextStream, TheTextIsTheDecodeUpToTheFirstStopString) {
  std::mt19937 rng(11);
  const std::vector<std::string> stops = {"abab", "ba", "中a", "\n\n"};
  for (int i = 0; i < 3000; ++i) {
    Ids ids;
    for (size_t n = rng() % 40; n > 0; --n) {
      const int32_t some[] = {'a',  'b',  256,  259, 0xAD,
                              0xE4, 0xB8, '\n', 260, static_cast<int32_t>(rng() % 256)};
      ids.push_back(some[rng() % 10]);
    }
    const std::string whole = tokenizer().decode(ids, true);
    TextStream plain(tokenizer());
    EXPECT_EQ(run(plain, ids), whole);
    size_t begin = whole.size();
    size_t first_end = whole.size() + 1;
    for (const std::string& stop : stops) {
      const size_t at = whole.find(stop);
      if (at == std::string::npos) continue;
      const size_t end = at + stop.size();
      if (end < first_end || (end == first_end && at < begin)) begin = at;
      first_end = std::min(first_end, end);
    }
    TextStream stopped(tokenizer(), stops);
    EXPECT_EQ(run(stopped, ids), whole.substr(0, begin));
    EXPECT_EQ(stopped.is_stopped(), first_end <= whole.size());
  }
}

}  // namespace
}  // namespace chaski
