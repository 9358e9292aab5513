// Claims of a comparison: what simulated runs support, what they do not, and that the order of runs is of no
// account.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/files.h"
#include "report/compare_html.h"
#include "report/compare_markdown.h"
#include "report/comparison.h"
#include "report/eval_report.h"
#include "report/report_html.h"
#include "report/run_tables.h"
#include "report_fixture.h"

namespace chaski {
namespace {

using testing::HasSubstr;
using testing::Not;
using tests::simulated;
using tests::simulated_bench;

Claim claim_about(const Comparison& comparison, std::string_view topic, std::string_view type = "") {
  for (const Claim& claim : comparison.claims) {
    if (claim.topic == topic && claim.type == type) return claim;
  }
  ADD_FAILURE() << "no claim about " << topic;
  return {};
}

TEST(Claims, ALargeDifferenceOverTwentyQuestionsIsSupported) {
  const RunRecord a = simulated({"a", 20, 10, 20, 0.1, 1});
  const RunRecord b = simulated({"b", 20, 5, 10, 1.0, 2});
  const Comparison comparison = compare(a, b);
  for (const char* topic : {"faster_per_question", "faster_per_token", "scores_higher"}) {
    const Claim claim = claim_about(comparison, topic);
    EXPECT_EQ(claim.verdict, Verdict::kSupported) << topic;
    EXPECT_EQ(claim.n, 20) << topic;
    ASSERT_TRUE(claim.ci95) << topic;
    EXPECT_TRUE(claim.ci95->low > 0 || claim.ci95->high < 0) << topic;
    EXPECT_LT(*claim.p_holm, 0.05) << topic;
    EXPECT_GE(*claim.p_holm, *claim.p) << topic;
  }
  EXPECT_NEAR(claim_about(comparison, "faster_per_question").difference, -5, 0.5);
  EXPECT_THAT(verdict_summary(comparison, Lang::kEn), HasSubstr("B is faster per token"));
  EXPECT_THAT(verdict_summary(comparison, Lang::kZh), HasSubstr("B 每词元用时更短"));
}

TEST(Claims, TheSameDifferenceOverFiveQuestionsIsUndecided) {
  const RunRecord a = simulated({"a", 5, 10, 20, 0, 1});
  const RunRecord b = simulated({"b", 5, 5, 10, 1, 2});
  const Comparison comparison = compare(a, b);
  for (const char* topic : {"faster_per_question", "faster_per_token", "scores_higher"}) {
    const Claim claim = claim_about(comparison, topic);
    EXPECT_EQ(claim.verdict, Verdict::kUndecided) << topic;
    EXPECT_EQ(claim.ground, Ground::kTooFew) << topic;
    EXPECT_THAT(claim_finding(claim, Lang::kEn), HasSubstr("no result could be told from chance"));
  }
}

TEST(Claims, AFalseClaimIsNearlyNeverSupportedAtAnySize) {
  int n_supported = 0;
  for (const size_t n : {size_t{5}, size_t{12}}) {
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      const RunRecord a = simulated({"a", n, 10, 20, 0.5, seed});
      const RunRecord b = simulated({"b", n, 10, 20, 0.5, seed + 1000});
      for (const Claim& claim : compare(a, b).claims) {
        if (!claim.p) continue;
        const bool is_decided = claim.verdict == Verdict::kSupported || claim.ground == Ground::kOpposite;
        if (n == 5) {
          EXPECT_EQ(claim.verdict, Verdict::kUndecided) << claim.topic << " seed " << seed;
        }
        n_supported += is_decided ? 1 : 0;
      }
    }
  }
  EXPECT_LE(n_supported, 3);  // 20 comparisons at 5 % for each of them as a whole
}

TEST(Claims, WhatIsFasterTheOtherWayRoundIsNotSupportedAndSaysSo) {
  const RunRecord a = simulated({"a", 20, 5, 10, 1.0, 1});
  const RunRecord b = simulated({"b", 20, 10, 20, 0.1, 2});
  const Claim claim = claim_about(compare(a, b), "faster_per_token");
  EXPECT_EQ(claim.verdict, Verdict::kNotSupported);
  EXPECT_EQ(claim.ground, Ground::kOpposite);
  EXPECT_THAT(claim_finding(claim, Lang::kEn), HasSubstr("A is faster per token"));
  EXPECT_THAT(claim_finding(claim, Lang::kZh), HasSubstr("A 每词元用时更短"));
}

TEST(Claims, RunsThatHardlyDifferAreToldFromUndecidedOnes) {
  const RunRecord a = simulated({"a", 100, 10, 20, 1, 1});
  const RunRecord b = simulated({"b", 100, 10, 20, 1, 2});
  const Comparison comparison = compare(a, b);
  for (const char* topic : {"faster_per_question", "faster_per_token", "less_memory"}) {
    const Claim claim = claim_about(comparison, topic);
    EXPECT_EQ(claim.verdict, Verdict::kNotSupported) << topic;
    EXPECT_EQ(claim.ground, Ground::kEquivalent) << topic;
  }
}

/// Scores that are equal question by question: so many leave 1 − 0.05^(1/n) of others possible, and a
/// question may differ by four points, or by one right answer.
TEST(Claims, ScoresThatNeverDifferRuleLargerDifferencesOutOnlyInLargeNumbers) {
  for (const auto& [n, ground] : {std::pair{size_t{6}, Ground::kUnvaried},
                                  {size_t{20}, Ground::kUnvaried},
                                  {size_t{40}, Ground::kUnvaried},  // 0.072 × 4 points > 0.25
                                  {size_t{60}, Ground::kEquivalent}}) {
    const RunRecord a = simulated({"a", n, 10, 20, 1, 1});
    const RunRecord b = simulated({"b", n, 10, 20, 1, 2});
    const Claim claim = claim_about(compare(a, b), "scores_higher");
    ASSERT_TRUE(claim.ci95);
    EXPECT_EQ(claim.ci95->low, claim.ci95->high);
    EXPECT_EQ(claim.ground, ground) << n;
    EXPECT_EQ(claim.verdict == Verdict::kUndecided, ground == Ground::kUnvaried) << n;
    if (ground == Ground::kUnvaried) {
      EXPECT_THAT(claim_finding(claim, Lang::kEn), Not(HasSubstr("is ruled out"))) << n;
    }
  }
}

TEST(Claims, TimesThatNeverDifferHaveNoBoundWhateverTheirNumber) {
  const RunRecord a = simulated({"a", 40});
  const Comparison comparison = compare(a, a);
  EXPECT_EQ(claim_about(comparison, "faster_per_question").verdict, Verdict::kUndecided);
  EXPECT_EQ(claim_about(comparison, "faster_per_question").ground, Ground::kUnvaried);
}

TEST(Claims, ACertainButNegligibleDifferenceIsNoAdvantage) {
  const RunRecord a = simulated({"a", 30});
  RunRecord b = a;
  for (size_t i = 0; i < b.items.size(); ++i) {
    b.items[i].seconds *= 0.99 - 0.001 * uniform01(7, 0, i);  // 1 % faster, every time
  }
  const Claim claim = claim_about(compare(a, b), "faster_per_question");
  EXPECT_LT(*claim.p_holm, 0.05);
  EXPECT_LT(claim.ci95->high, 0);
  EXPECT_EQ(claim.verdict, Verdict::kNotSupported);
  EXPECT_EQ(claim.ground, Ground::kEquivalent);
}

TEST(Claims, OneModelMeasuredTwiceIsNotBetterThanItself) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const RunRecord a = simulated({"a", 20, 10, 20, 0.5, seed});
    RunRecord b = a;
    for (size_t i = 0; i < b.items.size(); ++i) {  // the second run of a machine that has warmed up
      b.items[i].seconds *= 0.98 + 0.02 * uniform01(seed, 8, i);
      *b.items[i].tpot_s *= 0.98 + 0.02 * uniform01(seed, 9, i);
    }
    for (const Claim& claim : compare(a, b).claims) {
      if (!claim.p) continue;
      EXPECT_NE(claim.verdict, Verdict::kSupported) << claim.topic << " seed " << seed;
      EXPECT_NE(claim.ground, Ground::kOpposite) << claim.topic << " seed " << seed;
    }
  }
}

