// Exports as other programs read them: every figure is there, and text stays text.
#include "report/exports.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "support/full_record.h"

namespace chaski {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string exported(std::string_view extension, const std::vector<ExportedRun>& runs) {
  return export_text(*find_export_format(extension), runs);
}

std::vector<ExportedRun> full_run() { return {{"7", tests::full_record()}}; }

/// Lines of the CSV that hold `part`.
int64_t n_lines_with(const std::string& csv, std::string_view part) {
  int64_t n = 0;
  for (size_t at = 0; at < csv.size();) {
    const size_t end = csv.find('\n', at);
    if (csv.substr(at, end - at).find(part) != std::string::npos) ++n;
    at = end + 1;
  }
  return n;
}

TEST(Exports, JsonIsAListOfWholeRecords) {
  const OrderedJson json = parse_ordered_json(exported(".json", full_run()), "export");
  ASSERT_EQ(json.size(), 1u);
  EXPECT_EQ(to_json_text(json[0]), to_json_text(to_json(tests::full_record())));
  EXPECT_TRUE(parse_ordered_json(exported(".json", {}), "export").empty());
  std::vector<ExportedRun> two = full_run();
  two.push_back(two[0]);
  EXPECT_EQ(parse_ordered_json(exported(".json", two), "export").size(), 2u);
  EXPECT_EQ(find_export_format(".xml"), nullptr);
}

TEST(Exports, CsvHasALineForEachFigureWithTheFactsOfItsRun) {
  const std::string csv = exported(".csv", full_run());
  EXPECT_THAT(csv, testing::StartsWith("run,kind,started_at,model,model_hash,suite,"));
  EXPECT_EQ(n_lines_with(csv, ",summary,"), 12);
  EXPECT_EQ(n_lines_with(csv, ",metric,"), 2);
  EXPECT_EQ(n_lines_with(csv, ",item,seconds,"), 3);
  EXPECT_EQ(n_lines_with(csv, ",score,"), 2);
  EXPECT_EQ(n_lines_with(csv, ",stability,"), 8);
  EXPECT_THAT(csv, HasSubstr("7,eval,2026-01-02T03:04:05Z,default,"));
  EXPECT_THAT(csv, HasSubstr(",metric,ttft_s,,,0.2,s,3,,"));
  const auto n_commas = [](std::string_view line) { return std::count(line.begin(), line.end(), ','); };
  const std::string_view first = std::string_view(csv).substr(0, csv.find('\n'));
  const size_t at = csv.find("7,eval");
  EXPECT_EQ(n_commas(first), n_commas(csv.substr(at, csv.find('\n', at) - at)));
}

TEST(Exports, ARightOrWrongAnswerIsOneOrNothingOfAShare) {
  std::vector<ExportedRun> runs = full_run();
  ScoreRecord score;
  score.id = "q";
  score.scorer = "exact";
  score.is_correct = true;
  runs[0].record.scores = {score};
  score.sample = 1;
  score.is_correct = false;
  runs[0].record.scores.push_back(score);
  score.score = 4;
  score.sample = 2;
  runs[0].record.scores.push_back(score);
  score = ScoreRecord();
  score.id = "r";
  score.scorer = "code";
  score.status = "not_run";
  runs[0].record.scores.push_back(score);
  const std::string csv = exported(".csv", runs);
  EXPECT_THAT(csv, HasSubstr(",score,exact,q,0,1,share,"));
  EXPECT_THAT(csv, HasSubstr(",score,exact,q,1,0,share,"));
  EXPECT_THAT(csv, HasSubstr(",score,exact,q,2,4,,"));
  EXPECT_THAT(csv, HasSubstr(",score,code,r,0,,,"));
}

TEST(Exports, H116ATextThatASpreadsheetWouldRunIsPrefixedAndANegativeNumberIsNot) {
  std::vector<ExportedRun> runs = full_run();
  runs[0].record.model.id = "=HYPERLINK(\"http://x\")";
  runs[0].record.failures[0].message = "@SUM(A1), \"two\"\nlines";
  const std::string csv = exported(".csv", runs);
  EXPECT_THAT(csv, HasSubstr(",\"'=HYPERLINK(\"\"http://x\"\")\","));
  EXPECT_THAT(csv, HasSubstr("\"'@SUM(A1), \"\"two\"\"\nlines\""));
  EXPECT_THAT(csv, HasSubstr("rss_growth_bytes,,,-4096,B"));
}

TEST(Exports, H116SqlQuotesWhatIsQuotedAndWritesControlCharactersAsBytes) {
  std::vector<ExportedRun> runs = full_run();
  runs[0].record.model.id = "o'clock'); DROP TABLE runs; --";
  runs[0].record.items[0].answer = std::string("a\0b\r'", 5);
  const std::string sql = exported(".sql", runs);
  EXPECT_THAT(sql, HasSubstr("'o''clock''); DROP TABLE runs; --'"));
  EXPECT_THAT(sql, HasSubstr("CAST(x'6100620d27' AS TEXT)"));
  EXPECT_THAT(sql, Not(HasSubstr(std::string(1, '\0'))));
  EXPECT_THAT(sql, HasSubstr("INSERT INTO figures VALUES('7','metric','ttft_s',NULL,NULL,0.2,'s',3,"));
}

}  // namespace
}  // namespace chaski
