// The store of runs: what was put is there, whoever else writes, whatever the disk does, and a file that is
// not ours is refused and left as it is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <thread>

#include "base/files.h"
#include "store/run_store.h"
#include "support/error_of.h"
#include "support/full_record.h"
#include "support/temporary_folder.h"

namespace chaski {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

RunRecord run_of(const std::string& model, const std::string& kind = "eval") {
  RunRecord record;
  record.kind = kind;
  record.model.id = model;
  record.settings = {{"suite", {{"name", "toy-" + kind}}}};
  record.summary.started_at = "2026-01-02T03:04:05Z";
  return record;
}

std::string text_of(const RunRecord& record) { return to_json_text(to_json(record)); }

std::vector<std::string> models_of(const std::vector<StoredRun>& runs) {
  std::vector<std::string> models;
  for (const StoredRun& run : runs) models.push_back(run.model);
  return models;
}

/// SQL as another program would run it on the file.
void run_sql(const std::filesystem::path& file, const std::string& sql) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(file.c_str(), &db), SQLITE_OK);
  char* message = nullptr;
  EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &message), SQLITE_OK) << message;
  sqlite3_free(message);
  sqlite3_close(db);
}

class RunStoreTest : public testing::Test {
 protected:
  Error refusal() const {
    return test::error_of([this] { RunStore store(file_); });
  }

  tests::TemporaryFolder folder_;
  const std::filesystem::path file_ = folder_ / "runs.db";
};

TEST_F(RunStoreTest, WhatWasPutIsGotBackExactly) {
  const RunRecord record = tests::full_record();
  const int64_t id = RunStore(file_).put(record, "/runs/one");
  const RunStore again(file_);
  EXPECT_EQ(text_of(again.get(id).value()), text_of(record));
  EXPECT_FALSE(again.get(id + 1));
  const StoredRun listed = again.list().at(0);
  EXPECT_EQ(listed.id, id);
  EXPECT_EQ(listed.kind, "eval");
  EXPECT_EQ(listed.model, "default");
  EXPECT_EQ(listed.suite, "toy");
  EXPECT_EQ(listed.started_at, "2026-01-02T03:04:05Z");
  EXPECT_EQ(listed.folder, "/runs/one");
  EXPECT_EQ(listed.sha256, sha256_of(text_of(record)));
}

TEST_F(RunStoreTest, TheSameRecordTwiceIsOneRun) {
  RunStore store(file_);
  EXPECT_EQ(store.put(run_of("a"), "x"), store.put(run_of("a"), "y"));
  EXPECT_EQ(store.size(), 1);
}

TEST_F(RunStoreTest, RunsAreListedNewestFirstAndByKindModelAndSuite) {
  RunStore store(file_);
  for (const char* model : {"llama-1b", "Llama-3b", "smol"}) store.put(run_of(model), "");
  store.put(run_of("llama-1b", "bench"), "");
  EXPECT_THAT(models_of(store.list()), ElementsAre("llama-1b", "smol", "Llama-3b", "llama-1b"));
  EXPECT_THAT(models_of(store.list({"eval", "llama", "", 0})), ElementsAre("Llama-3b", "llama-1b"));
  EXPECT_THAT(models_of(store.list({"", "", "toy-b", 0})), ElementsAre("llama-1b"));
  EXPECT_THAT(models_of(store.list({"", "", "", 2})), ElementsAre("llama-1b", "smol"));
  EXPECT_TRUE(store.list({"", "%", "", 0}).empty());
}

TEST_F(RunStoreTest, H116NamesWithSqlInThemAreNames) {
  RunStore store(file_);
  const std::string hostile = "'); DROP TABLE runs; --\" \x01 中";
  const int64_t id = store.put(run_of(hostile), hostile);
  EXPECT_THAT(models_of(store.list({"", hostile, "", 0})), ElementsAre(hostile));
  EXPECT_TRUE(store.list({hostile, "", "", 0}).empty());
  EXPECT_EQ(store.get(id)->model.id, hostile);
}