TEST(Claims, SoFewThatTheNumberOfClaimsForbidsADecisionAreCalledTooFew) {
  std::vector<Claim> claims(6);
  for (Claim& claim : claims) {
    claim.p = 0.03125;  // the least of six pairs
    claim.ci95 = Interval{1, 2};
    claim.n = claim.n_b = 6;
    claim.test = TestMethod::kPaired;
  }
  judge(claims);
  EXPECT_EQ(claims[0].ground, Ground::kTooFew);
  EXPECT_EQ(least_questions(1), 6);
  EXPECT_EQ(least_questions(6), 8);  // 6 · 2^−7 < 0.05
  const RunRecord run = simulated({"a", 7});
  EXPECT_THAT(comparison_warnings(compare(run, run), Lang::kEn),
              testing::Contains(HasSubstr("With 6 claims tested here, none can below 8")));
}

TEST(Claims, WhatDoesNotCompareIsUndecidedAndSaysWhy) {
  const RunRecord a = simulated({"a", 20, 10, 20, 0.1, 1});
  const auto check = [&](const RunRecord& b, std::initializer_list<const char*> topics, Obstacle obstacle) {
    const Comparison comparison = compare(a, b);
    for (const char* topic : topics) {
      const Claim claim = claim_about(comparison, topic);
      EXPECT_EQ(claim.verdict, Verdict::kUndecided) << topic;
      EXPECT_EQ(claim.ground, Ground::kNotComparable) << topic;
      EXPECT_EQ(claim.obstacle, obstacle) << topic;
      EXPECT_FALSE(claim.p) << topic;
      EXPECT_THAT(claim_finding(claim, Lang::kEn),
                  HasSubstr(std::string(obstacle_text(obstacle, Lang::kEn))));
      EXPECT_THAT(claim_finding(claim, Lang::kZh),
                  HasSubstr(std::string(obstacle_text(obstacle, Lang::kZh))));
    }
  };
  RunRecord b = simulated({"b", 20, 5, 10, 1.0, 2});
  b.settings["batch"] = 1;
  EXPECT_EQ(claim_about(compare(a, b), "faster_per_token").verdict, Verdict::kSupported);
  b.settings["batch"] = 8;
  check(b, {"faster_per_question", "faster_per_token", "starts_sooner", "less_memory"}, Obstacle::kBatch);
  EXPECT_EQ(claim_about(compare(a, b), "scores_higher").verdict, Verdict::kSupported);
  b.settings["batch"] = 1;
  b.settings["context"] = 8192;
  check(b, {"less_memory"}, Obstacle::kContext);
  b.scoring["rubric"] = {{"sha256", "22"}};
  check(b, {"scores_higher"}, Obstacle::kScoring);
  b = simulated_bench("b", 60, 8, 2);
  check(b, {"faster_per_question", "less_memory"}, Obstacle::kKind);
  b = simulated({"b", 20, 5, 10, 1.0, 2});
  for (AnswerRecord& item : b.items) item.prompt += " again";
  b.metrics = {{"ttft_s", "s", false, 0, summarize({1, 2, 3})}};
  check(b, {"faster_per_question", "starts_sooner", "scores_higher"}, Obstacle::kQuestions);
}

