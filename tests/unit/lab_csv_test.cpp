// CSV as spreadsheets and Python write it, and the final answer cut out of a text. Both against Python
// itself: tests/parity/lm_eval_parity.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "lab/csv.h"
#include "lab/final_answer.h"
#include "support/error_of.h"

namespace chaski {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Csv, QuotesCommasAndLineEndsInFieldsAreKept) {
  const std::vector<CsvRow> rows =
      parse_csv("\xEF\xBB\xBFid,text\r\n1,\"a, \"\"b\"\"\r\nc\"\r\n\r\n2,\"\"\n3,五\",six", "file");
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_THAT(rows[0].fields, ElementsAre("id", "text"));
  EXPECT_THAT(rows[1].fields, ElementsAre("1", "a, \"b\"\r\nc"));
  EXPECT_EQ(rows[1].line, 2u);
  EXPECT_THAT(rows[2].fields, ElementsAre("2", ""));
  EXPECT_EQ(rows[2].line, 5u);
  EXPECT_THAT(rows[3].fields, ElementsAre("3", "五\"", "six")) << "a quote inside a field is a character";
  EXPECT_THAT(parse_csv("a,\n", "file").at(0).fields, ElementsAre("a", ""));
  EXPECT_THAT(parse_csv("\"a\"b\"\"c,d", "file").at(0).fields, ElementsAre("ab\"\"c", "d"));
  EXPECT_THAT(parse_csv("\xEF\xBB\xBF", "file"), IsEmpty());
}

TEST(Csv, WhatIsWrongIsNamedByLine) {
  const auto said = [](const std::string& text, const CsvLimits& limits = {}) {
    return std::string(test::error_of([&] { parse_csv(text, "file", limits); }).what());
  };
  EXPECT_THAT(said("a\nb,\"c\nd\n"), HasSubstr("file line 2: a quoted field is never closed"));
  EXPECT_THAT(said("a\nb\n\xB0\xA1\n"), HasSubstr("file line 3: expected UTF-8 text, found the byte 0xB0"));
  EXPECT_THAT(said(std::string("a\0b", 3)),
              HasSubstr("file line 1: expected UTF-8 text, found the byte 0x00"));
  CsvLimits limits;
  limits.max_rows = 2;
  limits.max_fields = 3;
  limits.max_field_bytes = 4;
  EXPECT_THAT(said("a\nb\nc\n", limits), HasSubstr("file line 3: more than 2 rows"));
  EXPECT_THAT(said("1,2,3,4", limits), HasSubstr("file line 1: more than 3 fields"));
  EXPECT_THAT(said("\"abc\"\"d\"", limits), HasSubstr("file line 1: a field of more than 4 bytes"));
  EXPECT_EQ(parse_csv("\"ab\"cd,1,2\n", "file", limits).size(), 1u);
}

TEST(FinalAnswer, StrictMatchTakesTheFirstAnnouncedNumber) {
  EXPECT_EQ(strict_match("So 3. The answer is 1,234.50 of it. The answer is 7."), "1,234.50");
  EXPECT_EQ(strict_match("The answer is 7. So"), "7.") << "which the comparison then leaves out";
  EXPECT_EQ(strict_match("The answer is 7."), "7");
  EXPECT_EQ(strict_match("The answer is The answer is -7 apples"), "-7");
  EXPECT_EQ(strict_match("The answer is $7."), std::nullopt);
  EXPECT_EQ(strict_match("The answer is 7"), std::nullopt) << "the filter wants one character more";
  EXPECT_EQ(strict_match("The answer is 72"), "7") << "and takes a digit for it";
  EXPECT_EQ(strict_match("The answer is 72\nQ"), "7");
  EXPECT_EQ(strict_match("the answer is 7."), std::nullopt);
  EXPECT_EQ(strict_match("The answer is -"), std::nullopt);
  EXPECT_EQ(strict_match(""), std::nullopt);
}

TEST(FinalAnswer, FlexibleExtractTakesTheLastNumber) {
  EXPECT_EQ(flexible_extract("5 apples and 3-2 pears cost $1,200.00 today"), "$1,200.00");
  EXPECT_EQ(flexible_extract("it is 7"), "7");
  EXPECT_EQ(flexible_extract("-7"), "-7");
  EXPECT_EQ(flexible_extract("$-7"), "-7");
  EXPECT_EQ(flexible_extract("7, well..."), "...") << "which is what the filter does";
  EXPECT_EQ(flexible_extract("no number - at all."), std::nullopt);
}

TEST(FinalAnswer, AnswersMatchWhateverTheirCommasDollarsAndFullStop) {
  EXPECT_EQ(reference_answer("work\n#### 1,200 \n"), "1,200");
  EXPECT_EQ(reference_answer("12"), "12");
  EXPECT_TRUE(is_exact_match("$1200.", "1,200"));
  EXPECT_FALSE(is_exact_match("1200.00", "1,200"));
  EXPECT_FALSE(is_exact_match(std::nullopt, "1"));
  EXPECT_TRUE(is_exact_match("5.", "5."));
}

}  // namespace
}  // namespace chaski
