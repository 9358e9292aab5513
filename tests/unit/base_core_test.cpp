// Errors, checked arithmetic, files, UTF-8, random numbers and threads.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "base/checked.h"
#include "base/error.h"
#include "base/files.h"
#include "base/rng.h"
#include "base/threads.h"
#include "base/utf8.h"
#include "support/temporary_folder.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

ErrorCode code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorCode::kInternal;
}

TEST(Error, TellsHeadlineMessageContextAndHintInBothLanguages) {
  Error error(ErrorCode::kCorrupt, "read GGUF", "m.gguf: magic at offset 0: expected GGUF, found ABCD",
              "fetch it again");
  error.add_context("while loading default");
  const std::string en = describe(error, "en");
  EXPECT_NE(en.find("[read GGUF] m.gguf"), std::string::npos);
  EXPECT_NE(en.find("while loading default"), std::string::npos);
  EXPECT_NE(en.find("fetch it again"), std::string::npos);
  EXPECT_NE(describe(error, "zh").find("文件损坏"), std::string::npos);
  EXPECT_EQ(traits_of(ErrorCode::kCancelled).exit_status, 130);
}

TEST(Error, PrintableEscapesControlsAndCutsWholeCharacters) {
  EXPECT_EQ(printable("a\x1b[31m\n"), "a\\x1b[31m\\x0a");
  EXPECT_EQ(printable("中国", 4), "中…");
  EXPECT_EQ(printable("中国", 3), "中…");
  EXPECT_EQ(printable("a\xC2\x9B[2J\xC2\xA0z"), "a\\x9b[2J\xC2\xA0z") << "control characters beyond ASCII";
  EXPECT_EQ(printable("a\xFF\x9Bz"), "a\xEF\xBF\xBD\xEF\xBF\xBDz") << "what is no text";
}

TEST(Error, AFailedCheckIsAnInternalError) {
  EXPECT_EQ(code_of([] { CHECK(1 == 2, "one is {}", 1); }), ErrorCode::kInternal);
}

TEST(Checked, SaysWhenANumberDoesNotFit) {
  EXPECT_EQ(checked_mul<uint64_t>(1ull << 32, 1ull << 32), std::nullopt);
  EXPECT_EQ(checked_add<int64_t>(INT64_MAX, 1), std::nullopt);
  EXPECT_EQ(checked_round_up<uint64_t>(UINT64_MAX - 3, 32), std::nullopt);
  EXPECT_EQ(checked_round_up<uint64_t>(33, 32), 64u);
  EXPECT_EQ((checked_cast<int32_t, uint64_t>(1ull << 31)), std::nullopt);
  EXPECT_EQ((checked_cast<uint32_t, int64_t>(-1)), std::nullopt);
  EXPECT_EQ((checked_cast<uint8_t, int>(255)), uint8_t{255});
}

TEST(Files, OnlyRegularFilesAreRead) {
  const tests::TemporaryFolder folder;
  EXPECT_EQ(code_of([&] { InputFile file(folder / "missing"); }), ErrorCode::kNotFound);
  EXPECT_EQ(code_of([&] { InputFile file(folder.path()); }), ErrorCode::kUnsupported);
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(code_of([&] { InputFile file(folder / "pipe"); }), ErrorCode::kUnsupported);
}

TEST(Files, AFileCutWhileItIsReadIsAnErrorNamingTheOffset) {
  const tests::TemporaryFolder folder;
  write_file_atomic(folder / "a", std::string(100, 'x'));
  const InputFile file(folder / "a");
  fs::resize_file(folder / "a", 10);
  std::vector<std::byte> out(50);
  try {
    file.read_at(0, out);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("offset 10"), std::string::npos) << error.what();
  }
}

TEST(Files, AtomicWritesLeaveTheOldContentOrTheNew) {
  const tests::TemporaryFolder folder;
  write_file_atomic(folder / "a", "old");
  write_file_atomic(folder / "a", "new");
  EXPECT_EQ(read_text_file(folder / "a"), "new");
  EXPECT_THROW(write_file_atomic(folder / "no/such/a", "x"), Error);
  const auto breaks_off = [](const Append& append) {
    append("newer");
    throw Error(ErrorCode::kCancelled, "test", "broken off");
  };
  EXPECT_THROW(write_file_atomic(folder / "a", breaks_off), Error);
  EXPECT_EQ(read_text_file(folder / "a"), "new");
  write_file_atomic(folder / "a", [](const Append& append) {
    append("in ");
    append("pieces");
  });
  EXPECT_EQ(read_text_file(folder / "a"), "in pieces");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
  EXPECT_EQ(code_of([&] { read_text_file(folder / "a", 2); }), ErrorCode::kCorrupt);
}