TEST(Claims, BenchesOfOtherLengthsOrDepthsDoNotCompare) {
  RunRecord a = simulated_bench("a", 40, 8, 1);
  RunRecord b = simulated_bench("b", 60, 8, 2);
  const auto tests_of_depth = [](int64_t depth) {
    OrderedJson tests = OrderedJson::array();
    tests.push_back({{"kind", "prefill"}, {"n_prompt", 512}, {"depth", depth}, {"at", ""}});
    tests.push_back({{"kind", "decode"}, {"n_gen", 128}, {"depth", depth}, {"at", ""}});
    tests.push_back({{"kind", "decode"}, {"n_gen", 128}, {"depth", 4096}, {"at", "[d=4096]"}});
    return tests;
  };
  a.settings["tests"] = b.settings["tests"] = tests_of_depth(0);
  EXPECT_EQ(claim_about(compare(a, b), "decodes_faster").verdict, Verdict::kSupported);
  b.settings["tests"][0]["n_prompt"] = 64;  // which the metric is not of
  EXPECT_EQ(claim_about(compare(a, b), "decodes_faster").verdict, Verdict::kSupported);
  b.settings["tests"] = tests_of_depth(1024);
  EXPECT_EQ(claim_about(compare(a, b), "decodes_faster").obstacle, Obstacle::kTest);
  b = simulated_bench("b", 60, 8, 2);
  b.settings = {{"n_prompt", 64}, {"n_gen", 128}, {"concurrency", 1}};
  EXPECT_EQ(claim_about(compare(a, b), "decodes_faster").obstacle, Obstacle::kTest);
}

