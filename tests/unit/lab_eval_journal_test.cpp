// The journal of a run: what is in the folder after a kill at any byte, and when a run may go on in it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/files.h"
#include "lab/item_journal.h"
#include "support/temporary_folder.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using Start = ItemJournal::Start;

ItemRow row_of(const std::string& id, int64_t sample = 0) {
  ItemRow row;
  row.answer.id = id;
  row.answer.type = "code";
  row.answer.prompt = "中国的首都是哪里?";
  row.answer.answer = "two\nlines \xE2\x80\xAE and \x1b[31m";
  row.answer.ids = {5, 6, 7};
  row.answer.n_prompt_tokens = 9;
  row.answer.seconds = 1.25;
  row.answer.ttft_s = 0.5;
  row.answer.tpot_s = 0.375;
  row.answer.finish_reason = "stop";
  row.answer.sample = sample;
  row.itl_s = {0.25, 0.5};
  row.wall_s = 2.5;
  return row;
}

class Journal : public testing::Test {
 protected:
  Journal() {
    run_.model.hash = "abc";
    run_.settings["temperature"] = 0.7;
    run_.settings["n_samples"] = 2;
  }
  void write_rows(std::vector<std::string> ids) {
    ItemJournal journal(folder_.path(), run_, Start::kFresh);
    for (const std::string& id : ids) journal.append(row_of(id));
  }
  std::vector<std::string> ids_on_resume() {
    ItemJournal journal(folder_.path(), run_, Start::kResume);
    std::vector<std::string> ids;
    for (const ItemRow& row : journal.rows()) ids.push_back(row.answer.id);
    return ids;
  }
  std::string refusal() {
    try {
      ItemJournal(folder_.path(), run_, Start::kResume);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  fs::path items() const { return folder_ / "items.jsonl"; }

  tests::TemporaryFolder folder_;
  RunRecord run_;
};

TEST_F(Journal, ARowComesBackWhole) {
  ItemRow row = row_of("a", 3);
  row.failure = FailureRecord{"a", 3, ErrorCode::kUsage, "no room"};
  const std::string line = row_line(row, "k");
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const auto [read, key] = parse_row(std::string_view(line).substr(0, line.size() - 1), "line");
  EXPECT_EQ(key, "k");
  EXPECT_EQ(row_line(read, key), line);
  EXPECT_EQ(read.answer.ids, row.answer.ids);
  EXPECT_EQ(read.itl_s, row.itl_s);
  EXPECT_EQ(read.wall_s, row.wall_s);
  EXPECT_EQ(read.failure->code, ErrorCode::kUsage);
  EXPECT_EQ(read.answer.tpot_s, row.answer.tpot_s);
}

TEST_F(Journal, F7AKillAtAnyByteOfARowLeavesTheRowsBeforeIt) {
  write_rows({"a", "b"});
  const std::string whole = read_text_file(items());
  const size_t second = whole.find('\n') + 1;
  for (size_t n = second; n <= whole.size(); ++n) {
    fs::resize_file(items(), 0);
    std::ofstream(items()) << whole.substr(0, n);
    const std::vector<std::string> ids = ids_on_resume();
    EXPECT_EQ(ids.size(), n == whole.size() ? 2U : 1U) << n;
    EXPECT_EQ(read_text_file(items()), n == whole.size() ? whole : whole.substr(0, second)) << n;
  }
}

TEST_F(Journal, GoingOnAppendsAfterWhatIsThere) {
  write_rows({"a", "b"});
  std::ofstream(items(), std::ios::app) << "{\"id\":\"c\",\"ty";
  {
    ItemJournal journal(folder_.path(), run_, Start::kResume);
    EXPECT_TRUE(journal.has("b", 0));
    EXPECT_FALSE(journal.has("b", 1));
    EXPECT_FALSE(journal.has("c", 0));
    journal.append(row_of("c"));
  }
  EXPECT_THAT(ids_on_resume(), ElementsAre("a", "b", "c"));
}

TEST_F(Journal, WithNothingThereARunBegins) {
  EXPECT_THAT(ids_on_resume(), ElementsAre());
  EXPECT_TRUE(fs::exists(folder_ / "run.partial.json"));
}

TEST_F(Journal, AnotherModelOrSettingIsRefusedWithTheDifferenceNamed) {
  write_rows({"a"});
  run_.settings["temperature"] = 0.9;
  EXPECT_THAT(refusal(), HasSubstr("temperature is 0.7 there and 0.9 here"));
  run_.settings["temperature"] = 0.7;
  run_.model.hash = "def";
  EXPECT_THAT(refusal(), HasSubstr("model hash is abc there and def here"));
  run_.model.hash = "abc";
  run_.settings["stop"] = {"\n"};
  EXPECT_THAT(refusal(), HasSubstr("stop is not set there and"));
  run_.settings.erase("stop");
  run_.settings["batch"] = 4;
  EXPECT_THAT(ids_on_resume(), ElementsAre("a")) << "the text does not depend on the batch";
}

TEST_F(Journal, ARowThatIsNoneOfTheRunIsNamedByLine) {
  write_rows({"a", "b"});
  const std::string whole = read_text_file(items());
  const auto with = [&](const std::string& text) {
    std::ofstream(items()) << text;
    return refusal();
  };
  std::string changed = whole;
  changed.replace(changed.find("中国"), 6, "法国");
  EXPECT_THAT(with(changed), HasSubstr("items.jsonl line 1: is no answer of this run"));
  EXPECT_THAT(with(whole + whole), HasSubstr("line 3: is no answer of this run")) << "no row stands twice";
  EXPECT_THAT(with(whole + "not json\n"), HasSubstr("items.jsonl line 3"));
  EXPECT_THAT(with(whole + "{}\n"), HasSubstr("items.jsonl line 3"));
  EXPECT_THAT(with(whole + "\n"), HasSubstr("items.jsonl line 3"));
  EXPECT_EQ(with(whole), "");
}

TEST_F(Journal, AFreshRunMovesAnEarlierOneAsideAndLosesNothing) {
  write_rows({"a"});
  const std::string before = read_text_file(items());
  std::ofstream(folder_ / "run.json") << "{}";
  std::ofstream(folder_ / "mine.txt") << "mine";
  ItemJournal journal(folder_.path(), run_, Start::kFresh);
  EXPECT_EQ(journal.older(), folder_ / "older-1");
  EXPECT_TRUE(journal.older_is_unfinished());
  EXPECT_EQ(read_text_file(folder_ / "older-1/items.jsonl"), before);
  EXPECT_TRUE(fs::exists(folder_ / "older-1/run.json"));
  EXPECT_TRUE(fs::exists(folder_ / "mine.txt"));
  EXPECT_FALSE(fs::exists(folder_ / "run.json")) << "an older record never stands beside newer answers";
  EXPECT_EQ(fs::file_size(items()), 0U);
}

TEST_F(Journal, TwoRunsNeverWriteIntoOneFolder) {
  const ItemJournal first(folder_.path(), run_, Start::kFresh);
  EXPECT_THAT(refusal(), HasSubstr("another run writes into it now"));
  EXPECT_FALSE(fs::exists(folder_ / "older-1"));
}

TEST_F(Journal, AFinishedRunHasItsRowsInOrderWithTheAgreedFieldsAndIsNotAskedAgain) {
  {
    ItemJournal journal(folder_.path(), run_, Start::kFresh);
    for (const char* id : {"b", "a"}) journal.append(row_of(id));
    for (const char* id : {"a", "b"}) run_.items.push_back(row_of(id).answer);
    write_file_atomic(folder_ / "run.json", to_json_text(to_json(run_)));
    journal.finish(run_);
  }
  EXPECT_FALSE(fs::exists(folder_ / "run.partial.json"));
  const std::string text = read_text_file(items());
  EXPECT_LT(text.find("\"id\":\"a\""), text.find("\"id\":\"b\""));
  EXPECT_EQ(text.find("\"key\""), std::string::npos);
  const ItemJournal again(folder_.path(), run_, Start::kResume);
  EXPECT_TRUE(again.is_finished());
}

TEST_F(Journal, AKillBetweenTheRecordAndTheLastTouchesIsAFinishedRun) {
  write_rows({"a"});
  write_file_atomic(folder_ / "run.json", to_json_text(to_json(run_)));
  EXPECT_TRUE(ItemJournal(folder_.path(), run_, Start::kResume).is_finished());
}

}  // namespace
}  // namespace chaski