TEST(Files, PermissionsAreWhatTheUmaskLeaves) {
  const tests::TemporaryFolder folder;
  const mode_t before = ::umask(027);
  write_file_atomic(folder / "a", "text");
  ::umask(before);
  struct stat info {};
  ASSERT_EQ(::stat((folder / "a").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640U);
}

TEST(Files, AFullDiskIsNotToldAsSomethingNotFound) {
  EXPECT_EQ(write_error("a", ENOSPC).code(), ErrorCode::kIo);
  EXPECT_EQ(write_error("a", ENOENT).code(), ErrorCode::kNotFound);
  EXPECT_NE(describe(write_error("a", ENOSPC)).find("could not be written"), std::string::npos);
  EXPECT_EQ(traits_of(ErrorCode::kIo).exit_status, 9);
}

TEST(Files, WhoHearsOfTheBytesOfAHashMayEndIt) {
  const tests::TemporaryFolder folder;
  write_file_atomic(folder / "a", std::string(3u << 20, 'x'));
  const InputFile file(folder / "a");
  uint64_t heard = 0;
  sha256_of_file(file, [&](uint64_t n) { heard += n; });
  EXPECT_EQ(heard, file.size());
  EXPECT_EQ(code_of([&] {
              sha256_of_file(file, [](uint64_t) { throw Error(ErrorCode::kCancelled, "hash", "stopped"); });
            }),
            ErrorCode::kCancelled);
}

TEST(Files, NamesThatLeaveTheFolderAreNotSafe) {
  for (const std::string_view good : {"a", "a/b.safetensors", "中文/模型.gguf", "..a"}) {
    EXPECT_TRUE(is_safe_relative_name(good)) << good;
  }
  for (const std::string_view bad :
       {std::string_view(""), std::string_view("/a"), std::string_view("../a"), std::string_view("a/../b"),
        std::string_view("a//b"), std::string_view("a/"), std::string_view("."), std::string_view("a\\..\\b"),
        std::string_view("C:x"), std::string_view("a\0b", 3), std::string_view("a\nb"),
        std::string_view("\xFF")}) {
    EXPECT_FALSE(is_safe_relative_name(bad)) << bad;
  }
  EXPECT_FALSE(is_safe_relative_name(std::string(300, 'a')));
}

TEST(Files, NamesThatHideThemselvesOrAreDevicesAreNotSafe) {
  for (const std::string_view bad : {"CON", "a/nul.txt", "Com1.json", "LPT9", "aux.", "a\u202Egpj.exe",
                                     "a\u200Fb", "a\u200Bb", "a\u0085b", "\uFEFFa"}) {
    EXPECT_FALSE(is_safe_relative_name(bad)) << bad;
  }
  for (const std::string_view good : {"console", "com10", "COM", "null.txt", "a/lpt.0"}) {
    EXPECT_TRUE(is_safe_relative_name(good)) << good;
  }
}

TEST(Files, Sha256IsTheStandardOne) {
  EXPECT_EQ(sha256_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Utf8, ReplacesEachMaximalInvalidPartOnce) {
  EXPECT_EQ(replace_invalid_utf8("a\xE4\xB8z"), "a\xEF\xBF\xBDz");
  EXPECT_EQ(replace_invalid_utf8("\xF0\x80\x80\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(replace_invalid_utf8("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(replace_invalid_utf8("\xF4\x90\x80\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(replace_invalid_utf8("中\xE4"), "中\xEF\xBF\xBD");
  EXPECT_EQ(replace_invalid_utf8("正常"), "正常");
}

TEST(Utf8, KnowsAnUnfinishedTail) {
  EXPECT_EQ(incomplete_utf8_tail("a"), 0u);
  EXPECT_EQ(incomplete_utf8_tail("a\xE4"), 1u);
  EXPECT_EQ(incomplete_utf8_tail("a\xE4\xB8"), 2u);
  EXPECT_EQ(incomplete_utf8_tail("中"), 0u);
  EXPECT_EQ(incomplete_utf8_tail("\xF0\x9F\x98"), 3u);
  EXPECT_EQ(incomplete_utf8_tail("\x80\x80"), 0u);
}

TEST(Utf8, CountsCharactersAndNotBytes) {
  EXPECT_EQ(count_code_points(""), 0u);
  EXPECT_EQ(count_code_points("a中😀"), 3u);
}

TEST(Rng, MatchesThePublishedVectorsOfPhilox) {
  // Known answers of Philox4x32-10 for all-zero and all-one input.
  EXPECT_EQ(philox({0, 0, 0, 0}, 0),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, ~0ull),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(Rng, DrawsDependOnNothingButTheirKey) {
  EXPECT_EQ(uniform01(1, 2, 3), uniform01(1, 2, 3));
  EXPECT_NE(uniform01(1, 2, 3), uniform01(1, 2, 4));
  double sum = 0;
  for (uint64_t i = 0; i < 10000; ++i) {
    const double u = uniform01(9, 0, i);
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.01);
}

TEST(Threads, EachPieceIsDoneOnceAndExceptionsComeBack) {
  for (const int n_threads : {1, 2, 5}) {
    ThreadPool pool(n_threads);
    for (int round = 0; round < 200; ++round) {
      std::vector<std::atomic<int>> done(97);
      pool.parallel_for(97, 4, [&](int64_t begin, int64_t end, int worker) {
        ASSERT_LT(worker, n_threads);
        for (int64_t i = begin; i < end; ++i) done[static_cast<size_t>(i)].fetch_add(1);
      });
      for (const auto& count : done) ASSERT_EQ(count.load(), 1);
    }
    EXPECT_THROW(pool.parallel_for(50, 1,
                                   [](int64_t begin, int64_t, int) {
                                     if (begin == 20) throw Error(ErrorCode::kUsage, "x", "y");
                                   }),
                 Error);
    std::atomic<int> after{0};
    pool.parallel_for(10, 1, [&](int64_t, int64_t, int) { ++after; });
    EXPECT_EQ(after.load(), 10);
  }
}

}  // namespace
}  // namespace chaski