TEST(Claims, TheOrderOfTheRunsDoesNotMatter) {
  for (const double share : {0.5, 0.9}) {
    for (const size_t n : {size_t{5}, size_t{8}, size_t{30}}) {
      const RunRecord a = simulated({"a", n, 10, 21, 0.5, 3});
      const RunRecord b = simulated({"b", n, 9, 20, share, 4});
      const Comparison there = compare(a, b);
      const Comparison back = compare(b, a);
      ASSERT_EQ(there.claims.size(), back.claims.size());
      for (size_t i = 0; i < there.claims.size(); ++i) {
        const Claim& x = there.claims[i];
        const Claim& y = back.claims[i];
        ASSERT_EQ(x.topic, y.topic);
        EXPECT_DOUBLE_EQ(x.difference, -y.difference) << x.topic;
        EXPECT_EQ(x.p, y.p) << x.topic;
        EXPECT_EQ(x.p_holm, y.p_holm) << x.topic;
        ASSERT_EQ(x.ci95.has_value(), y.ci95.has_value()) << x.topic;
        if (x.ci95) {
          EXPECT_DOUBLE_EQ(x.ci95->low, -y.ci95->high) << x.topic;
        }
        EXPECT_EQ(x.verdict == Verdict::kUndecided, y.verdict == Verdict::kUndecided) << x.topic;
        if (x.ground == Ground::kTested) {
          EXPECT_EQ(y.ground, Ground::kOpposite) << x.topic;
        }
        if (x.ground == Ground::kEquivalent) {
          EXPECT_EQ(y.ground, Ground::kEquivalent) << x.topic;
        }
      }
    }
  }
}

TEST(Claims, SeveralSamplesOfAQuestionAreOneQuestion) {
  RunRecord a = simulated({"a", 5, 10, 20, 0, 1});
  RunRecord b = simulated({"b", 5, 5, 10, 1, 2});
  for (RunRecord* record : {&a, &b}) {
    const std::vector<AnswerRecord> items = record->items;
    const std::vector<ScoreRecord> scores = record->scores;
    for (int64_t sample = 1; sample < 8; ++sample) {
      for (AnswerRecord item : items) {
        item.sample = sample;
        record->items.push_back(item);
      }
      for (ScoreRecord score : scores) {
        score.sample = sample;
        record->scores.push_back(score);
      }
    }
  }
  const Comparison comparison = compare(a, b);
  EXPECT_EQ(comparison.pairs.size(), 40u);
  for (const char* topic : {"faster_per_question", "scores_higher"}) {
    EXPECT_EQ(claim_about(comparison, topic).n, 5) << topic;
    EXPECT_EQ(claim_about(comparison, topic).verdict, Verdict::kUndecided) << topic;
  }
}

TEST(Claims, EachClaimShownMakesTheOthersHarderToSupport) {
  std::vector<Claim> claims(3);
  for (Claim& claim : claims) claim.ci95 = Interval{1, 2};
  claims[0].p = 0.02;
  claims[1].p = 0.01;
  claims[2].p = 0.5;
  for (Claim& claim : claims) {
    claim.difference = 1.5;
    claim.is_higher_better = true;
    claim.n = claim.n_b = 30;
    claim.test = TestMethod::kPaired;
  }
  judge(claims);
  EXPECT_DOUBLE_EQ(*claims[1].p_holm, 0.03);
  EXPECT_DOUBLE_EQ(*claims[0].p_holm, 0.04);
  EXPECT_DOUBLE_EQ(*claims[2].p_holm, 0.5);
  EXPECT_EQ(claims[1].verdict, Verdict::kSupported);
  EXPECT_EQ(claims[2].verdict, Verdict::kUndecided);
}

TEST(Claims, AnIntervalThatHoldsZeroKeepsASmallPFromDeciding) {
  std::vector<Claim> claims(1);
  claims[0].p = 0.001;
  claims[0].ci95 = Interval{-0.1, 3};
  claims[0].n = claims[0].n_b = 30;
  claims[0].test = TestMethod::kPaired;
  judge(claims);
  EXPECT_EQ(claims[0].verdict, Verdict::kUndecided);
}

TEST(Claims, BenchesAreComparedBySamplesOfTheMetricsThatBothHave) {
  const RunRecord a = simulated_bench("a", 40, 8, 1);
  const RunRecord b = simulated_bench("b", 60, 8, 2);
  const Claim claim = claim_about(compare(a, b), "decodes_faster");
  EXPECT_EQ(claim.test, TestMethod::kUnpaired);
  EXPECT_EQ(claim.verdict, Verdict::kSupported);
  EXPECT_THAT(claim_test(claim, Lang::kEn), HasSubstr("8 and 8 samples"));
  const RunRecord few = simulated_bench("b", 60, 3, 2);
  EXPECT_EQ(claim_about(compare(a, few), "decodes_faster").verdict, Verdict::kUndecided);
}