TEST_F(RunStoreTest, H117WhatIsNoDatabaseIsRefusedAndLeftAsItIs) {
  for (const std::string& content : {std::string("{}"), std::string(100, 'x'), std::string(8192, '\0'),
                                     std::string("SQLite format 3\0 and no more", 28)}) {
    std::ofstream(file_, std::ios::trunc) << content;
    const Error error = refusal();
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt) << error.what();
    EXPECT_THAT(error.what(), HasSubstr("runs.db"));
    EXPECT_EQ(read_text_file(file_), content);
  }
  std::filesystem::remove(file_);
  std::filesystem::create_directory(file_);
  EXPECT_EQ(refusal().code(), ErrorCode::kIo);
}

TEST_F(RunStoreTest, H117AnotherProgramsDatabaseIsRefusedAndLeftAsItIs) {
  run_sql(file_, "CREATE TABLE runs (id INTEGER PRIMARY KEY, mine TEXT); INSERT INTO runs VALUES (1, 'x')");
  const std::string before = read_text_file(file_);
  EXPECT_EQ(refusal().code(), ErrorCode::kCorrupt);
  EXPECT_THAT(refusal().what(), HasSubstr("another program"));
  EXPECT_EQ(read_text_file(file_), before);
}

TEST_F(RunStoreTest, H117ANewerSchemaIsUnsupported) {
  RunStore(file_).put(run_of("a"), "");
  run_sql(file_, "PRAGMA user_version = 2");
  EXPECT_EQ(refusal().code(), ErrorCode::kUnsupported);
  EXPECT_THAT(refusal().what(), HasSubstr("version 2, this program knows 1"));
  run_sql(file_, "PRAGMA user_version = 0");
  EXPECT_EQ(refusal().code(), ErrorCode::kCorrupt);
}

TEST_F(RunStoreTest, H117TriggersViewsAndTablesOfOthersAreRefusedBeforeAnythingRuns) {
  const std::vector<std::string> hostile = {
      "CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM runs; END",
      "CREATE VIEW v AS SELECT * FROM runs",
      "CREATE INDEX i ON runs (kind)",
      "CREATE TABLE other (x)",
      "DROP TABLE runs; CREATE VIEW runs AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
      "SELECT x AS id, '' AS kind, '' AS model, '' AS suite, '' AS started_at, '' AS folder, '' AS sha256, "
      "'' AS record FROM n",
      "DROP TABLE runs; CREATE TABLE runs (id INTEGER PRIMARY KEY, kind TEXT DEFAULT "
      "(randomblob(1000000000)), "
      "model, suite, started_at, folder, sha256 UNIQUE, record)"};
  for (const std::string& sql : hostile) {
    std::filesystem::remove(file_);
    RunStore(file_).put(run_of("a"), "");
    run_sql(file_, sql);
    EXPECT_EQ(refusal().code(), ErrorCode::kCorrupt) << sql;
  }
}

TEST_F(RunStoreTest, H117ADamagedPageIsAnErrorOrTheRecordIsWholeNeverAnotherOne) {
  RunRecord record = tests::full_record();
  for (int i = 0; i < 100; ++i) record.items.push_back(tests::full_answer(fmt::format("item {}", i), 0));
  const std::string expected = text_of(record);
  RunStore(file_).put(record, "");
  RunStore(file_).put(run_of("a"), "");
  const std::string whole = read_text_file(file_);
  int n_refused = 0;
  for (size_t at = 0; at < whole.size(); at += 397) {
    std::string damaged = whole;
    for (size_t i = at; i < std::min(at + 8, damaged.size()); ++i)
      damaged[i] = static_cast<char>(~damaged[i]);
    std::ofstream(file_, std::ios::trunc | std::ios::binary) << damaged;
    try {
      const RunStore store(file_);
      for (const StoredRun& run : store.list()) {
        const auto got = store.get(run.id);
        if (!got || got->items.size() < 50) continue;
        EXPECT_EQ(text_of(*got), expected) << "damage at " << at;
      }
    } catch (const Error& error) {
      EXPECT_NE(error.code(), ErrorCode::kInternal) << error.what();
      ++n_refused;
    }
  }
  EXPECT_GT(n_refused, static_cast<int>(whole.size() / 397 / 2));
}

