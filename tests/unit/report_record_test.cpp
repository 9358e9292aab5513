// The record, and what readers see of it: fields, figures, and text that cannot break out of its place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/comparison.h"
#include "report/eval_report.h"
#include "report/run_record.h"
#include "report/text_safety.h"
#include "report/warnings.h"

namespace chaski {
namespace {

using testing::Contains;
using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> keys_of(const OrderedJson& object) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  return keys;
}

AnswerRecord answer(std::string id, std::string text, double seconds, size_t n_tokens) {
  AnswerRecord item;
  item.id = std::move(id);
  item.type = "code";
  item.prompt = "写一个函数";
  item.answer = std::move(text);
  item.ids.assign(n_tokens, 7);
  item.n_prompt_tokens = 12;
  item.seconds = seconds;
  item.ttft_s = 0.5;
  if (n_tokens > 1) item.tpot_s = 0.1;
  item.finish_reason = "stop";
  return item;
}

RunRecord record_of(std::vector<AnswerRecord> items) {
  RunRecord record;
  record.model.id = "default";
  record.settings = parse_ordered_json(
      R"({"suite":{"name":"toy","title":{"en":"Toy","zh":"玩具"},"types":{"code":{"en":"code","zh":"代码生成"}}},
          "seed":0,"precision":"fast"})",
      "test");
  record.items = std::move(items);
  record.summary.load_s = 10.52;
  summarise(record);
  return record;
}

TEST(RunRecord, HasTheTopLevelKeysThatOtherToolsReadInOrder) {
  const OrderedJson json = to_json(record_of({answer("1", "a", 2, 3)}));
  EXPECT_THAT(keys_of(json), ElementsAre("schema", "kind", "machine", "build", "model", "device", "runner",
                                         "settings", "items", "scores", "scoring", "results", "metrics",
                                         "energy", "memory", "ops", "fallback_rate", "stability", "summary",
                                         "fallbacks", "counts", "failures", "warnings"));
  EXPECT_EQ(json["schema"], "chaski.run/1");
  EXPECT_TRUE(json["fallbacks"].is_array());
  EXPECT_EQ(json["runner"]["name"], "");
}

TEST(RunRecord, ALineOfItemsHasExactlyTheAgreedFields) {
  const std::string line = to_json_text(item_json(answer("1", "two\nlines", 2, 3), false)) + "\n";
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_THAT(keys_of(parse_ordered_json(line, "line")),
              ElementsAre("id", "type", "prompt", "answer", "ids", "n_prompt_tokens", "n_tokens", "seconds",
                          "ttft_s", "finish_reason"));
}

TEST(RunRecord, TotalsAreSumsAndMeansArePerAnswerAndSpeedIsPerGap) {
  const RunRecord record =
      record_of({answer("1", "a", 2, 11), answer("2", "b", 4, 1), answer("3", "c", 6, 31)});
  EXPECT_DOUBLE_EQ(record.summary.total_s, 12);
  EXPECT_DOUBLE_EQ(record.summary.mean_s.value(), 4);
  EXPECT_EQ(record.summary.n_tokens, 43);
  ASSERT_TRUE(record.summary.decode_tokens_per_s);
  EXPECT_NEAR(*record.summary.decode_tokens_per_s, 10, 1e-9);
}

TEST(RunRecord, ARunWithoutAnswersHasNoMeanOfNothing) {
  const RunRecord record = record_of({});
  EXPECT_FALSE(record.summary.mean_s);
  EXPECT_TRUE(to_json(record)["summary"]["mean_s"].is_null());
  EXPECT_FALSE(parse_run_record(to_json_text(to_json(record)), "test").summary.mean_s);

  EXPECT_TRUE(to_json(record)["summary"]["decode_tokens_per_s"].is_null());
  EXPECT_THAT(eval_markdown(record, Lang::kEn), HasSubstr("Toy"));
}