TEST(Claims, EnergyFromOneReadingEachOrFromNoneIsUndecided) {
  RunRecord a = simulated({"a", 20});
  RunRecord b = simulated({"b", 20});
  EXPECT_EQ(claim_about(compare(a, b), "less_energy").ground, Ground::kNotMeasured);
  a.energy = {{"rapl package-0", "eval", 100.0, 10, 1000, std::nullopt, ""}};
  b.energy = {{"rapl package-0", "eval", 50.0, 10, 1000, std::nullopt, ""}};
  const Claim claim = claim_about(compare(a, b), "less_energy");
  EXPECT_EQ(claim.ground, Ground::kOneReading);
  EXPECT_EQ(claim.verdict, Verdict::kUndecided);
  EXPECT_DOUBLE_EQ(claim.mean_b, 0.05);
  b.energy[0].phase = "prefill";
  EXPECT_EQ(claim_about(compare(a, b), "less_energy").ground, Ground::kNotMeasured);
  b.energy[0].phase = "decode";
  EXPECT_EQ(claim_about(compare(a, b), "less_energy").obstacle, Obstacle::kPhase);
}

TEST(Claims, EnergyPerTokenHasATestWhereItWasMeasuredSeveralTimes) {
  RunRecord a = simulated_bench("a", 40, 8, 1);
  RunRecord b = simulated_bench("b", 40, 8, 1);
  a.metrics.push_back({"joules_per_token", "J", false, 0, summarize({2, 2.1, 2.2, 2, 2.1, 2.2, 2.05, 2.15})});
  b.metrics.push_back({"joules_per_token", "J", false, 0, summarize({1, 1.1, 1.2, 1, 1.1, 1.2, 1.05, 1.15})});
  const Claim claim = claim_about(compare(a, b), "less_energy");
  EXPECT_EQ(claim.test, TestMethod::kUnpaired);
  EXPECT_EQ(claim.verdict, Verdict::kSupported);
}

TEST(Claims, NoFailureSeenIsSupportedWithTheRateThatItLeavesPossible) {
  const RunRecord a = simulated({"a", 5});
  RunRecord b = simulated({"b", 5});
  const Claim clean = claim_about(compare(a, b), "never_failed");
  EXPECT_EQ(clean.verdict, Verdict::kSupported);
  EXPECT_THAT(claim_finding(clean, Lang::kEn), HasSubstr("45.1 %"));
  b.failures = {{"2", 0, ErrorCode::kDevice, "lost"}};
  EXPECT_EQ(claim_about(compare(a, b), "never_failed").verdict, Verdict::kNotSupported);
}

TEST(Claims, RequestsOfAServersBenchAreAttemptsAndOtherBenchesHaveNone) {
  RunRecord a = simulated_bench("a", 40, 8, 1);
  RunRecord b = simulated_bench("b", 40, 8, 1);
  for (const Claim& claim : compare(a, b).claims) EXPECT_NE(claim.topic, "never_failed");
  a.settings["n_requests"] = 20;
  a.settings["n_failed"] = 0;
  EXPECT_EQ(claim_about(compare(a, b), "never_failed").ground, Ground::kNotMeasured);
  b.settings = a.settings;
  EXPECT_EQ(claim_about(compare(a, b), "never_failed").verdict, Verdict::kSupported);
  EXPECT_EQ(claim_about(compare(a, b), "never_failed").n, 20);
  b.settings["n_failed"] = 3;
  EXPECT_EQ(claim_about(compare(a, b), "never_failed").verdict, Verdict::kNotSupported);
  EXPECT_EQ(claim_about(compare(a, b), "never_failed").mean_b, 3);
}

TEST(Claims, AMemoryClaimIsACount) {
  const RunRecord a = simulated({"a", 5});
  RunRecord b = simulated({"b", 5});
  b.device.weight_bytes = 600'000'000;
  const Claim claim = claim_about(compare(a, b), "less_memory");
  EXPECT_EQ(claim.verdict, Verdict::kNotSupported);
  EXPECT_FALSE(claim.p);
  EXPECT_THAT(claim_finding(claim, Lang::kEn), HasSubstr("A needs less memory"));
}

