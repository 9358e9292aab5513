// The readers of Linux's small files: what is no number is nothing, and errno says why.
#include "machine/system_files.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>

#include "support/temporary_folder.h"

namespace chaski {
namespace {

class SystemFiles : public testing::Test {
 protected:
  std::filesystem::path file(const std::string& text) {
    std::ofstream(path_, std::ios::binary) << text;
    return path_;
  }
  tests::TemporaryFolder folder_;
  const std::filesystem::path path_ = folder_ / "file";
};

TEST_F(SystemFiles, ANumberIsWhatTheFileBeginsWith) {
  EXPECT_EQ(number_in(file("42\n")), 42u);
  EXPECT_EQ(number_in(file("18446744073709551615")), ~uint64_t{0});
  EXPECT_EQ(number_in(file("7 kHz\n8\n")), 7u);
}

TEST_F(SystemFiles, WhatIsNoNumberIsNothingAndTheReasonIsSaid) {
  for (const char* text : {"", "\n42", "-1", "x", "18446744073709551616"}) {
    errno = 0;
    EXPECT_FALSE(number_in(file(text))) << text;
    EXPECT_EQ(errno, EINVAL) << text;
  }
  EXPECT_FALSE(number_in(folder_ / "not there"));
  EXPECT_EQ(errno, ENOENT);
  EXPECT_FALSE(number_in(folder_.path()));
  EXPECT_EQ(errno, EISDIR);
}

TEST_F(SystemFiles, OnlyTheBeginningOfALongLineIsRead) {
  EXPECT_EQ(first_line(file(std::string(10'000, 'x')))->size(), 128u);
  EXPECT_EQ(first_line(file("one\ntwo")), "one");
}

TEST_F(SystemFiles, BytesAreOfTheLineOfThatName) {
  const std::filesystem::path memory =
      file("MemTotal:       16 kB\nMemFree: x\nSwap: 9223372036854775807 kB\n");
  EXPECT_EQ(bytes_in(memory, "MemTotal"), 16 * 1024);
  EXPECT_FALSE(bytes_in(memory, "MemFree"));
  EXPECT_FALSE(bytes_in(memory, "MemAvailable"));
  EXPECT_FALSE(bytes_in(memory, "Swap")) << "more than can be counted";
}

}  // namespace
}  // namespace chaski
