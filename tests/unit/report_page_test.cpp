// Pages and charts: hostile text stays text, pages stay small, the same figures give the same bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "report/compare_data.h"
#include "report/compare_html.h"
#include "report/compare_markdown.h"
#include "report/html_page.h"
#include "report/report_html.h"
#include "report/svg_chart.h"
#include "report/text_safety.h"
#include "report_fixture.h"
#include "support/full_record.h"

namespace chaski {
namespace {

using testing::HasSubstr;
using testing::Not;
using tests::simulated;

constexpr std::string_view kHostile =
    "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"' -->]]>";

/// How often `part` stands in `text`.
size_t count_in(std::string_view text, std::string_view part) {
  size_t n = 0;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

RunRecord hostile_record() {
  RunRecord record = tests::full_record();
  const std::string text(kHostile);
  record.model.id = text;
  record.model.path = text;
  record.device.name = text;
  record.settings["template"] = text;
  record.settings[text] = text;
  record.settings["suite"]["title"]["en"] = text;
  record.settings["suite"]["types"]["code"]["en"] = text;
  for (AnswerRecord& item : record.items) {
    item.answer = text + "\xE2\x80\xAE" + std::string(1, '\0') + "\x1b[2J\xED\xA0\x80";
    item.prompt = text;
    item.type = item.sample == 0 ? "code" : text;
    item.finish_reason = text;
  }
  for (ScoreRecord& score : record.scores) {
    score.scorer = score.note = text;
    score.components[0].name = score.components[0].evidence = text;
    score.adjustments[0].name = score.adjustments[0].evidence = text;
  }
  record.metrics[0].name = record.metrics[0].unit = text;
  record.results[0].task = text;
  record.energy[1].why_not = text;
  record.fallbacks[0].reason = text;
  record.failures[0].message = text;
  record.warnings.push_back({"later", text});
  record.scoring[text] = text;
  return record;
}

TEST(HtmlPage, H112TextFromOutsideIsInertEverywhereOnEveryPage) {
  const RunRecord a = hostile_record();
  RunRecord b = hostile_record();
  b.settings["temperature"] = 1;
  for (const Lang lang : {Lang::kEn, Lang::kZh}) {
    for (const std::string& page : {compare_html(compare(a, b, std::string(kHostile), "b"), lang),
                                    report_html(a, std::string(kHostile), lang)}) {
      EXPECT_THAT(page, Not(HasSubstr("<script")));
      EXPECT_THAT(page, Not(HasSubstr("<img")));
      EXPECT_THAT(page, Not(HasSubstr("-->")));
      EXPECT_EQ(count_in(page, "</style>"), 1u);
      EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(1)"));
      EXPECT_THAT(page, HasSubstr("default-src 'none'"));
      EXPECT_THAT(page, Not(HasSubstr(" style=")));
    }
    for (const std::string& svg :
         {standalone_svg(compare_picture(compare(a, b), lang)), standalone_svg(report_picture(a, lang))}) {
      EXPECT_THAT(svg, Not(HasSubstr("<script")));
      EXPECT_THAT(svg, Not(HasSubstr("<img")));
    }
    EXPECT_THAT(compare_markdown(compare(a, b), lang), Not(HasSubstr("| <img")));
  }
}

TEST(HtmlPage, H114InvisibleCharactersBecomeMarks) {
  EXPECT_EQ(html_text("a\xE2\x80\xAE"
                      "b\xE2\x80\x8B"
                      "c" +
                      std::string(1, '\0') + "\x1b\n\t"),
            "a‹U+202E›b‹U+200B›c‹U+0000›‹U+001B›\n\t");
  EXPECT_EQ(html_text("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // a lone surrogate
  EXPECT_EQ(html_text("中文 a&b<c>\"d'"), "中文 a&amp;b&lt;c&gt;&quot;d&#39;");
  const std::string page = report_html(hostile_record(), "", Lang::kEn);
  EXPECT_THAT(page, HasSubstr("‹U+202E›‹U+0000›‹U+001B›[2J"));
  EXPECT_THAT(page, Not(HasSubstr("\xE2\x80\xAE")));
}

TEST(HtmlPage, H115AHugeAnswerIsCutWithItsCountAndWhereTheRestIs) {
  RunRecord a = simulated({"a", 3});
  a.items[1].answer = std::string(100u << 20, '<');
  const std::string page = compare_html(compare(a, a, "runs/a", "runs/b"), Lang::kEn);
  EXPECT_LT(page.size(), 1u << 20);
  EXPECT_THAT(page, HasSubstr("of 104857600 bytes are not shown"));
  EXPECT_THAT(page, HasSubstr("runs/a"));
  EXPECT_LT(compare_markdown(compare(a, a), Lang::kEn).size(), 1u << 20);
}

TEST(HtmlPage, H115APageOfManyLongAnswersStaysBelowTwentyMegabytesAndSaysWhatIsMissing) {
  RunRecord a = simulated({"a", 1200});
  for (AnswerRecord& item : a.items) {
    item.answer = std::string(30'000, '\x01');
    item.prompt = std::string(30'000, '&');
  }
  const std::string page = report_html(a, "runs/a", Lang::kEn);
  EXPECT_LT(page.size(), 20u << 20);
  EXPECT_GT(page.size(), 5u << 20);
  EXPECT_THAT(page, HasSubstr("of 1200 questions and answers are shown"));
  EXPECT_THAT(page, HasSubstr("</html>"));
}

TEST(HtmlPage, ThePolicyNamesTheHashOfTheStyleThatIsThere) {
  const std::string page = report_html(simulated({"a", 2}), "", Lang::kZh);
  const size_t from = page.find("<style>") + 7;
  const std::string style = page.substr(from, page.find("</style>") - from);
  // In hexadecimal the hash begins with the six bits of the first base64 letter.
  const std::string hex = sha256_of(style);
  const size_t at = page.find("sha256-") + 7;
  EXPECT_EQ(page.substr(at, 44).back(), '=');
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  EXPECT_EQ(kAlphabet.find(page[at]), static_cast<size_t>(std::stoi(hex.substr(0, 2), nullptr, 16)) >> 2);
  EXPECT_THAT(page, HasSubstr("<html lang=\"zh-CN\">"));
}

TEST(HtmlPage, APageHasVerdictChartsFiguresAnswersMethodAndWarningsInThatOrder) {
  RunRecord a = simulated({"a", 8});
  a.warnings = {{"single_sample", "One sample."}};
  const std::string page = compare_html(compare(a, simulated({"b", 8})), Lang::kEn);
  size_t before = 0;
  for (const char* id : {"verdict", "charts", "figures", "answers", "method", "warnings"}) {
    const size_t at = page.find(std::string("id=\"") + id);
    ASSERT_NE(at, std::string::npos) << id;
    EXPECT_GT(at, before) << id;
    before = at;
  }
  EXPECT_THAT(page, HasSubstr("final number"));  // the evidence of a score
}

TEST(Csv, H116ACellIsNeverAFormulaAndNeverBreaksOut) {
  EXPECT_EQ(csv_cell("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0");
  for (const char* formula : {"+1", "-1", "@a", "\t=1", "\r=1"})
    EXPECT_THAT(csv_cell(formula), HasSubstr("'"));
  EXPECT_EQ(csv_cell("a,\"b\"\nc"), "\"a,\"\"b\"\"\nc\"");
  RunRecord a = simulated({"=1+1", 2});
  a.items[0].id = "=HYPERLINK(\"x\")";
  a.items[0].answer = "@SUM(1)";
  EXPECT_THAT(compare_csv(compare(a, a)), HasSubstr("\"'=HYPERLINK(\"\"x\"\")\""));
  EXPECT_THAT(report_csv(a), HasSubstr(",'@SUM(1),"));
}

TEST(Charts, BarsHaveWhiskersValuesAndAnAxisFromZero) {
  BarChart chart;
  chart.title = "Scores";
  chart.description = "a & b";
  chart.axis = "points";
  chart.most = 5;
  chart.series = {{"A", "a"}, {"B", "b"}};
  chart.groups = {{"代码 <x>", {{2.5, Interval{2, 3}, "2.50", ""}, {std::nullopt, std::nullopt, "", ""}}}};
  const Drawing drawing = draw_bars(chart);
  const std::string svg = inline_svg(drawing);
  EXPECT_EQ(svg, inline_svg(draw_bars(chart)));
  EXPECT_THAT(svg, HasSubstr("<title>Scores</title>\n<desc>a &amp; b</desc>"));
  EXPECT_THAT(svg, HasSubstr("代码 &lt;x&gt;"));
  EXPECT_THAT(svg, HasSubstr(">2.50</text>"));
  EXPECT_EQ(count_in(svg, "class=\"whisker\""), 3u);
  // From 10 to 153 of 10 to 296 units: half of the axis is 2.5 of 5.
  EXPECT_THAT(
      svg,
      HasSubstr("<rect x=\"10.0\" y=\"44.0\" width=\"143.0\" height=\"13.0\" rx=\"1.5\" class=\"bar a\"/>"));
  EXPECT_THAT(svg, HasSubstr("<text x=\"10.0\" y=\"93.0\" class=\"muted\" text-anchor=\"middle\">0</text>"));
}

TEST(Charts, TheRadarPutsEqualScoresOnARegularPolygon) {
  RadarChart chart;
  chart.axes = {"n", "e", "s", "w"};
  chart.shapes = {{{"A", "a"}, {5.0, 5.0, 5.0, 5.0}}};
  EXPECT_THAT(
      inline_svg(draw_radar(chart)),
      HasSubstr("<polygon points=\"200.0,68.0 295.0,163.0 200.0,258.0 105.0,163.0\" class=\"area a\"/>"));
}

TEST(Charts, EveryMeasurementHasItsMarkOnTheStripPlot) {
  StripChart chart;
  chart.series = {{"A", "a"}, {"B", "b"}};
  chart.rows = {{"1", {{1, 2, 3}, {4}}}, {"2", {{}, {10}}}};
  const std::string svg = inline_svg(draw_strips(chart));
  EXPECT_EQ(count_in(svg, "class=\"dot a\""), 3u + 1);  // one in the legend
  EXPECT_EQ(count_in(svg, "class=\"dot b\""), 2u + 1);
}

TEST(Charts, AFileOfItsOwnNamesNothingOutside) {
  const std::string svg =
      standalone_svg(compare_picture(compare(simulated({"a", 6}), simulated({"b", 6})), Lang::kZh));
  EXPECT_EQ(count_in(svg, "http"), 1u);  // the namespace
  EXPECT_THAT(svg, Not(HasSubstr("url(")));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
}

TEST(CompareData, JsonHasTheClaimsWithTheirTestsAndTheQuestionsInPairs) {
  const RunRecord a = simulated({"a", 20, 10, 20, 0.1, 1});
  const RunRecord b = simulated({"b", 20, 5, 10, 1.0, 2});
  const OrderedJson json = compare_json(compare(a, b, "x", "y"));
  EXPECT_EQ(json["schema"], "chaski.comparison/1");
  EXPECT_EQ(json["claims"][0]["topic"], "faster_per_question");
  EXPECT_EQ(json["claims"][0]["verdict"], "supported");
  EXPECT_EQ(json["claims"][0]["n"], 20);
  EXPECT_LT(json["claims"][0]["p_holm"].get<double>(), 0.05);
  EXPECT_EQ(json["questions"].size(), 20u);
  EXPECT_EQ(json["scores"][1]["type"], "code");
  EXPECT_EQ(json["runs"]["b"]["source"], "y");
}

}  // namespace
}  // namespace chaski
