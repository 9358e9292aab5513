// Journals of parts, whole, damaged and of another machine's start; and what ranges answers say.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/files.h"
#include "hub/file_download.h"
#include "hub/part_journal.h"
#include "hub/retry.h"
#include "support/error_of.h"
#include "support/temporary_folder.h"

namespace chaski {
namespace {

const JournalIdentity kIdentity{"hub repo file", std::string(64, 'a'), 250, 100};

int open_at(const std::filesystem::path& path) {
  return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

class Journal : public ::testing::Test {
 protected:
  std::string text() const { return read_text_file(path_); }
  void write(const std::string& content) const { write_file_atomic(path_, content); }
  std::optional<JournalContent> load(const JournalIdentity& identity = kIdentity) const {
    return PartJournal(open_at(path_), identity).load();
  }

  tests::TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "journal";
};

TEST_F(Journal, WhatWasWrittenIsReadAgain) {
  {
    PartJournal journal(open_at(path_), kIdentity);
    EXPECT_FALSE(journal.load().has_value());
    journal.begin("\"etag\"", {{0, 0}, {100, 50}, {7, 0}});
    journal.write_part(0, {3, 1});
  }
  const auto content = load();
  ASSERT_TRUE(content.has_value());
  EXPECT_EQ(content->etag, "\"etag\"");
  ASSERT_EQ(content->parts.size(), 3u);
  EXPECT_EQ(content->parts[0].n_written, 3u);
  EXPECT_EQ(content->parts[1].n_written, 100u);
  EXPECT_EQ(content->parts[1].n_synced, 50u);
}

TEST_F(Journal, AnotherFileIsNotContinued) {
  PartJournal(open_at(path_), kIdentity).begin("", {{1, 0}, {0, 0}, {0, 0}});
  for (const JournalIdentity& other : {JournalIdentity{"hub repo other", kIdentity.hash, 250, 100},
                                       JournalIdentity{kIdentity.origin, std::string(64, 'b'), 250, 100},
                                       JournalIdentity{kIdentity.origin, kIdentity.hash, 251, 100},
                                       JournalIdentity{kIdentity.origin, kIdentity.hash, 250, 125}}) {
    EXPECT_FALSE(load(other).has_value()) << other.origin << " " << other.size;
  }
  EXPECT_TRUE(load().has_value());
}

TEST_F(Journal, AfterARestartOfTheMachineOnlyWhatTheDiskHadCounts) {
  PartJournal(open_at(path_), kIdentity).begin("", {{90, 40}, {100, 100}, {5, 0}});
  std::string old = text();
  const size_t boot = old.find("\"boot\":\"") + 8;
  old[boot] = old[boot] == '0' ? '1' : '0';
  write(old);
  const auto content = load();
  ASSERT_TRUE(content.has_value());
  EXPECT_EQ(content->parts[0].n_written, 40u);
  EXPECT_EQ(content->parts[1].n_written, 100u);
  EXPECT_EQ(content->parts[2].n_written, 0u);
}

TEST_F(Journal, ADamagedLineCostsItsPartAlone) {
  PartJournal(open_at(path_), kIdentity).begin("", {{90, 40}, {100, 100}, {5, 0}});
  const std::string whole = text();
  for (const auto& [at, byte] :
       {std::pair<size_t, char>{0, 'x'}, {19, '-'}, {17, '9'}, {20, '9'}, {63, 'x'}}) {
    std::string damaged = whole;
    damaged[4096 + at] = byte;
    write(damaged);
    const auto content = load();
    ASSERT_TRUE(content.has_value()) << at;
    EXPECT_EQ(content->parts[0].n_written, 0u) << at;
    EXPECT_EQ(content->parts[1].n_written, 100u) << at;
  }
}

TEST_F(Journal, ACutOrForeignFileIsNoJournal) {
  PartJournal(open_at(path_), kIdentity).begin("", {{90, 40}, {100, 100}, {5, 0}});
  const std::string whole = text();
  for (const size_t size : {size_t{0}, size_t{1}, size_t{4095}, size_t{4096}, whole.size() - 1}) {
    EXPECT_FALSE(parse_journal(std::string_view(whole).substr(0, size), kIdentity).has_value()) << size;
  }
  EXPECT_FALSE(parse_journal(std::string(whole.size(), '['), kIdentity).has_value());
  EXPECT_TRUE(parse_journal(whole, kIdentity).has_value());
}

TEST(ContentRangeHeader, OnlyBytesWithATotalAreTaken) {
  const auto range = parse_content_range("bytes 5-9/10");
  ASSERT_TRUE(range.has_value());
  EXPECT_EQ(range->first, 5u);
  EXPECT_EQ(range->last, 9u);
  EXPECT_EQ(range->total, 10u);
  for (const std::string_view text :
       {"", "bytes 5-9/*", "bytes */10", "items 5-9/10", "bytes 9-5/10", "bytes 5-10/10", "bytes -9/10",
        "bytes 5-9", "bytes 5-9/10x", "bytes 5-9/99999999999999999999"}) {
    EXPECT_FALSE(parse_content_range(text).has_value()) << text;
  }
}

TEST(Retrying, OnlyAnswersThatMayGetBetterAreAskedForAgain) {
  const auto answer = [](int status, const std::string& after = "") {
    HttpResponse response;
    response.status = status;
    if (!after.empty()) response.headers.emplace_back("retry-after", after);
    return response;
  };
  for (const int status : {408, 429, 500, 502, 503, 504})
    EXPECT_TRUE(is_worth_retrying(answer(status))) << status;
  for (const int status : {400, 401, 403, 404, 410, 416, 501})
    EXPECT_FALSE(is_worth_retrying(answer(status))) << status;
  EXPECT_EQ(retry_after_s(answer(429, "7")), 7);
  EXPECT_EQ(retry_after_s(answer(429, "99999")), 300);
  EXPECT_EQ(retry_after_s(answer(429, "Wed, 21 Oct 2015 07:28:00 GMT")), 0);
  EXPECT_EQ(retry_after_s(answer(429)), 0);
}

TEST(Retrying, AfterEnoughFailuresInARowTheLastOneIsThrown) {
  Backoff backoff({3, 0.001});
  const Error failure(ErrorCode::kNetwork, "test", "no");
  const CancelToken never;
  backoff.wait_or_throw(failure, 0, never);
  backoff.wait_or_throw(failure, 0, never);
  backoff.succeed();
  backoff.wait_or_throw(failure, 0, never);
  backoff.wait_or_throw(failure, 0, never);
  EXPECT_EQ(test::error_of([&] { backoff.wait_or_throw(failure, 0, never); }).code(), ErrorCode::kNetwork);
}

}  // namespace
}  // namespace chaski
