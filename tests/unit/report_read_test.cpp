// A record read back from its JSON: exactly what was written, and nothing that is not a record.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "report/run_record.h"
#include "support/error_of.h"
#include "support/full_record.h"
#include "support/temporary_folder.h"

namespace chaski {
namespace {

using testing::HasSubstr;

std::string text_of(const RunRecord& record) { return to_json_text(to_json(record)); }

/// What reading says of the full record with `value` at `pointer`.
Error refusal(const std::string& pointer, const OrderedJson& value) {
  OrderedJson json = to_json(tests::full_record());
  json[OrderedJson::json_pointer(pointer)] = value;
  return test::error_of([&] { run_record_of(json, "run.json"); });
}

TEST(ReadRecord, WhatWasWrittenIsReadBackToTheLastBitAndInItsOrder) {
  const std::string text = text_of(tests::full_record());
  const RunRecord again = parse_run_record(text, "run.json");
  EXPECT_EQ(text_of(again), text);
  EXPECT_EQ(again.items[0].answer, tests::full_answer("1", 0).answer);
  EXPECT_EQ(again.items[0].seconds, 2.0 / 3);
  EXPECT_EQ(again.metrics[0].name, "ttft_s");
  EXPECT_EQ(again.machine.governor, "performance");
  EXPECT_EQ(again.stability->rss_growth_bytes, -4096);
  EXPECT_EQ(again.failures[0].code, ErrorCode::kUsage);
}

TEST(ReadRecord, WhatWasNotMeasuredStaysNothing) {
  const std::string text = text_of(RunRecord());
  const RunRecord again = parse_run_record(text, "run.json");
  EXPECT_EQ(text_of(again), text);
  EXPECT_FALSE(again.memory);
  EXPECT_FALSE(again.stability);
  EXPECT_FALSE(again.fallback_rate);
  EXPECT_TRUE(again.metrics.empty());
}

TEST(ReadRecord, AnOlderRecordWithoutTheNewerFieldsAndANewerOneWithMoreAreRead) {
  OrderedJson json = to_json(tests::full_record());
  for (const char* key : {"scores", "scoring", "results", "metrics", "energy", "memory", "ops"})
    json.erase(key);
  json["machine"].erase("governor");
  json["something_new"] = {1, 2, 3};
  json["items"][0]["something_new"] = "x";
  const RunRecord record = run_record_of(json, "run.json");
  EXPECT_EQ(record.items.size(), 3u);
  EXPECT_TRUE(record.scores.empty());
}

TEST(ReadRecord, AWrongFieldIsNamedWithWhatWasFound) {
  EXPECT_THAT(refusal("/items/1/ids/2", 2147483648).what(),
              HasSubstr("run.json.items[1].ids: expected an integer from 0 to 2147483647, found 2147483648"));
  EXPECT_THAT(refusal("/model/parameters", (int64_t{1} << 53) + 1).what(), HasSubstr("model.parameters"));
  EXPECT_THAT(refusal("/items/0/seconds", 1e151).what(), HasSubstr("items[0].seconds"));
  EXPECT_THAT(refusal("/model/parameters", -1).what(), HasSubstr("run.json.model.parameters"));
  EXPECT_THAT(refusal("/metrics/ttft_s/samples", "many").what(),
              HasSubstr("metrics.ttft_s.samples: expected a list"));
  EXPECT_THAT(refusal("/machine", 5).what(), HasSubstr("run.json.machine: expected a JSON object, found 5"));
  EXPECT_THAT(refusal("/failures/0/code", "bad luck").what(), HasSubstr("unknown error code \"bad luck\""));
}

TEST(ReadRecord, NumbersOutOfTheirRangeAreRefused) {
  const std::vector<std::pair<std::string, OrderedJson>> wrong = {
      {"/items/0/seconds", -1},
      {"/items/0/sample", -1},
      {"/items/0/sample", 1.5},
      {"/items/0/sample", 18446744073709551615u},
      {"/items/0/id", ""},
      {"/scores/0/score", 6},
      {"/scores/0/components/0/value", 1.01},
      {"/metrics/ttft_s/samples", OrderedJson::array()},
      {"/metrics/ttft_s/ci95", {2, 1}},
      {"/metrics/ttft_s/ci95", {1, 2, 3}},
      {"/fallback_rate/by_time", 1.5},
      {"/energy/0/joules", -3},
      {"/memory/device_bytes", -1},
      {"/kind", "poem"},
      {"/settings/temperature", "hot"},
      {"/settings/suite", {1}},
      {"/settings/suite/types/code", "code"},
      {"/settings/suite/title/en", 7}};
  for (const auto& [pointer, value] : wrong) {
    EXPECT_EQ(refusal(pointer, value).code(), ErrorCode::kCorrupt) << pointer;
  }
}

TEST(ReadRecord, AnswersThatStandTwiceAreRefused) {
  EXPECT_THAT(refusal("/items/1/sample", 0).what(), HasSubstr("\"1\", sample 0, stands twice"));
}

TEST(ReadRecord, ANameAsLongAsABookIsRefusedAndALongAnswerIsNot) {
  const std::string book(1 << 20, 'x');
  EXPECT_THAT(refusal("/model/id", book).what(), HasSubstr("1048576 bytes"));
  OrderedJson json = to_json(tests::full_record());
  json["items"][0]["answer"] = book;
  EXPECT_EQ(run_record_of(json, "run.json").items[0].answer.size(), book.size());
}

TEST(ReadRecord, AnotherSchemaIsUnsupportedAndNoSchemaIsNoRecord) {
  EXPECT_EQ(refusal("/schema", "chaski.run/2").code(), ErrorCode::kUnsupported);
  EXPECT_EQ(refusal("/schema", "chaski.run").code(), ErrorCode::kCorrupt);
  EXPECT_EQ(test::error_of([] { parse_run_record("{}", "x"); }).code(), ErrorCode::kCorrupt);
  EXPECT_EQ(test::error_of([] { parse_run_record("[]", "x"); }).code(), ErrorCode::kCorrupt);
  EXPECT_EQ(test::error_of([] { parse_run_record("", "x"); }).code(), ErrorCode::kCorrupt);
}

TEST(ReadRecord, H117ThousandsOfKeysInOneObjectAreRefusedAtOnce) {
  std::string text = R"({"schema":"chaski.run/1","kind":"eval","settings":{)";
  for (int i = 0; i < 200'000; ++i) text += fmt::format("\"k{}\":0,", i);
  text += "\"last\":0}}";
  EXPECT_THAT(test::error_of([&] { parse_run_record(text, "x"); }).what(), HasSubstr("more than 1024 keys"));
}

TEST(ReadRecord, AFolderIsReadByItsRunJson) {
  const tests::TemporaryFolder folder;
  const std::string text = text_of(tests::full_record());
  std::ofstream(folder / "run.json") << text;
  EXPECT_EQ(text_of(read_run_record(folder.path().string())), text);
  EXPECT_EQ(text_of(read_run_record((folder / "run.json").string())), text);
  const Error absent = test::error_of([&] { read_run_record((folder / "none").string()); });
  EXPECT_EQ(absent.code(), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace chaski
