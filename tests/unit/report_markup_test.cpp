// Answers that are Markdown, of the kinds that hurt what renders it (H113): pages and Markdown files show
// them as the text that they are, so that nothing is loaded, nested or left open.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "report/compare_html.h"
#include "report/compare_markdown.h"
#include "report/eval_report.h"
#include "report/html_page.h"
#include "report/report_html.h"
#include "support/full_record.h"

namespace chaski {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string repeated(std::string_view text, size_t n) {
  std::string all;
  for (size_t i = 0; i < n; ++i) all += text;
  return all;
}

std::string nested_list(size_t depth) {
  std::string list;
  for (size_t i = 0; i < depth; ++i) list += std::string(i % 50, ' ') + "- deeper\n";
  return list;
}

RunRecord answered(const std::string& answer) {
  RunRecord record = tests::full_record();
  record.items[0].answer = answer;
  return record;
}

std::vector<std::string> pages_of(const RunRecord& record) {
  return {report_html(record, "run", Lang::kEn), compare_html(compare(record, record), Lang::kEn),
          eval_markdown(record, Lang::kEn), compare_markdown(compare(record, record), Lang::kEn)};
}

TEST(MarkupInAnswers, H113ImagesAndLinksToOutsideAreTextAndLoadNothing) {
  const RunRecord record = answered(
      "![pixel](https://evil.example/p.png) [here](https://evil.example/) <https://evil.example/auto>\n\n"
      "[ref]: https://evil.example/ref\n\n<img src=\"https://evil.example/i\">\n");
  for (const std::string& page :
       {report_html(record, "run", Lang::kEn), compare_html(compare(record, record), Lang::kEn)}) {
    EXPECT_THAT(page, HasSubstr("![pixel](https://evil.example/p.png)"));
    for (const char* attribute : {"href=\"http", "src=\"http", "url(http", "<img"}) {
      EXPECT_THAT(page, Not(HasSubstr(attribute)));
    }
  }
  for (const std::string& page :
       {eval_markdown(record, Lang::kEn), compare_markdown(compare(record, record), Lang::kEn)}) {
    // In a fence, which ends after it.
    const size_t image = page.find("![pixel]");
    ASSERT_NE(image, std::string::npos);
    EXPECT_NE(page.rfind("\n```", image), std::string::npos);
    EXPECT_NE(page.find("\n```", image), std::string::npos);
  }
}

TEST(MarkupInAnswers, H113DeepListsLargeTablesAndOpenFencesAreShownAtOnce) {
  const std::vector<std::string> answers = {
      nested_list(10'000),
      repeated("| a | b ", 50'000) + "|\n" + repeated("|---", 100'000) + "|\n",
      "````python\nprint(1)\n```\n~~~\n",
      repeated("```\n", 5000),
      repeated("> ", 20'000) + "deep",
      repeated("*_", 50'000),
      repeated("[", 50'000) + repeated("](x)", 50'000)};
  for (const std::string& answer : answers) {
    const Stopwatch clock;
    const std::vector<std::string> pages = pages_of(answered(answer));
    EXPECT_LT(clock.seconds(), 4 * 2.0)
        << answer.substr(0, 20);  // 200 ms each, and ten times that for sanitizers
    for (const std::string& page : pages) EXPECT_LT(page.size(), size_t{3} << 20) << answer.substr(0, 20);
  }
}

TEST(MarkupInAnswers, H113WhatFollowsAnOpenFenceStaysOutsideOfIt) {
  const std::string page = eval_markdown(answered("````python\nprint(1)\n```\n"), Lang::kEn);
  const size_t answer = page.find("````python\nprint(1)");
  ASSERT_NE(answer, std::string::npos);
  const size_t line = page.rfind('\n', answer - 2) + 1;
  const std::string fence = page.substr(line, page.find_first_not_of('`', line) - line);
  EXPECT_GE(fence.size(), 5u) << "longer than the one in the answer";
  EXPECT_NE(page.find("\n" + fence + "\n", answer), std::string::npos);
}

}  // namespace
}  // namespace chaski