TEST_F(RunStoreTest, ARecordThatIsNotTheOneStoredIsRefused) {
  const int64_t id = RunStore(file_).put(run_of("a"), "");
  run_sql(file_, "UPDATE runs SET record = replace(record, '\"a\"', '\"b\"')");
  EXPECT_THAT(test::error_of([&] { RunStore(file_).get(id); }).what(),
              HasSubstr("not the one that was stored"));
}

/// While it lives, no file of this process grows beyond `n_bytes`.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t n_bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{n_bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int) = nullptr;
};

TEST_F(RunStoreTest, ARunThatIsRemovedIsGoneFromTheListAndFromTheFile) {
  RunStore store(file_);
  RunRecord secret = run_of("b");
  secret.settings["system"] = "a text that nobody shall find again";
  const int64_t a = store.put(run_of("a"), ""), b = store.put(secret, ""), c = store.put(run_of("c"), "");
  store.remove(std::vector<int64_t>{b});
  EXPECT_THAT(models_of(store.list()), ElementsAre("c", "a"));
  EXPECT_FALSE(store.get(b));
  EXPECT_TRUE(store.get(a) && store.get(c));
  EXPECT_EQ(read_text_file(file_).find("nobody shall find"), std::string::npos);
}

TEST_F(RunStoreTest, ARemovalThatNamesAMissingRunRemovesNone) {
  RunStore store(file_);
  const int64_t a = store.put(run_of("a"), "");
  const Error error = test::error_of([&] { store.remove(std::vector<int64_t>{a, a + 7}); });
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_THAT(error.what(), HasSubstr(fmt::format("no run {}", a + 7)));
  EXPECT_EQ(store.size(), 1);
}

TEST_F(RunStoreTest, TheHeadOfARecordHasItsFactsWithoutItsAnswersAndADamagedOneHasNone) {
  RunStore store(file_);
  const RunRecord record = tests::full_record();
  const int64_t id = store.put(record, "");
  const RunRecord head = store.head(id).value();
  EXPECT_EQ(to_json_text(head.settings), to_json_text(record.settings));
  EXPECT_EQ(head.model.hash, record.model.hash);
  EXPECT_TRUE(head.items.empty() && head.metrics.empty() && head.scores.empty());
  EXPECT_FALSE(store.head(id + 1));
  run_sql(file_, "UPDATE runs SET record = 'no JSON'");
  EXPECT_FALSE(store.head(id));
  run_sql(file_, "UPDATE runs SET record = '{}'");
  EXPECT_FALSE(store.head(id));
}

