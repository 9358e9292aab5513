// The parser of event streams: what the format says, and the same events however the bytes are cut.
#include "net/sse.h"

#include <gmock/gmock.h>

#include <random>
#include <vector>

#include "support/error_of.h"

namespace chaski {
namespace {

using test::error_of;
using ::testing::ElementsAre;

/// "type:data" of each event, the stream cut after each of `cuts` bytes.
std::vector<std::string> events_of(std::string_view stream, const std::vector<size_t>& cuts = {},
                                   const SseLimits& limits = {}) {
  SseParser parser(limits);
  std::vector<std::string> events;
  const auto add = [&](const SseEvent& event) { events.push_back(event.type + ":" + event.data); };
  for (const size_t cut : cuts) {
    parser.feed(stream.substr(0, cut), add);
    stream.remove_prefix(std::min(cut, stream.size()));
  }
  parser.feed(stream, add);
  return events;
}

TEST(Sse, EventsAreLinesOfDataUntilAnEmptyLine) {
  EXPECT_THAT(events_of("data: {\"a\":1}\n\ndata: [DONE]\n\n"),
              ElementsAre("message:{\"a\":1}", "message:[DONE]"));
}

TEST(Sse, LinesEndByAnyOfThreeEnds) {
  EXPECT_THAT(events_of("data: a\r\ndata: b\r\n\r\ndata: c\r\rdata: d\n\n"),
              ElementsAre("message:a\nb", "message:c", "message:d"));
  EXPECT_THAT(events_of("data: a\r\r\ndata: b\n\n"), ElementsAre("message:a", "message:b"));
}

TEST(Sse, OneBlankAfterTheColonIsNotPartOfTheData) {
  EXPECT_THAT(events_of("data:a\n\ndata:  b\n\ndata\n\ndata:\ndata:\n\n"),
              ElementsAre("message:a", "message: b", "message:", "message:\n"));
}

TEST(Sse, CommentsAndFieldsThatNobodyKnowsArePassedOver) {
  EXPECT_THAT(events_of(": still here\n\nid: 7\nretry: 10\nwhat: ever\nDATA: no\n\ndata: x\n:\n\n"),
              ElementsAre("message:x"));
}

TEST(Sse, ATypeIsOfOneEvent) {
  EXPECT_THAT(events_of("event: error\ndata: x\n\ndata: y\n\nevent: lost\n\ndata: z\n\n"),
              ElementsAre("error:x", "message:y", "message:z"));
}

TEST(Sse, AByteOrderMarkIsSkippedAtTheBeginningAlone) {
  EXPECT_THAT(events_of("\xEF\xBB\xBF"
                        "data: a\n\n\xEF\xBB\xBF"
                        "data: b\n\n"),
              ElementsAre("message:a"));
}

TEST(Sse, WhatNoEmptyLineCompletedIsNoEvent) {
  EXPECT_THAT(events_of("data: a\n\ndata: cut"), ElementsAre("message:a"));
  EXPECT_THAT(events_of("data: a\n\ndata: cut\n"), ElementsAre("message:a"));
}

TEST(Sse, LinesAndEventsHaveALimit) {
  const SseLimits limits{16, 24};
  EXPECT_THAT(events_of("data: 0123456789\n\n", {}, limits), ElementsAre("message:0123456789"));
  const auto code_of = [&](const std::string& stream) {
    return error_of([&] { events_of(stream, {3, 5}, limits); }).code();
  };
  EXPECT_EQ(code_of("data: 01234567890\n\n"), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of(std::string(100, 'x')), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of("data: 0123456789\ndata: 0123456789\ndata: 0123456789\n"), ErrorCode::kCorrupt);
  EXPECT_EQ(
      code_of("data\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\n"
              "data\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\ndata\n"),
      ErrorCode::kCorrupt);
}

TEST(Sse, AnySplitOfTheBytesGivesTheSameEvents) {
  const std::vector<std::string> parts{"data",
                                       ":",
                                       " ",
                                       "\n",
                                       "\r",
                                       "\r\n",
                                       "\n\n",
                                       "x",
                                       "event",
                                       "字",
                                       "data: token",
                                       "\xEF\xBB\xBF",
                                       ": hi",
                                       "id",
                                       "data:1",
                                       "\r\n\r\n",
                                       std::string(1, '\0')};
  std::mt19937 random(7);
  for (int round = 0; round < 3000; ++round) {
    std::string stream;
    for (size_t n = random() % 40; n > 0; --n) stream += parts[random() % parts.size()];
    const auto whole = events_of(stream);
    std::vector<size_t> cuts;
    for (size_t n = random() % 30; n > 0; --n) cuts.push_back(random() % 6);
    EXPECT_EQ(events_of(stream, cuts), whole) << printable(stream, 400);
    EXPECT_EQ(events_of(stream, std::vector<size_t>(stream.size(), 1)), whole) << printable(stream, 400);
  }
}

}  // namespace
}  // namespace chaski
