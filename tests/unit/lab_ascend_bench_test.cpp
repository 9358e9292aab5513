// A bench that runs nowhere: its records, and the mark that every form of them bears. Whether a model fits an
// NPU.
#include "lab/ascend_bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "format/synthetic.h"
#include "lab/ascend_fit.h"
#include "lab/bench_metrics.h"
#include "lab/bench_report.h"
#include "report/comparability.h"
#include "report/report_html.h"
#include "support/error_of.h"

namespace chaski {
namespace {

using testing::HasSubstr;
using testing::Not;

std::vector<RunRecord> bench_of(const std::string& shape, const BenchPlan& plan = {},
                                std::string_view card = "910b3") {
  return modelled_bench("synthetic:" + shape, *open_synthetic(shape), *find_ascend_card(card), plan);
}

double median(const RunRecord& record, std::string_view name) {
  const NamedMetric* metric = find_metric(record, name);
  EXPECT_NE(metric, nullptr) << name;
  return metric == nullptr ? 0 : metric->metric.median;
}

TEST(ModelledBench, CapturedAndEagerEachHaveARecordWithTheFiguresOfTheModel) {
  const std::vector<RunRecord> records = bench_of("llama-3.2-1b");
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].runner.name, "captured");
  EXPECT_EQ(records[1].runner.name, "eager");
  for (const RunRecord& record : records) {
    EXPECT_EQ(record.device.device_kind, "modelled");
    EXPECT_EQ(record.device.name, "Ascend 910B3");
    EXPECT_EQ(record.kind, "bench");
    EXPECT_NEAR(static_cast<double>(record.device.weight_bytes), 2.4716e9, 0.001e9);
    EXPECT_EQ(record.summary.load_s, 0);  // nothing was loaded
    const RunRecord read = run_record_of(to_json(record), "test");
    EXPECT_EQ(to_json(read), to_json(record));
  }
  const NamedMetric* captured = find_metric(records[0], "decode_tokens_per_s");
  const NamedMetric* eager = find_metric(records[1], "decode_tokens_per_s");
  EXPECT_EQ(captured->metric.samples.size(), 1u);
  EXPECT_EQ(eager->metric.samples.size(), 2u);  // the cheapest launch and the dearest
  EXPECT_GT(captured->metric.median, eager->metric.range.high);
  EXPECT_NEAR(1e3 * median(records[0], "tpot_s"), 2.9, 0.15);
  // A prompt is never captured.
  EXPECT_EQ(median(records[0], "prefill_tokens_per_s"), median(records[1], "prefill_tokens_per_s"));
  // The ops of a step are the step: what its time is made of.
  double decode_s = 0;
  for (const OpRecord& op : records[0].ops) decode_s += op.phase == "decode" ? op.seconds : 0;
  EXPECT_NEAR(decode_s, median(records[0], "tpot_s"), 1e-9);
}

TEST(ModelledBench, BatchesAndDepthsAreModelledToo) {
  BenchPlan plan;
  plan.sequences = {8};
  plan.depth = {0, 4096};
  const RunRecord record = bench_of("llama-3.2-1b", plan)[0];
  const double one = median(record, "decode_tokens_per_s"),
               eight = median(record, "decode_tokens_per_s[n=128,d=0,b=8]");
  EXPECT_GT(eight, 6 * one);  // the weights are read once for all
  EXPECT_LT(median(record, "decode_tokens_per_s[n=128,d=4096]"), one);
}

TEST(ModelledBench, EveryFormBearsTheMarkAndTheErrorInBothLanguages) {
  const std::vector<RunRecord> records = bench_of("llama-3.2-3b");
  for (const BenchFormat format : {BenchFormat::kTable, BenchFormat::kMarkdown}) {
    const std::string en = bench_table(records, format, Lang::kEn),
                      zh = bench_table(records, format, Lang::kZh);
    EXPECT_THAT(en, HasSubstr("(modelled)"));
    EXPECT_THAT(en, HasSubstr("published figures of captured decoding it was off by"));
    EXPECT_THAT(en, HasSubstr("published figures of eager decoding it was off by"));
    EXPECT_THAT(en, Not(HasSubstr("random weights")));
    EXPECT_THAT(zh, HasSubstr("模型推算"));
    EXPECT_THAT(zh, HasSubstr("误差：与 7 项公开的图捕获解码实测值相比"));
  }
  EXPECT_THAT(bench_csv(records), HasSubstr("(modelled)"));
  EXPECT_THAT(bench_jsonl(records[0]), HasSubstr(R"("device_kind":"modelled")"));
  EXPECT_EQ(bench_json(records[0])["device_kind"], "modelled");
  EXPECT_EQ(bench_json(records[0])["warnings"][0]["code"], "modelled");
  EXPECT_THAT(report_html(records[0], "", Lang::kEn), HasSubstr("modelled, not measured"));
  EXPECT_THAT(report_html(records[0], "", Lang::kZh), HasSubstr("模型推算"));
}

TEST(ModelledBench, ItsTimesAreNotComparedWithMeasuredOnes) {
  RunRecord measured = bench_of("llama-3.2-1b")[0];
  const RunRecord modelled = measured;
  measured.device.device_kind = "ascend";
  measured.warnings.clear();
  EXPECT_EQ(metric_obstacle(measured, modelled, "decode_tokens_per_s"), Obstacle::kNotMeasured);
  EXPECT_EQ(metric_obstacle(measured, measured, "decode_tokens_per_s"), Obstacle::kNone);
  RunRecord emulated = measured;
  emulated.device.device_kind = "emulated";
  EXPECT_EQ(time_obstacle(measured, emulated), Obstacle::kNotMeasured);
}

TEST(ModelledBench, WhatCannotBeModelledIsRefused) {
  BenchPlan speculates;
  speculates.speculates = true;
  EXPECT_EQ(test::error_of([&] { bench_of("tiny", speculates); }).code(), ErrorCode::kUsage);
  BenchPlan deep;
  deep.depth = {100'000};
  deep.sequences = {64};
  EXPECT_EQ(test::error_of([&] { bench_of("llama-3.2-3b", deep, "910b4"); }).code(), ErrorCode::kOutOfMemory);
  BenchPlan too_long;
  too_long.n_prompt = {1'000'000};
  EXPECT_EQ(test::error_of([&] { bench_of("tiny", too_long); }).code(), ErrorCode::kUsage);
}

TEST(NpuFit, AModelsMemoryAndModelledSpeedAreSaidForTheChipThatTheDriverNames) {
  const auto model = open_synthetic("llama-3.2-3b");
  Findings found;
  check_npu_model(*model, {"m", 4096, "910B3", int64_t{60} << 30}, found);
  EXPECT_EQ(found.find("model.fit")->status, FindingStatus::kOk);
  EXPECT_THAT(found.find("model.speed")->what.en, HasSubstr("modelled, not measured"));
  EXPECT_THAT(found.find("model.speed")->what.zh, HasSubstr("模型推算"));
  EXPECT_EQ(found.find("model.speed")->facts.at("device_kind"), "modelled");
  Findings small;
  check_npu_model(*model, {"m", 4096, "910B4", int64_t{5} << 30}, small);
  EXPECT_TRUE(small.has_failed("model.fit"));
  EXPECT_FALSE(small.find("model.fit")->fix.empty());
  Findings unknown;
  check_npu_model(*model, {"m", 4096, "", std::nullopt}, unknown);
  for (const char* id : {"model.fit", "model.speed"})
    EXPECT_EQ(unknown.find(id)->status, FindingStatus::kNotApplicable) << id;
}

}  // namespace
}  // namespace chaski
