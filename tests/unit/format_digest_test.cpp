// Hashes of files remembered by what the file system says of them.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "format/byte_source.h"
#include "support/error_of.h"
#include "support/temporary_folder.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

/// A file that was last written to an hour ago, and a memo beside it.
class DigestMemoTest : public testing::Test {
 protected:
  DigestMemoTest() { write("content"); }
  void write(const std::string& text) { std::ofstream(file(), std::ios::trunc) << text; }
  fs::path file() const { return temporary_ / "model.gguf"; }
  fs::path folder() const { return temporary_ / "hashes"; }
  FileIdentity identity() const { return InputFile(file()).identity(); }
  static int64_t later_ns() {
    const auto now = std::chrono::system_clock::now().time_since_epoch() + std::chrono::hours(1);
    return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  }
  std::string digest_ = sha256_of("content");
  tests::TemporaryFolder temporary_;
};

TEST_F(DigestMemoTest, WhatWasRememberedIsFoundByAnotherProcess) {
  DigestMemo(folder()).remember(identity(), digest_, later_ns());
  EXPECT_EQ(DigestMemo(folder()).find(identity()), digest_);
  const FileSource source(file(), std::make_shared<DigestMemo>(folder()));
  EXPECT_EQ(source.known_sha256(), digest_);
  EXPECT_EQ(source.sha256([](uint64_t) { FAIL() << "the file was read"; }), digest_);
}

TEST_F(DigestMemoTest, AFileThatWasTouchedOrReplacedOrGrewIsHashedAgain) {
  const DigestMemo memo(folder());
  const FileIdentity before = identity();
  memo.remember(before, digest_, later_ns());
  fs::last_write_time(file(), fs::last_write_time(file()) - std::chrono::hours(2));
  EXPECT_FALSE(memo.find(identity()));
  for (const int field : {0, 1, 2, 3, 4}) {
    FileIdentity other = before;
    if (field == 0) ++other.device;
    if (field == 1) ++other.inode;
    if (field == 2) ++other.size;
    if (field == 3) ++other.modified_ns;
    if (field == 4) other.path += "2";
    EXPECT_FALSE(memo.find(other)) << field;
  }
  EXPECT_TRUE(memo.find(before));
}

TEST_F(DigestMemoTest, AFileWrittenToAMomentAgoIsNotRemembered) {
  const DigestMemo memo(folder());
  memo.remember(identity(), digest_, identity().modified_ns + 1);
  EXPECT_FALSE(memo.find(identity()));
}

TEST_F(DigestMemoTest, AFileWrittenToWhileItIsHashedIsReadOnceMoreAndThenHasNoHash) {
  const auto memo = std::make_shared<DigestMemo>(folder());
  fs::last_write_time(file(), fs::last_write_time(file()) - std::chrono::hours(2));
  const FileSource source(file(), memo);
  int n_reads = 0;
  const auto write_again = [&](uint64_t) {
    write("Content");
    fs::last_write_time(file(), fs::last_write_time(file()) - std::chrono::hours(++n_reads));
  };
  EXPECT_EQ(test::error_of([&] { source.sha256(write_again); }).code(), ErrorCode::kCorrupt);
  EXPECT_EQ(n_reads, 2);
  EXPECT_FALSE(memo->find(identity()));
  EXPECT_EQ(source.sha256([&](uint64_t n_bytes) {
    if (++n_reads == 3) write_again(n_bytes);
  }),
            sha256_of("Content"));
}

TEST_F(DigestMemoTest, AFileWrittenToSinceItWasOpenedIsKnownAsChangedThoughItsTimeWasPutBack) {
  const FileSource source(file());
  EXPECT_TRUE(source.is_unchanged());
  const auto written = fs::last_write_time(file());
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  write("Content");
  fs::last_write_time(file(), written);
  EXPECT_FALSE(source.is_unchanged());
  EXPECT_FALSE(FileSource(file(), std::make_shared<DigestMemo>(folder())).known_sha256());
}

TEST_F(DigestMemoTest, ADamagedOrForeignEntryIsAsIfItWereNotThere) {
  const DigestMemo memo(folder());
  memo.remember(identity(), digest_, later_ns());
  const fs::path entry = fs::directory_iterator(folder())->path();
  const std::string good = read_text_file(entry);
  for (const std::string& text : {std::string(), std::string("{"), std::string("[1]"), good.substr(0, 40),
                                  good + good, std::string("{\"sha256\": 7}"), std::string(1 << 20, ' ')}) {
    std::ofstream(entry, std::ios::trunc) << text;
    EXPECT_FALSE(memo.find(identity())) << text.substr(0, 50);
  }
  std::string no_hash = good;
  no_hash.replace(no_hash.find(digest_), 64, std::string(64, 'x'));
  std::ofstream(entry, std::ios::trunc) << no_hash;
  EXPECT_FALSE(memo.find(identity()));
}

TEST_F(DigestMemoTest, WhereNothingCanBeWrittenNothingIsRememberedAndNothingThrown) {
  std::ofstream(folder()) << "not a folder";
  const FileSource source(file(), std::make_shared<DigestMemo>(folder()));
  EXPECT_EQ(source.sha256({}), digest_);
  EXPECT_FALSE(source.known_sha256());
}

}  // namespace
}  // namespace chaski
