// That a bench measures what its plan asks for, on one model and on several by turns.
#include "lab/bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "backend/cpu/cpu_backend.h"
#include "format/synthetic.h"
#include "lab/bench_metrics.h"
#include "lab/bench_prompts.h"
#include "support/error_of.h"
#include "support/load_tokenizer.h"

namespace chaski {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Bench : public testing::Test {
 protected:
  BenchSubject subject() {
    if (model_.layers.empty()) model_ = load_llama(*checkpoint_, device_->ops(), 512);
    return {*device_, device_->ops(), model_, tokenizer_};
  }
  BenchRun run(const BenchPlan& plan) {
    const BenchSubject one = subject();
    std::vector<BenchRun> runs;
    BenchHooks hooks;
    hooks.on_progress = [this](int64_t done, int64_t total) { heard_.emplace_back(done, total); };
    run_bench({&one, 1}, plan, cancel_, hooks, runs);
    if (runs[0].failure) std::rethrow_exception(runs[0].failure);
    return runs[0];
  }
  static std::vector<std::string> kinds(const BenchRun& run) {
    std::vector<std::string> all;
    for (const TestSamples& test : run.tests)
      all.push_back(std::string(name_of(test.test.kind)) + test.test.at);
    return all;
  }

  std::shared_ptr<const Checkpoint> checkpoint_ = open_synthetic("tiny");
  Tokenizer tokenizer_ = tests::load_tokenizer(*checkpoint_);
  std::unique_ptr<Device> device_ = CpuBackend().open(0, {});
  LlamaModel model_;
  CancelToken cancel_;
  std::vector<std::pair<int64_t, int64_t>> heard_;
};

BenchPlan plan_of(std::vector<int64_t> n_prompt, std::vector<int64_t> n_gen,
                  std::vector<int64_t> depth = {0}) {
  BenchPlan plan;
  plan.n_prompt = std::move(n_prompt);
  plan.n_gen = std::move(n_gen);
  plan.depth = std::move(depth);
  plan.n_repeats = 1;
  return plan;
}

/// The basis of a bench of the checkpoint on a device, with peaks of made-up rates.
BenchBasis basis_on(const Checkpoint& checkpoint, Device& device) {
  const LlamaModel model = load_llama(checkpoint, device.ops(), 64);
  const Tokenizer tokenizer = tests::load_tokenizer(checkpoint);
  const PeakRates rates{{"read", "p", 1, "GB/s", {10}},
                        {{"fma_f32", "p", 1, "GOP/s", {100}},
                         {"int16_madd", "p", 1, "GOP/s", {200}},
                         {"int8", "p", 1, "GOP/s", {300}},
                         {"int8_deferred", "q", 1, "GOP/s", {400}}}};
  return bench_basis({device, device.ops(), model, tokenizer}, rates);
}

TEST(BenchBasis, TheArithmeticIsThatOfThePrecisionAndTheHeldWeights) {
  const auto blocks = open_synthetic("tiny@q8_0"), numbers = open_synthetic("tiny@f32");
  DeviceOptions options;
  options.isa = "scalar";  // which rounds numbers to a wide form where it may
  options.precision = Precision::kExact;
  EXPECT_EQ(basis_on(*blocks, *CpuBackend().open(0, options)).peaks->gop_what, "fma_f32");
  EXPECT_EQ(basis_on(*numbers, *CpuBackend().open(0, options)).peaks->gop_what, "fma_f32");
  options.precision = Precision::kFast;
  const BenchBasis fast = basis_on(*blocks, *CpuBackend().open(0, options));
  EXPECT_EQ(fast.peaks->gop_what, "int8_deferred") << "the best of the forms for int8";
  EXPECT_EQ(fast.peaks->gop_path, "q");
  EXPECT_EQ(basis_on(*numbers, *CpuBackend().open(0, options)).peaks->gop_what, "int16_madd");
}

TEST(BenchBasis, ADecodeStepReadsEveryMatrixAsItIsHeldAndOneRowOfTheTable) {
  const auto checkpoint = open_synthetic("tiny@f32");
  DeviceOptions options;
  options.isa = "scalar";
  options.precision = Precision::kExact;  // as it is stored
  const auto device = CpuBackend().open(0, options);
  const BenchBasis basis = basis_on(*checkpoint, *device);
  const ModelConfig& c = checkpoint->config();
  const int64_t table = int64_t{c.vocab} * c.hidden;
  const int64_t numbers = c.n_parameters() - (c.tie_embeddings ? 0 : table) + c.hidden;
  EXPECT_EQ(basis.weight_bytes_per_token, 4 * numbers);
}

TEST_F(Bench, EveryTestHasAsManySamplesAsAskedFor) {
  BenchPlan plan = plan_of({20}, {5}, {3});
  plan.n_repeats = 2;
  plan.sequences = {3, 8};
  plan.speculates = true;
  const BenchRun figures = run(plan);
  EXPECT_THAT(kinds(figures), ElementsAre("prefill", "decode", "request", "speculative",
                                          "decode[n=5,d=3,b=3]", "decode[n=5,d=3,b=8]"));
  for (const TestSamples& test : figures.tests) {
    ASSERT_EQ(test.samples.size(), 2u) << name_of(test.test.kind);
    for (const BenchSample& sample : test.samples) EXPECT_GT(sample.tokens_per_s(), 0);
  }
  EXPECT_EQ(heard_.back(), std::pair(int64_t{12}, int64_t{12}));
}

TEST_F(Bench, LengthsAndDepthsAreListsAndTheFirstOfAKindHasTheBareName) {
  const std::vector<BenchTest> tests = plan_of({8, 16}, {2}, {0, 32}).tests();
  std::vector<std::string> names;
  for (const BenchTest& test : tests) names.push_back(std::string(name_of(test.kind)) + test.at);
  EXPECT_THAT(names, ElementsAre("prefill", "prefill[p=16,d=0]", "decode", "prefill[p=8,d=32]",
                                 "prefill[p=16,d=32]", "decode[n=2,d=32]", "request"));
}

TEST_F(Bench, ARequestHasAFirstTokenAndAGapBeforeEachOther) {
  const BenchRun figures = run(plan_of({12}, {5}));
  const BenchSample& request = figures.tests[2].samples[0];
  ASSERT_TRUE(request.ttft_s);
  EXPECT_EQ(request.n_tokens, 5);
  ASSERT_EQ(request.itl_s.size(), 4u);
  double sum = *request.ttft_s;
  for (const double gap : request.itl_s) sum += gap;
  EXPECT_LE(sum, request.seconds);
  EXPECT_NEAR(sum, request.seconds, 0.01);
}

TEST_F(Bench, ADecodeHasAGapForEachOfItsTokens) {
  const BenchRun figures = run(plan_of({}, {6}, {10}));
  EXPECT_EQ(figures.tests[0].samples[0].itl_s.size(), 6u);
}

// A step takes up to 256 tokens of a prompt, and the depth ends inside one.
TEST_F(Bench, APrefillAfterADepthCountsTheWholeStepInWhichTheDepthEnds) {
  const BenchRun figures = run(plan_of({64}, {}, {0, 256, 300}));
  EXPECT_EQ(figures.tests[0].samples[0].n_tokens, 64);
  EXPECT_TRUE(figures.tests[0].samples[0].ttft_s);
  EXPECT_EQ(figures.tests[1].samples[0].n_tokens, 64);
  EXPECT_FALSE(figures.tests[1].samples[0].ttft_s);
  EXPECT_EQ(figures.tests[2].samples[0].n_tokens, 300 - 256 + 64);
}

TEST_F(Bench, SeveralModelsAreMeasuredByTurnsAndTheOrderTurnsAbout) {
  const BenchSubject one = subject();
  const std::vector<BenchSubject> both{one, one};
  BenchPlan plan = plan_of({4}, {});
  plan.n_repeats = 3;
  std::string order;
  BenchHooks hooks;
  hooks.on_begin = [&](size_t i, const BenchTest&, bool is_warmup) {
    order += is_warmup ? "" : std::to_string(i);
  };
  std::vector<BenchRun> runs;
  run_bench(both, plan, cancel_, hooks, runs);
  EXPECT_EQ(order, "011001");
  EXPECT_EQ(runs[1].tests[0].samples.size(), 3u);
}

TEST_F(Bench, WhatIsTimedBeginsAndEndsOnceForEachSample) {
  std::vector<std::string> heard;
  BenchHooks hooks;
  hooks.on_begin = [&](size_t, const BenchTest& test, bool is_warmup) {
    heard.push_back(fmt::format("{}{}", name_of(test.kind), is_warmup ? " warm" : ""));
  };
  hooks.on_end = [&](size_t, const BenchTest&, const BenchSample& sample, bool) {
    heard.push_back(std::to_string(sample.n_tokens));
  };
  const BenchSubject one = subject();
  std::vector<BenchRun> runs;
  run_bench({&one, 1}, plan_of({7}, {2}), cancel_, hooks, runs);
  EXPECT_THAT(heard, ElementsAre("prefill warm", "7", "prefill", "7", "decode warm", "2", "decode", "2",
                                 "request warm", "2", "request", "2"));
}

// Each decoding sequence takes a row of the steps that the others' prompts need.
TEST_F(Bench, ManySequencesAtADepthAllGetTheirTokens) {
  BenchPlan plan = plan_of({0}, {3}, {60});
  plan.sequences = {40};
  EXPECT_EQ(run(plan).tests[1].samples.size(), 1u);
  plan.depth = {512};
  plan.sequences = {200};
  EXPECT_GE(plan.context(), 512 + 770 + 3);  // 200 prompts of 512 through rows that shrink from 256 to 57
}

TEST_F(Bench, ADecodeNeedsNoMoreContextThanItsTokens) {
  const BenchPlan plan = plan_of({0}, {12}, {499});
  EXPECT_EQ(plan.context(), 512);
  EXPECT_EQ(run(plan).tests[0].samples.size(), 1u);
}

TEST_F(Bench, SpeculationIsMeasuredOnProse) {
  const std::vector<int32_t> prose = prose_prompt(tokenizer_);
  EXPECT_THAT(tokenizer_.decode(prose, false), HasSubstr("The ferry left"));
  BenchPlan plan = plan_of({0}, {400});
  plan.speculates = true;
  EXPECT_THAT(kinds(run(plan)), ElementsAre("decode", "speculative"));
}

TEST_F(Bench, WhatIsNotAskedForIsNotMeasured) {
  EXPECT_THAT(kinds(run(plan_of({0}, {2}))), ElementsAre("decode"));
  EXPECT_EQ(heard_.size(), 1u);
  BenchPlan plan = plan_of({4}, {0});
  plan.sequences = {2};
  EXPECT_THAT(kinds(run(plan)), ElementsAre("prefill"));
}

TEST_F(Bench, AContextTooShortIsSaidWithBothNumbers) {
  EXPECT_THAT(test::error_of([&] { run(plan_of({1000}, {128})); }).what(),
              HasSubstr("1000 prompt tokens (-p), 128 generated (-n) and a depth of 0 (-d) need a context of "
                        "1128, the model has 512"));
}

TEST_F(Bench, ACancelledBenchEndsAtOnceAndKeepsWhatItHas) {
  BenchPlan plan = plan_of({8}, {2});
  const BenchSubject one = subject();
  BenchHooks hooks;
  hooks.on_progress = [&](int64_t done, int64_t) {
    if (done == 1) cancel_.cancel();
  };
  std::vector<BenchRun> runs;
  EXPECT_THAT(test::error_of([&] {
                run_bench({&one, 1}, plan, cancel_, hooks, runs);
              }).what(),
              HasSubstr("stopped"));
  EXPECT_EQ(runs[0].tests[0].samples.size(), 1u);
}

TEST_F(Bench, APlanThatAsksForNothingIsRefused) {
  EXPECT_THAT(test::error_of([&] { plan_of({0}, {0}).validate(); }).what(), HasSubstr("nothing to measure"));
  BenchPlan plan;
  plan.sequences = {0};
  EXPECT_THAT(test::error_of([&] { plan.validate(); }).what(), HasSubstr("sequences at once"));
  EXPECT_THAT(test::error_of([&] { plan_of({8, 8}, {1}).validate(); }).what(), HasSubstr("8 is there twice"));
}

TEST_F(Bench, PromptsAreOrdinaryTokensAndAlwaysTheSame) {
  const std::vector<int32_t> prompt = bench_prompt(tokenizer_, 200, 0);
  EXPECT_EQ(prompt, bench_prompt(tokenizer_, 200, 0));
  EXPECT_NE(prompt, bench_prompt(tokenizer_, 200, 1));
  for (const int32_t id : prompt) EXPECT_FALSE(tokenizer_.is_special(id)) << id;
}

TEST_F(Bench, CharactersOfATokenAreCountedInCharactersNotBytes) {
  const double english = chars_per_token(tokenizer_, Lang::kEn),
               chinese = chars_per_token(tokenizer_, Lang::kZh);
  EXPECT_GT(english, 0.9);
  EXPECT_GT(chinese, 0.2);
  EXPECT_LE(chinese, 3);
}

}  // namespace
}  // namespace chaski