TEST(EvalReport, TheTableTellsLoadEachQuestionTotalAndMeanInBothLanguages) {
  const RunRecord record = record_of({answer("1", "a", 12.39, 11), answer("2", "b", 18.23, 21)});
  const std::string en = eval_table(record, Lang::kEn);
  for (const char* part :
       {"load", "10.52", "1 code", "12.39", "2 code", "18.23", "total", "30.62", "15.31", "32"}) {
    EXPECT_THAT(en, HasSubstr(part));
  }
  const std::string zh = eval_table(record, Lang::kZh);
  for (const char* part : {"模型加载", "1 代码生成", "总计", "平均每题"}) EXPECT_THAT(zh, HasSubstr(part));
}

TEST(EvalReport, ColumnsOfTheTableLineUpWhateverTheScript) {
  for (const Lang lang : {Lang::kEn, Lang::kZh}) {
    const std::string table =
        eval_table(record_of({answer("1", "a", 12.39, 11), answer("2", "b", 1, 1)}), lang);
    size_t at = 0;
    while (at < table.size()) {
      const size_t end = table.find('\n', at);
      EXPECT_EQ(display_width(table.substr(at, end - at)), display_width(table.substr(0, table.find('\n'))));
      at = end + 1;
    }
  }
}

TEST(EvalReport, AnAnswerCannotBreakOutOfItsBlock) {
  const std::string hostile = "````\n# not a heading\n\x1b[2J\n```\n<script>";
  const std::string page = eval_markdown(record_of({answer("1", hostile, 1, 2)}), Lang::kEn);
  EXPECT_THAT(page, HasSubstr("`````text\n````\n# not a heading\n[2J\n```\n<script>\n`````\n"));
  EXPECT_THAT(page, Not(HasSubstr("\x1b")));
}

TEST(EvalReport, NamesFromOutsideCannotBecomeMarkup) {
  RunRecord record = record_of({answer("1", "a", 1, 2)});
  record.model.id = "a|b<img src=x>*c*\n# d";
  const std::string page = eval_markdown(record, Lang::kEn);
  EXPECT_THAT(page, Not(HasSubstr("<img")));
  EXPECT_THAT(page, HasSubstr("a\\|b&lt;img src=x>\\*c\\* # d"));
}

TEST(EvalReport, SamplesOfAQuestionAreToldApart) {
  AnswerRecord second = answer("1", "b", 2, 2);
  second.sample = 1;
  EXPECT_THAT(eval_table(record_of({answer("1", "a", 1, 2), second}), Lang::kEn), HasSubstr("1.2 code"));
}

TEST(EvalReport, AFailedQuestionIsShownAsFailedAndLeavesTheMeansAlone) {
  AnswerRecord failed = answer("1", "", 0, 0);
  failed.sample = 1;
  failed.ttft_s.reset();
  failed.finish_reason = "error";
  RunRecord record = record_of({answer("1", "a", 4, 11), failed});
  record.failures = {{"1", 1, ErrorCode::kUsage, "too long"}};
  EXPECT_DOUBLE_EQ(record.summary.mean_s.value(), 4);
  EXPECT_DOUBLE_EQ(*record.summary.mean_ttft_s, 0.5);
  EXPECT_THAT(eval_table(record, Lang::kEn), HasSubstr("failed"));
  EXPECT_THAT(eval_table(record, Lang::kZh), HasSubstr("失败"));
  EXPECT_THAT(eval_markdown(record, Lang::kEn), HasSubstr("- 1.2: too long"));
  EXPECT_TRUE(to_json(record)["items"][1]["ttft_s"].is_null());
  EXPECT_EQ(to_json(record)["failures"][0]["code"], "usage");
}