TEST(Comparison, TwoThingsThatDifferAtOnceAreWarnedOf) {
  const RunRecord a = simulated({"a", 20});
  RunRecord b = simulated({"a", 20});
  EXPECT_THAT(comparison_warnings(compare(a, b), Lang::kEn), testing::IsEmpty());
  b.settings["template"] = "raw:<s>[INST] {prompt} [/INST]";
  EXPECT_THAT(comparison_warnings(compare(a, b), Lang::kEn), testing::IsEmpty());
  b.settings["temperature"] = 0;
  EXPECT_THAT(comparison_warnings(compare(a, b), Lang::kEn),
              testing::Contains(HasSubstr("template and settings")));
  EXPECT_THAT(comparison_warnings(compare(a, b), Lang::kZh), testing::Contains(HasSubstr("2 项同时不同")));
}

TEST(Comparison, RunsOfOneModelAreNamedByWhatTellsThemApart) {
  const RunRecord a = simulated({"dir/toy", 2});
  RunRecord b = simulated({"dir/toy", 2});
  b.settings["template"] = "raw:{prompt}";
  const Comparison comparison = compare(a, b);
  EXPECT_EQ(comparison.a.name, "toy · template model");
  EXPECT_EQ(comparison.b.name, "toy · template raw:{prompt}");
  EXPECT_EQ(compare(a, b, "", "", Lang::kZh).a.name, "toy · 对话模板 模型自带");
}

TEST(Comparison, ALabelHasOnlyThePartsThatTellTheRunsApart) {
  RunRecord a = simulated({"toy", 2});
  RunRecord b = simulated({"toy", 2});
  b.device.path = "avx2";
  EXPECT_EQ(compare(a, b).a.name, "toy · scalar");  // of "Toy CPU, cpu, scalar"
  EXPECT_EQ(compare(a, b).b.name, "toy · avx2");
  b = a;
  b.device.n_threads = 4;
  EXPECT_EQ(compare(a, b).b.name, "toy · threads 4");
  b = a;
  b.model.weights = "q4_0 100%";
  EXPECT_EQ(compare(a, b).a.name, "toy · q8_0 100%");  // both are gguf, of as many bytes
  EXPECT_EQ(compare(a, b).b.name, "toy · q4_0 100%");
  b = a;
  a.model.hash = std::string(64, 'a');
  b.model.hash = std::string(64, 'b');
  EXPECT_EQ(compare(a, b).a.name, "toy · SHA-256 of the weights aaaaaaaaaaaa");
}

TEST(Comparison, TheHashOfATemplateIsOfTheOneThatThePromptsWereMadeBy) {
  RunRecord a = simulated({"toy", 2});
  a.model.template_hash = std::string(64, 'c');
  RunRecord b = a;
  b.settings["template"] = "raw:<s>[INST] {prompt} [/INST]";
  const auto hash_of = [](const RunRecord& record) {
    const RunView view{&record, "", "", ""};
    for (const auto& row : facts_table({&view, 1}, Lang::kEn).rows) {
      if (row[0] == "SHA-256 of the template") return row[1];
    }
    return std::string();
  };
  EXPECT_EQ(hash_of(a), a.model.template_hash);
  EXPECT_EQ(hash_of(b), sha256_of("<s>[INST] {prompt} [/INST]"));
  for (const Difference& difference : differences(compare(a, b), Lang::kEn)) {
    EXPECT_EQ(difference.group, FactGroup::kTemplate) << difference.title;
  }
  EXPECT_EQ(compare(a, b).b.name, "toy · template raw:<s>[INST] {prompt} [/INST]");
}

TEST(Comparison, AnswersThatWereCutAreSaidBeforeAnythingElse) {
  RunRecord a = simulated({"a", 20});
  RunRecord b = simulated({"b", 20});
  b.items[0].finish_reason = "length";
  EXPECT_THAT(comparison_warnings(compare(a, b), Lang::kEn)[0],
              HasSubstr("0 of 20 answers in A and 1 of 20 in B were cut at the token limit"));
  for (RunRecord* record : {&a, &b}) {
    for (AnswerRecord& item : record->items) item.finish_reason = "length";
  }
  const Comparison comparison = compare(a, b);
  EXPECT_THAT(comparison_warnings(comparison, Lang::kEn)[0], HasSubstr("All answers were cut"));
  EXPECT_THAT(comparison_warnings(comparison, Lang::kZh)[0], HasSubstr("所有回答都因达到词元数上限而被截断"));
  const std::string page = compare_html(comparison, Lang::kEn);
  EXPECT_LT(page.find("All answers were cut"), page.find("class=\"claims\""));
  const std::string text = compare_terminal(comparison, Lang::kEn);
  EXPECT_LT(text.find("All answers were cut"), text.find("B is faster per token\n"));
}

