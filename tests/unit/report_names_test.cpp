// Names of things in both languages: what a Chinese page says where the record has an English name.
#include "report/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/compare_html.h"
#include "report/report_html.h"
#include "report_fixture.h"

namespace chaski {
namespace {

using testing::HasSubstr;
using testing::Not;

NamedMetric metric(std::string name, std::string unit) {
  NamedMetric named;
  named.name = std::move(name);
  named.unit = std::move(unit);
  return named;
}

TEST(Names, AMetricHasItsWordsItsUnitAndItsTest) {
  EXPECT_EQ(metric_words(metric("ttft_s", "s"), Lang::kEn), "first token (TTFT), s");
  EXPECT_EQ(metric_words(metric("ttft_s", "s"), Lang::kZh), "首词元延迟（TTFT），秒");
  EXPECT_EQ(metric_words(metric("prefill_tokens_per_s[p=128,d=0]", "tokens/s"), Lang::kZh),
            "预填充速度，词元/秒，p=128, d=0");
  EXPECT_EQ(metric_words(metric("load_cold_weights_s", "s"), Lang::kEn), "cold load, weights, s");
  EXPECT_EQ(metric_words(metric("load_s", "s"), Lang::kZh), "加载，秒");
  EXPECT_EQ(phase_words("decode[n=4,d=0]", Lang::kZh), "解码，n=4, d=0");
  EXPECT_EQ(metric_words(metric("of_a_later_version", ""), Lang::kZh), "of_a_later_version");
}

TEST(Names, WhatIsNotKnownStaysAsItIs) {
  EXPECT_EQ(words_for(NameOf::kScorePart, "final", Lang::kZh), "最终数值");
  EXPECT_EQ(words_for(NameOf::kScorePart, "<b>", Lang::kZh), "<b>");
  EXPECT_EQ(words_for(NameOf::kScorer, "judge:big", Lang::kZh), "裁判 big");
  EXPECT_EQ(setting_words("precision", "exact", Lang::kZh), "精确（exact）");
  EXPECT_EQ(setting_words("system", "exact", Lang::kZh), "exact");  // a text of the user's
  EXPECT_EQ(setting_words("ignore_eos", true, Lang::kEn), "yes");
}

TEST(Names, ASentenceWithWhatDiffersInItIsTranslatedAroundThat) {
  EXPECT_EQ(remark_words("sentences: 3, longest paragraph: 120", Lang::kZh), "句数 3，最长段落 120");
  EXPECT_EQ(remark_words("2 / 4, without {}, 缓存", Lang::kZh), "2 / 4，缺少 {}, 缓存");
  EXPECT_EQ(remark_words("no number, expected 12", Lang::kZh), "没有数值，应为 12");
  EXPECT_EQ(remark_words("no number, expected 12", Lang::kEn), "no number, expected 12");
  EXPECT_EQ(remark_words("答案是 12。", Lang::kZh), "答案是 12。");
  EXPECT_EQ(remark_words("", Lang::kZh), "");
}

TEST(Names, AChinesePageNamesPartsSettingsAndRunnerInChinese) {
  RunRecord record = tests::simulated({"toy", 2});
  record.runner = {"eager", "these ops run at once and record nothing"};
  record.settings["precision"] = "fast";
  record.scores[0].adjustments = {{"truncated", false, 0.5, ""}};
  record.metrics = {{"ttft_s", "s", false, 0, summarize({1, 2, 3})}};
  record.energy = {
      {"", "decode", std::nullopt, 0, 0, std::nullopt, "nvml: no NVIDIA driver here (libnvidia-ml.so)"}};
  const std::string page = report_html(record, "", Lang::kZh);
  for (const char* word : {"评分依据：评分规则", "被截断", "逐个算子执行（eager）", "这些算子立即执行",
                           "快速（fast）", "采样温度", "首词元延迟（TTFT）", "本机没有 NVIDIA 驱动"}) {
    EXPECT_THAT(page, HasSubstr(word));
  }
  for (const char* name : {">truncated<", "ttft_s", ">temperature<", "record nothing"}) {
    EXPECT_THAT(page, Not(HasSubstr(name)));
  }
  EXPECT_THAT(report_html(record, "", Lang::kEn), HasSubstr("Evidence of the score: rubric"));
}

}  // namespace
}  // namespace chaski
