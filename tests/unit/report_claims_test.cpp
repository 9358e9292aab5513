// Claims of a comparison: what simulated runs support, what they do not, and that the order of runs is of no
// account.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "report/comparison.h"
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

TEST(Claims, EqualRunsAreToldFromUndecidedOnes) {
  const RunRecord a = simulated({"a", 40, 10, 20, 1, 1});
  const RunRecord b = simulated({"b", 40, 10, 20, 1, 1});
  const Comparison comparison = compare(a, b);
  for (const char* topic : {"faster_per_question", "scores_higher", "less_memory"}) {
    const Claim claim = claim_about(comparison, topic);
    EXPECT_EQ(claim.verdict, Verdict::kNotSupported) << topic;
    EXPECT_EQ(claim.ground, Ground::kEquivalent) << topic;
  }
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
    claim.n = 30;
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
  claims[0].n = 30;
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
