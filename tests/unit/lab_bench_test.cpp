// What the bench says, and that it measures what its plan asks for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "backend/cpu/cpu_backend.h"
#include "format/synthetic.h"
#include "lab/bench.h"
#include "lab/bench_report.h"
#include "support/error_of.h"
#include "support/load_tokenizer.h"

namespace chaski {
namespace {

using testing::HasSubstr;
using testing::Not;

std::vector<double> one_to(int n) {
  std::vector<double> values;
  for (int i = n; i > 0; --i) values.push_back(i);
  return values;
}

TEST(BenchReport, FewerThanSixSamplesHaveNoIntervalInJson) {
  EXPECT_TRUE(to_json(summarize(one_to(5)))["ci95"].is_null());
  EXPECT_FALSE(to_json(summarize(one_to(6)))["ci95"].is_null());
}

class Bench : public testing::Test {
 protected:
  BenchFigures run(const BenchPlan& plan) {
    model_ = load_llama(*checkpoint_, device_->ops(), 512);
    return run_bench({*device_, device_->ops(), model_, tokenizer_}, plan, cancel_,
                     [this](int64_t done, int64_t total) { heard_.emplace_back(done, total); });
  }

  std::shared_ptr<const Checkpoint> checkpoint_ = open_synthetic("tiny");
  Tokenizer tokenizer_ = tests::load_tokenizer(*checkpoint_);
  std::unique_ptr<Device> device_ = CpuBackend().open(0, {});
  LlamaModel model_;
  CancelToken cancel_;
  std::vector<std::pair<int64_t, int64_t>> heard_;
};

TEST_F(Bench, EveryMetricHasAsManySamplesAsAskedFor) {
  BenchPlan plan;
  plan.n_prompt = 20;
  plan.n_gen = 5;
  plan.depth = 3;
  plan.n_repeats = 2;
  plan.sequences = {3, 8};
  plan.speculates = true;
  const BenchFigures figures = run(plan);
  EXPECT_EQ(figures.prefill_tokens_per_s->samples.size(), 2u);
  EXPECT_EQ(figures.decode_tokens_per_s->samples.size(), 2u);
  EXPECT_EQ(figures.speculative_decode_tokens_per_s->samples.size(), 2u);
  ASSERT_EQ(figures.batched.size(), 2u);
  EXPECT_EQ(figures.batched[1].n_sequences, 8);
  EXPECT_EQ(figures.batched[1].tokens_per_s.samples.size(), 2u);
  EXPECT_GT(figures.batched[1].tokens_per_s.range.low, 0);
  EXPECT_EQ(heard_.back(), std::pair(int64_t{10}, int64_t{10}));
}

// Each decoding sequence takes a row of the steps that the others' prompts need.
TEST_F(Bench, ManySequencesAtADepthAllGetTheirTokens) {
  BenchPlan plan;
  plan.n_prompt = 0;
  plan.n_gen = 3;
  plan.depth = 60;
  plan.n_repeats = 1;
  plan.sequences = {40};
  EXPECT_EQ(run(plan).batched[0].tokens_per_s.samples.size(), 1u);
  plan.depth = 512;
  plan.sequences = {200};
  EXPECT_GE(plan.context(), 512 + 770 + 3);  // 200 prompts of 512 through rows that shrink from 256 to 57
}

TEST_F(Bench, ADecodeNeedsNoMoreContextThanItsTokens) {
  BenchPlan plan;
  plan.n_prompt = 0;
  plan.n_repeats = 1;
  plan.n_gen = 12;
  plan.depth = 499;
  EXPECT_EQ(plan.context(), 512);
  EXPECT_EQ(run(plan).decode_tokens_per_s->samples.size(), 1u);
}

TEST_F(Bench, SpeculationIsMeasuredOnProse) {
  const std::vector<int32_t> prose = speculation_prompt(tokenizer_);
  EXPECT_THAT(tokenizer_.decode(prose, false), HasSubstr("The ferry left"));
  BenchPlan plan;
  plan.n_gen = 400;
  plan.n_prompt = 0;
  plan.n_repeats = 1;
  plan.speculates = true;
  EXPECT_TRUE(run(plan).speculative_decode_tokens_per_s);
}

TEST_F(Bench, WhatIsNotAskedForIsNotMeasured) {
  BenchPlan plan;
  plan.n_prompt = 0;
  plan.n_gen = 2;
  plan.n_repeats = 1;
  const BenchFigures figures = run(plan);
  EXPECT_FALSE(figures.prefill_tokens_per_s);
  EXPECT_EQ(heard_.size(), 1u);
  plan = {};
  plan.n_prompt = 4;
  plan.n_gen = 0;
  plan.sequences = {2};
  EXPECT_TRUE(run(plan).batched.empty());
}

TEST_F(Bench, AContextTooShortIsSaidWithBothNumbers) {
  BenchPlan plan;
  plan.n_prompt = 1000;
  EXPECT_THAT(test::error_of([&] { run(plan); }).what(),
              HasSubstr("1000 prompt tokens (-p), 128 generated (-n) and a depth of 0 (-d) need a context of "
                        "1001, the model has 512"));
}

TEST_F(Bench, ACancelledBenchEndsAtOnce) {
  cancel_.cancel();
  BenchPlan plan;
  plan.n_prompt = 8;
  EXPECT_THAT(test::error_of([&] { run(plan); }).what(), HasSubstr("stopped"));
}

TEST_F(Bench, APlanThatAsksForNothingIsRefused) {
  BenchPlan plan;
  plan.n_prompt = plan.n_gen = 0;
  EXPECT_THAT(test::error_of([&] { plan.validate(); }).what(), HasSubstr("nothing to measure"));
  plan = {};
  plan.sequences = {0};
  EXPECT_THAT(test::error_of([&] { plan.validate(); }).what(), HasSubstr("sequences at once"));
}

TEST_F(Bench, PromptsAreOrdinaryTokensAndAlwaysTheSame) {
  const std::vector<int32_t> prompt = bench_prompt(tokenizer_, 200, 0);
  EXPECT_EQ(prompt, bench_prompt(tokenizer_, 200, 0));
  EXPECT_NE(prompt, bench_prompt(tokenizer_, 200, 1));
  for (const int32_t id : prompt) EXPECT_FALSE(tokenizer_.is_special(id)) << id;
}

TEST(BenchReport, RandomWeightsAreLabelledInEveryTable) {
  BenchRecord record;
  record.model = "synthetic:tiny";
  record.is_synthetic = true;
  record.figures.decode_tokens_per_s = summarize({10, 12});
  EXPECT_THAT(bench_table({record}, BenchFormat::kTable, Lang::kEn), HasSubstr("random weights"));
  EXPECT_THAT(bench_table({record}, BenchFormat::kMarkdown, Lang::kZh), HasSubstr("随机权重"));
  EXPECT_THAT(bench_table({record}, BenchFormat::kCsv, Lang::kEn), HasSubstr("\"synthetic:tiny\",true"));
  EXPECT_TRUE(to_json(record)["is_synthetic"].get<bool>());
  record.is_synthetic = false;
  EXPECT_THAT(bench_table({record}, BenchFormat::kTable, Lang::kEn), Not(HasSubstr("random")));
}

TEST(BenchReport, ACacheOfAnotherTypeIsSaid) {
  BenchRecord record;
  record.precision = "fast";
  record.kv_dtype = "bf16";
  record.figures.decode_tokens_per_s = summarize({10});
  EXPECT_THAT(bench_table({record}, BenchFormat::kTable, Lang::kEn), Not(HasSubstr("cache")));
  record.kv_dtype = "q8_0";
  EXPECT_THAT(bench_table({record}, BenchFormat::kMarkdown, Lang::kEn), HasSubstr("| fast, q8_0 cache |"));
}

TEST(BenchReport, MarkdownEscapesNamesAndNotItsOwnWords) {
  BenchRecord record;
  record.model = "a_b";
  record.is_synthetic = true;
  record.figures.speculative_decode_tokens_per_s = summarize({10});
  const std::string markdown = bench_table({record}, BenchFormat::kMarkdown, Lang::kEn);
  EXPECT_THAT(markdown, HasSubstr("a\\_b (random weights)"));
  EXPECT_THAT(markdown, HasSubstr(", n-gram speculation"));
}

TEST(BenchReport, ANameWithMarkupCannotBreakATable) {
  BenchRecord record;
  record.model = "a|b\n\"c\"\x1b[2J";
  record.figures.decode_tokens_per_s = summarize({10});
  const std::string markdown = bench_table({record}, BenchFormat::kMarkdown, Lang::kEn);
  EXPECT_EQ(std::count(markdown.begin(), markdown.end(), '\n'), 3);
  EXPECT_THAT(bench_table({record}, BenchFormat::kTable, Lang::kEn), Not(HasSubstr("\x1b")));
  EXPECT_THAT(bench_table({record}, BenchFormat::kCsv, Lang::kEn), HasSubstr("\"\"c\"\""));
}

}  // namespace
}  // namespace chaski