TEST(Comparison, ARunWithoutAScoreSaysWhyOnEveryPage) {
  RunRecord run = simulated({"a", 4});
  for (ScoreRecord& score : run.scores) {
    score = {score.id,     0,
             "rubric",     "no_rule",
             std::nullopt, 0,
             std::nullopt, {},
             {},           "the rubric has no rules for the type \"riddle\""};
  }
  const std::string why =
      "None of the 4 answers has a score: the rubric has no rules for the type \"riddle\" (4).";
  EXPECT_EQ(why_unscored(run, Lang::kEn), why);
  EXPECT_EQ(why_unscored(run, Lang::kZh), "4 个回答都没有得分：评分规则中没有类型“riddle”（4 个）。");
  EXPECT_THAT(report_terminal(run, Lang::kEn), HasSubstr(why));
  EXPECT_THAT(report_html(run, "", Lang::kEn), HasSubstr("has a score: the rubric has no rules"));
  EXPECT_THAT(eval_markdown(run, Lang::kEn), HasSubstr("has a score: the rubric has no rules"));
  const RunRecord scored = simulated({"b", 4});
  EXPECT_THAT(comparison_warnings(compare(run, scored), Lang::kEn), testing::Contains("A: " + why));
  EXPECT_EQ(why_unscored(scored, Lang::kEn), "");
  run.scores.clear();
  EXPECT_THAT(why_unscored(run, Lang::kEn), HasSubstr("were not scored"));
  EXPECT_EQ(why_unscored(simulated_bench("a", 40, 8, 1), Lang::kEn), "");
}

TEST(Comparison, MeansOfDifferentQuestionsAreCalledEachRunsOwn) {
  const RunRecord a = simulated({"a", 8});
  RunRecord b = simulated({"b", 8});
  EXPECT_THAT(compare_html(compare(a, b), Lang::kEn), Not(HasSubstr("of its own questions")));
  b = simulated({"b", 9});
  const std::string page = compare_html(compare(a, b), Lang::kEn);
  EXPECT_THAT(page, HasSubstr("per question, mean of its own questions"));
  EXPECT_THAT(page, HasSubstr("first token after, mean of its own questions"));
  EXPECT_THAT(compare_html(compare(a, b), Lang::kZh), HasSubstr("每题（平均，各自的题目）"));
  const Comparison comparison = compare(a, b);
  EXPECT_THAT(speed_table(comparison.runs(), nullptr, Lang::kEn).notes,
              testing::Contains(HasSubstr("did not answer the same questions")));
}

TEST(Comparison, LargeRatiosAreFactorsAndAZeroIsNoBase) {
  Claim claim;
  claim.unit = "s";
  claim.ground = Ground::kTested;
  claim.test = TestMethod::kPaired;
  const auto said = [&](double a, double b) {
    claim.mean_a = a;
    claim.mean_b = b;
    claim.difference = b - a;
    return claim_finding(claim, Lang::kEn);
  };
  EXPECT_THAT(said(10, 8), HasSubstr("(20 % less)"));
  EXPECT_THAT(said(10, 15), HasSubstr("(50 % more)"));
  EXPECT_THAT(said(1, 124), HasSubstr("(124×)"));
  EXPECT_THAT(said(124, 1), HasSubstr("(99.2 % less)"));
  EXPECT_THAT(said(1e6, 1), HasSubstr("(over 99.9 % less)"));
  EXPECT_THAT(said(1e-12, 3), HasSubstr("(more than 10,000×)"));
  EXPECT_THAT(said(0, 3), HasSubstr("(up from 0)"));
  EXPECT_THAT(said(3, 0), HasSubstr("(down to 0)"));
  EXPECT_THAT(said(3, 3), Not(HasSubstr("%")));
}

TEST(Comparison, QuestionsArePairedByIdAndSampleWhateverTheirOrder) {
  const RunRecord a = simulated({"a", 4});
  RunRecord b = simulated({"b", 5});
  std::reverse(b.items.begin(), b.items.end());
  const Comparison comparison = compare(a, b);
  ASSERT_EQ(comparison.pairs.size(), 5u);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(comparison.pairs[i].a->id, comparison.pairs[i].b->id);
  EXPECT_EQ(comparison.pairs[4].a, nullptr);
  EXPECT_THAT(comparison_warnings(comparison, Lang::kEn), testing::Contains(HasSubstr("1 of 5 answers")));
}

