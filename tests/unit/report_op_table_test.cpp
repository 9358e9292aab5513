// The table of a profile: shares by phase, and what is not in ops.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/run_tables.h"
#include "report_fixture.h"

namespace chaski {
namespace {

using testing::ElementsAre;

RunRecord profiled() {
  RunRecord record = tests::simulated_bench("toy", 10, 3, 1);
  record.ops = {{"linear_add", "prefill", "256 × 64", 8, 2'000'000'000, 6},
                {"attention", "prefill", "256 × 64", 4, 1'000'000'000, 2},
                {"linear_add", "decode", "1 × 64", 80, 500'000'000, 0.5}};
  return record;
}

std::vector<std::string> column(const Table& table, size_t i) {
  std::vector<std::string> cells;
  for (const auto& row : table.rows) cells.push_back(row[i]);
  return cells;
}

TEST(OpsTable, SharesAreOfThePhasesStepsAndWhatLiesBetweenOpsIsARow) {
  RunRecord record = profiled();
  record.settings["traced_s"] = {{"prefill", 10.0}, {"decode", 1.0}};
  const Table table = ops_table(record, Lang::kEn);
  EXPECT_THAT(column(table, 0),
              ElementsAre("linear_add", "attention", "linear_add", "between ops", "between ops"));
  EXPECT_THAT(column(table, 1), ElementsAre("prefill", "prefill", "decode", "decode", "prefill"));
  EXPECT_THAT(column(table, 5), ElementsAre("60.0 %", "20.0 %", "50.0 %", "50.0 %", "20.0 %"));
  EXPECT_THAT(column(table, 7), ElementsAre("0.333", "0.500", "1.00", "–", "–"));
  EXPECT_EQ(table.notes.size(), 1u);
}

TEST(OpsTable, OfARecordThatDoesNotSayHowLongTheStepsTookSharesAreOfTheOps) {
  const Table table = ops_table(profiled(), Lang::kZh);
  EXPECT_THAT(column(table, 5), ElementsAre("75.0 %", "25.0 %", "100.0 %"));
  EXPECT_THAT(column(table, 1), ElementsAre("预填充", "预填充", "解码"));
}

TEST(OpsTable, OpsBeyondTheLongestAreOneRowSoThatNoTimeIsMissing) {
  RunRecord record = profiled();
  for (int i = 0; i < 40; ++i) record.ops.push_back({"add", "decode", std::to_string(i), 1, 1, 0.01});
  record.settings["traced_s"] = {{"prefill", 10.0}, {"decode", 0.1}};  // not what the ops say: from a file
  const Table table = ops_table(record, Lang::kEn);
  EXPECT_EQ(table.rows.size(), 33u) << "30 ops, the others of decode, and two phases";
  EXPECT_EQ(table.rows[30][0], "other ops");
  EXPECT_EQ(table.rows[31][5], "0.0 %") << "never less than nothing";
}

}  // namespace
}  // namespace chaski