TEST(EvalReport, TheTotalOfAnswersMadeAtOnceIsTheirWallTimeOrIsNamedForWhatItIs) {
  RunRecord record = record_of({answer("1", "a", 4, 11), answer("2", "b", 5, 11)});
  record.settings["batch"] = 8;
  EXPECT_THAT(eval_table(record, Lang::kEn), HasSubstr("sum, shared time counted again       9.00"));
  EXPECT_THAT(eval_table(record, Lang::kZh), HasSubstr("重复"));
  record.summary.wall_s = 5.25;
  EXPECT_THAT(eval_table(record, Lang::kEn), ContainsRegex("total +5.25"));
  EXPECT_THAT(eval_table(record, Lang::kZh), ContainsRegex("总计 +5.25"));
  EXPECT_THAT(eval_markdown(record, Lang::kEn), HasSubstr("| **total** | **5.25** |"));
  EXPECT_EQ(to_json(record)["summary"]["wall_s"], 5.25);
  EXPECT_EQ(parse_run_record(to_json_text(to_json(record)), "test").summary.wall_s, 5.25);
  record.settings["batch"] = 1;
  EXPECT_THAT(eval_table(record, Lang::kEn), ContainsRegex("total +9.00")) << "the sum of the rows above";
}

TEST(EvalReport, ARunOfAPartOfASuiteSaysSoInItsTitleAndItsFacts) {
  RunRecord record = record_of({answer("1", "a", 4, 11)});
  record.settings["suite"] = {{"name", "toy"},
                              {"title", {{"en", "Toy"}, {"zh", "玩具"}}},
                              {"part", {{"n_questions", 1}, {"n_all", 9}, {"types", "code"}, {"limit", 1}}}};
  record.warnings = {make_warning("part_of_suite")};
  const std::string en = eval_markdown(record, Lang::kEn);
  EXPECT_THAT(en, HasSubstr("# Toy (a part)"));
  EXPECT_THAT(en, HasSubstr("1 of 9 questions, types code, the first 1 of each type"));
  EXPECT_THAT(eval_markdown(record, Lang::kZh), HasSubstr("1 题（共 9 题）"));
  EXPECT_EQ(part_text(parse_run_record(to_json_text(to_json(record)), "test"), Lang::kEn),
            part_text(record, Lang::kEn));
}

TEST(EvalReport, APartOfASuiteIsNeverComparedAsIfItWereTheWhole) {
  const RunRecord whole = record_of({answer("1", "a", 4, 11), answer("2", "b", 4, 11)});
  RunRecord part = record_of({answer("1", "a", 4, 11)});
  part.settings["suite"]["part"] = {{"n_questions", 1}, {"n_all", 2}, {"types", nullptr}, {"limit", 1}};
  EXPECT_THAT(comparison_warnings(compare(whole, part), Lang::kEn),
              AllOf(Contains(HasSubstr("B asked a part of its suite alone (1 of 2 questions")),
                    Contains(HasSubstr("did not ask the same questions"))));
  EXPECT_THAT(comparison_warnings(compare(part, part), Lang::kZh),
              Contains(HasSubstr("A 只问了题集的一部分")));
}

TEST(EvalReport, WarningsAreReadFirstAndInTheReadersLanguage) {
  RunRecord record = record_of({answer("1", "a", 1, 2)});
  record.warnings = {make_warning("synthetic_weights"), {"from_a_later_version", "Something else."}};
  const std::string zh = eval_markdown(record, Lang::kZh);
  EXPECT_LT(zh.find("合成模型"), zh.find("## 结果"));
  EXPECT_THAT(zh, HasSubstr("Something else."));
}

TEST(TextSafety, ControlCharactersAreTakenOutAndTextStays) {
  EXPECT_EQ(strip_controls("a\x1b[31mb\x07\n\t\xC2\x9B"
                           "c\x7F中\xFF"),
            "a[31mb\n\tc中\xEF\xBF\xBD");
}

TEST(TextSafety, PaddingCountsColumnsNotBytes) {
  EXPECT_EQ(display_width("中a"), 3);
  EXPECT_EQ(pad_right("中", 4), "中  ");
  EXPECT_EQ(pad_left("中", 4), "  中");
  EXPECT_EQ(pad_right("中文字", 4), "中… ");
}

}  // namespace
}  // namespace chaski