TEST(Comparison, AnswersToDifferentTextsUnderOneIdAreNotPaired) {
  const RunRecord a = simulated({"a", 8});
  RunRecord b = simulated({"b", 8});
  for (AnswerRecord& item : b.items) {
    if (item.id != "1") item.prompt = "Question " + item.id;
  }
  const Comparison comparison = compare(a, b);
  EXPECT_EQ(comparison.pairs.size(), 15u);
  EXPECT_EQ(claim_about(comparison, "faster_per_question").n, 1);
  EXPECT_EQ(claim_about(comparison, "scores_higher").n, 1);
  EXPECT_THAT(comparison_warnings(comparison, Lang::kEn), testing::Contains(HasSubstr("14 of 15 answers")));
  const Table questions = questions_table(comparison.runs(), comparison.scorer, nullptr, Lang::kEn);
  EXPECT_EQ(questions.rows.size(), 15u);
}

TEST(Comparison, ScoresAreShownOfTheQuestionsThatBothRunsHaveScoresFor) {
  RunRecord a = simulated({"a", 20, 10, 20, 0, 1});
  const RunRecord b = simulated({"b", 20, 10, 20, 1, 2});
  a.scores.resize(12);  // eight could not be run
  const Comparison comparison = compare(a, b);
  ASSERT_TRUE(comparison.scorer && comparison.scorer->questions);
  EXPECT_EQ(comparison.scorer->questions->size(), 12u);
  const Table scores = scores_table(comparison.runs(), *comparison.scorer, Lang::kEn);
  EXPECT_EQ(scores.rows[0][1], "1.00 (1.00 – 1.00) · n = 12");
  EXPECT_EQ(scores.rows[0][2], "5.00 (5.00 – 5.00) · n = 12");
  EXPECT_EQ(claim_about(comparison, "scores_higher").n, 12);
  EXPECT_THAT(compare_html(comparison, Lang::kEn), HasSubstr("mean score, 12 common questions"));
  EXPECT_THAT(compare_html(comparison, Lang::kZh), HasSubstr("平均得分（共同的 12 题）"));
}

TEST(Comparison, MemoryOnTheTileIsTheClaims) {
  RunRecord a = simulated({"a", 5});
  a.memory = MemoryRecord{1'000'000'000, 200'000'000, 34'000'000, 3'000'000'000, std::nullopt};
  const Comparison comparison = compare(a, a);
  EXPECT_DOUBLE_EQ(claim_about(comparison, "less_memory").mean_a, 1.234e9);
  const std::string page = compare_html(comparison, Lang::kEn);
  EXPECT_THAT(page,
              HasSubstr("memory allotted</div><div class=\"figure\"><span class=\"side a\">A</span>1.23"));
  EXPECT_THAT(page, HasSubstr("3.000 GB"));  // the peak of the process, in the table
}

TEST(Comparison, MetricsAreNamedByTheirTestAndPercentilesNeedSamplesBeyondThem) {
  RunRecord run = simulated_bench("a", 40, 12, 1);
  run.metrics.push_back(run.metrics[0]);
  run.metrics[1].name = "decode_tokens_per_s[n=128,d=512]";
  const RunView view{&run, "", "a", ""};
  const Table table = metrics_table({&view, 1}, Lang::kEn);
  EXPECT_EQ(table.rows[0][0], "decode rate, tokens/s");
  EXPECT_EQ(table.rows[1][0], "decode rate, tokens/s, n=128, d=512");
  EXPECT_EQ(metrics_table({&view, 1}, Lang::kZh).rows[1][0], "解码速度，词元/秒，n=128, d=512");
  EXPECT_THAT(table.rows[0][1], HasSubstr("p90"));
  EXPECT_THAT(table.rows[0][1], Not(HasSubstr("p99")));  // of twelve samples
}

TEST(Comparison, PublishedFiguresStandBesideTheReviewsSuiteAlone) {
  RunRecord a = simulated({"a", 5});
  EXPECT_EQ(compare(a, a).published, nullptr);
  a.settings["suite"]["name"] = "review-zh";
  const Comparison comparison = compare(a, a);
  ASSERT_NE(comparison.published, nullptr);
  ASSERT_EQ(comparison.published->runs.size(), 2u);
  EXPECT_DOUBLE_EQ(*comparison.published->runs[0].mean_s, 11.54);
  EXPECT_DOUBLE_EQ(comparison.published->runs[1].seconds.at("4"), 19.45);
  EXPECT_EQ(comparison.published->runs[0].seconds.count("3"), 0u);  // the review does not give it
}

}  // namespace
}  // namespace chaski