TEST_F(RunStoreTest, F4WhereTheDiskIsFullWhatWasStoredIsKeptAndTheNextRunGoesOn) {
  RunStore store(file_);
  store.put(run_of("first"), "");
  RunRecord large = run_of("large");
  large.items.push_back(tests::full_answer("1", 0));
  large.items[0].answer.assign(100'000, 'x');
  {
    const FileSizeLimit limit(64 << 10);
    const Error error = test::error_of([&] { store.put(large, ""); });
    EXPECT_EQ(error.code(), ErrorCode::kIo) << error.what();
    EXPECT_THAT(describe(error), HasSubstr("the 1 runs stored before are kept"));
    EXPECT_THAT(models_of(RunStore(file_).list()), ElementsAre("first"));
  }
  store.put(large, "");
  EXPECT_THAT(models_of(RunStore(file_).list()), ElementsAre("large", "first"));
}

TEST_F(RunStoreTest, F4AStoreThatMayOnlyBeReadIsReadAndAPutSaysWhy) {
  RunStore(file_).put(run_of("first"), "");
  std::filesystem::permissions(file_, std::filesystem::perms(0444));
  std::filesystem::permissions(folder_.path(), std::filesystem::perms(0555));
  const bool is_root = ::geteuid() == 0;
  if (is_root) {
    ASSERT_EQ(::seteuid(65534), 0);
  }
  try {
    RunStore store(file_);
    EXPECT_EQ(store.size(), 1);
    EXPECT_EQ(test::error_of([&] { store.put(run_of("second"), ""); }).code(), ErrorCode::kIo);
    EXPECT_EQ(test::error_of([&] { RunStore other(folder_ / "other.db"); }).code(), ErrorCode::kIo);
  } catch (const Error& error) {
    ADD_FAILURE() << error.what();
  }
  if (is_root) {
    EXPECT_EQ(::seteuid(0), 0);
  }
  std::filesystem::permissions(folder_.path(), std::filesystem::perms(0755));
}

TEST_F(RunStoreTest, F24TwoProgramsThatWriteAtOnceLoseNothing) {
  constexpr int kRuns = 15;
  const auto write_runs = [this](const std::string& name) {
    for (int i = 0; i < kRuns; ++i) RunStore(file_).put(run_of(fmt::format("{} {}", name, i)), "");
  };
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      write_runs("child");
      ::_exit(0);
    } catch (...) {
      ::_exit(1);
    }
  }
  std::thread other([&] { write_runs("thread"); });
  write_runs("parent");
  other.join();
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(RunStore(file_).size(), 3 * kRuns);
}

TEST_F(RunStoreTest, F24AWriterThatDoesNotEndIsWaitedForAndThenSaid) {
  RunStore store(file_, 200);
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(file_.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  const Error error = test::error_of([&] { store.put(run_of("a"), ""); });
  EXPECT_EQ(error.code(), ErrorCode::kIo);
  EXPECT_THAT(describe(error), HasSubstr("another program is writing to it"));
  std::thread ends([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    sqlite3_exec(other, "COMMIT", nullptr, nullptr, nullptr);
  });
  EXPECT_EQ(RunStore(file_).put(run_of("a"), ""), 1);  // has the patience
  ends.join();
  sqlite3_close(other);
}

TEST_F(RunStoreTest, F7AProgramKilledWhileItWritesLeavesWholeRunsOnly) {
  for (int round = 0; round < 5; ++round) {
    int pipe_ends[2];
    ASSERT_EQ(::pipe(pipe_ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      try {
        RunStore store(file_);
        for (int i = 0;; ++i) {
          RunRecord record = tests::full_record();
          record.model.id = fmt::format("round {} run {}", round, i);
          store.put(record, "");
          if (::write(pipe_ends[1], "x", 1) != 1) ::_exit(1);
        }
      } catch (...) {
        ::_exit(1);
      }
    }
    ::close(pipe_ends[1]);
    const int64_t n_before = [&] {
      char byte = 0;
      return static_cast<int64_t>(::read(pipe_ends[0], &byte, 1));
    }();
    std::this_thread::sleep_for(std::chrono::milliseconds(5 * round));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    int64_t n_said = n_before;
    for (char byte = 0; ::read(pipe_ends[0], &byte, 1) == 1;) ++n_said;
    ::close(pipe_ends[0]);
    const RunStore store(file_);
    const auto runs = store.list({"", fmt::format("round {} ", round), "", 0});
    EXPECT_GE(static_cast<int64_t>(runs.size()), n_said);
    for (const StoredRun& run : runs) EXPECT_EQ(store.get(run.id)->model.id, run.model);
  }
}

}  // namespace
}  // namespace chaski
