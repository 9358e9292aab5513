// What the statistics say of samples small enough to check by hand; statistics_parity.py has the large ones.
#include "report/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace chaski {
namespace {

using testing::ElementsAre;

using Values = std::vector<double>;

/// n … 1
Values down_from(int n) {
  Values values(static_cast<size_t>(n));
  std::iota(values.rbegin(), values.rend(), 1.0);
  return values;
}

std::pair<double, double> ends_of(const Interval& interval) { return {interval.low, interval.high}; }

TEST(Summarize, AMedianLiesBetweenTwoSamplesWhereTheirNumberIsEven) {
  EXPECT_DOUBLE_EQ(summarize({4, 1, 3, 2}).median, 2.5);
  EXPECT_DOUBLE_EQ(summarize({9, 1, 3}).median, 3);
}

TEST(Summarize, PercentilesAreThoseOfTheAscendingSamples) {
  const Metric metric = summarize(down_from(101));
  EXPECT_DOUBLE_EQ(metric.p90, 91);
  EXPECT_DOUBLE_EQ(metric.p95, 96);
  EXPECT_DOUBLE_EQ(metric.p99, 100);
  EXPECT_DOUBLE_EQ(summarize({7}).p99, 7);
}

TEST(Summarize, TheDeviationIsThatOfASample) {
  EXPECT_DOUBLE_EQ(summarize({1, 3}).std, std::sqrt(2.0));
  EXPECT_EQ(summarize({5}).std, 0);
}

TEST(Summarize, SamplesStayInTheOrderMeasured) {
  EXPECT_THAT(summarize({3, 1, 2}).samples, ElementsAre(3, 1, 2));
}

// For an odd number of samples the bootstrap's distribution of the median is a binomial one; these are its
// 2.5 % and 97.5 % points, of the samples 1 … n.
TEST(Summarize, TheIntervalIsTheBootstrapsOfTheMedian) {
  const auto interval = [](int n) { return ends_of(*summarize(down_from(n)).ci95); };
  EXPECT_EQ(interval(7), std::pair(2.0, 6.0));
  EXPECT_EQ(interval(11), std::pair(3.0, 9.0));
  EXPECT_EQ(interval(21), std::pair(7.0, 15.0));
  EXPECT_EQ(interval(51), std::pair(19.0, 33.0));
}

TEST(Summarize, TheIntervalDoesNotDependOnTheOrderOfTheSamples) {
  EXPECT_EQ(ends_of(*summarize({1, 9, 2, 8, 3, 7.5}).ci95), ends_of(*summarize({9, 8, 7.5, 3, 2, 1}).ci95));
}

TEST(Summarize, FewerThanSixSamplesHaveARangeAndNoInterval) {
  const Metric five = summarize(down_from(5));
  EXPECT_FALSE(five.ci95);
  EXPECT_EQ(ends_of(five.range), std::pair(1.0, 5.0));
  EXPECT_TRUE(summarize(down_from(6)).ci95);
}

TEST(Summarize, ManySamplesHaveTheIntervalThatTheNormalDistributionGives) {
  const Metric metric = summarize(down_from(20'000));
  EXPECT_NEAR(metric.ci95->low, 10'000.5 - 1.96 * std::sqrt(20'000) / 2, 25);
}

TEST(Bootstrap, TheSameSeedGivesTheSameIntervalAndAnotherOneAlmostThat) {
  const Values values = down_from(40);
  const auto mean = [](std::span<const double> v) {
    return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
  };
  const Interval first = bootstrap_interval(values, mean, 0.95, 2000, 1);
  EXPECT_EQ(ends_of(first), ends_of(bootstrap_interval(values, mean, 0.95, 2000, 1)));
  const Interval other = bootstrap_interval(values, mean, 0.95, 2000, 2);
  EXPECT_NE(ends_of(first), ends_of(other));
  EXPECT_NEAR(first.low, other.low, 0.5);
  const Interval narrower = bootstrap_interval(values, mean, 0.5, 2000, 1);
  EXPECT_GT(narrower.low, first.low);
  EXPECT_LT(narrower.high, first.high);
}

// Two of the 2^5 ways to set the signs are as far out as the observed one where all agree: all plus, all
// minus.
TEST(PairedTest, FiveQuestionsCannotShowADifferenceHoweverLargeItIs) {
  const PairedTest test = paired_permutation_test(Values{1, 1, 1, 1, 1}, Values{5, 5, 5, 5, 5});
  EXPECT_EQ(test.n, 5);
  EXPECT_DOUBLE_EQ(test.mean_difference, 4);
  EXPECT_DOUBLE_EQ(test.p_value, 1.0 / 16);
  EXPECT_FALSE(test.ci95);
}

TEST(PairedTest, SixQuestionsThatAllAgreeJustDo) {
  const PairedTest test = paired_permutation_test(Values{0, 0, 0, 0, 0, 0}, Values{1, 2, 3, 4, 5, 6});
  EXPECT_DOUBLE_EQ(test.p_value, 2.0 / 64);
  EXPECT_GT(test.ci95->low, 0);
}

TEST(PairedTest, PairsWithoutADifferenceShowNothing) {
  const Values a(30, 3);
  EXPECT_EQ(paired_permutation_test(a, a).p_value, 1);
  Values b = a;
  for (size_t i = 0; i < 4; ++i) b[i] = 4;
  EXPECT_DOUBLE_EQ(paired_permutation_test(a, b).p_value, 2.0 / 16);  // those that differ alone count
}

// 0.1 + 0.2 is not 0.3 in binary; the observed sum must be counted all the same.
TEST(PairedTest, SumsThatAreEqualButForRoundingAreEqual) {
  const Values zero(3, 0);
  EXPECT_DOUBLE_EQ(paired_permutation_test(zero, Values{0.1, 0.2, -0.3}).p_value, 1);
}

TEST(PairedTest, WhichSideIsFirstChangesTheSignAlone) {
  const Values a{1, 2, 5, 4, 2, 2, 3};
  const Values b{2, 2, 3, 5, 4, 5, 3};
  const PairedTest forth = paired_permutation_test(a, b);
  const PairedTest back = paired_permutation_test(b, a);
  EXPECT_DOUBLE_EQ(forth.mean_difference, -back.mean_difference);
  EXPECT_DOUBLE_EQ(forth.p_value, back.p_value);
}

TEST(PairedTest, ManyPairsAreSampledAndTheirPValueIsNeverZero) {
  const PairedTest test = paired_permutation_test(Values(100, 0), down_from(100));
  EXPECT_DOUBLE_EQ(test.p_value, 1.0 / 10'000);
  EXPECT_DOUBLE_EQ(test.p_value, paired_permutation_test(Values(100, 0), down_from(100)).p_value);
}

// 20 wins of 30: 0.0987371… is twice the sum of C(30, k) / 2^30 for k up to 10.
TEST(PairedTest, WinsAndLossesOfOneSizeAreTheSignTestWhateverTheirNumber) {
  Values a(30, 0), b(30, 1);
  for (size_t i = 0; i < 10; ++i) std::swap(a[i], b[i]);
  EXPECT_NEAR(paired_permutation_test(a, b).p_value, 0.098737146, 1e-8);
  for (size_t i = 10; i < 15; ++i) std::swap(a[i], b[i]);
  EXPECT_EQ(paired_permutation_test(a, b).p_value, 1);
  EXPECT_NEAR(paired_permutation_test(Values(5000, 0), Values(5000, 1)).p_value, 0, 1e-300);
}

TEST(PairedTest, NoPairsAreNoEvidence) {
  const PairedTest test = paired_permutation_test(Values{}, Values{});
  EXPECT_EQ(test.n, 0);
  EXPECT_EQ(test.p_value, 1);
}

// Of the 20 ways to choose three of six, two are as far apart as {1, 2, 3} and {4, 5, 6}.
TEST(UnpairedTest, AllLabellingsOfSmallSetsAreLookedAt) {
  const PairedTest test = permutation_test(Values{1, 2, 3}, Values{4, 5, 6});
  EXPECT_DOUBLE_EQ(test.mean_difference, 3);
  EXPECT_DOUBLE_EQ(test.p_value, 2.0 / 20);
  EXPECT_EQ(permutation_test(Values{1, 1}, Values{1, 1, 1}).p_value, 1);
  EXPECT_EQ(permutation_test(Values{}, Values{1}).p_value, 1);
}

TEST(UnpairedTest, LargeSetsAreSampled) {
  Values high = down_from(50);
  for (double& value : high) value += 30;
  const PairedTest test = permutation_test(down_from(50), high);
  EXPECT_DOUBLE_EQ(test.p_value, 1.0 / 10'000);
  EXPECT_LT(test.ci95->low, 30);
  EXPECT_GT(test.ci95->high, 30);
  EXPECT_GT(test.ci95->low, 20);
}

TEST(Kappa, AgreementIsOneAndChanceIsNoneAndOneGradeThroughoutSaysNothing) {
  const std::vector<int> a{1, 2, 3, 4, 5};
  EXPECT_DOUBLE_EQ(*quadratic_kappa(a, a, 1, 5), 1);
  const std::vector<int> reversed{5, 4, 3, 2, 1};
  EXPECT_DOUBLE_EQ(*quadratic_kappa(a, reversed, 1, 5), -1);
  const std::vector<int> threes(5, 3);
  EXPECT_DOUBLE_EQ(*quadratic_kappa(a, threes, 1, 5), 0);
  EXPECT_FALSE(quadratic_kappa(threes, threes, 1, 5));
  EXPECT_FALSE(quadratic_kappa({}, {}, 1, 5));
}

TEST(Spearman, TiesHaveTheirMeanRankAndASideThatDoesNotVarySaysNothing) {
  EXPECT_DOUBLE_EQ(*spearman(Values{1, 2, 3}, Values{10, 200, 3000}), 1);
  EXPECT_DOUBLE_EQ(*spearman(Values{1, 2, 3}, Values{3, 2, 1}), -1);
  EXPECT_DOUBLE_EQ(*spearman(Values{1, 1, 2}, Values{1, 2, 2}), 0.5);
  EXPECT_FALSE(spearman(Values{1, 1}, Values{1, 2}));
  EXPECT_FALSE(spearman(Values{1}, Values{1}));
  EXPECT_FALSE(spearman(Values{}, Values{}));
}

TEST(Gaps, FiguresAreOfAllAndOnlySomeAreKept) {
  std::vector<double> gaps(50'000, 1.0);
  gaps[1] = 9.0;  // not among each third
  const Metric metric = summarize_gaps(gaps);
  EXPECT_EQ(metric.range.high, 9.0);
  EXPECT_NEAR(metric.mean, 1.0 + 8.0 / 50'000, 1e-12);
  EXPECT_EQ(metric.samples.size(), 16'667u);
  EXPECT_FALSE(metric.ci95) << "gaps of one answer depend on each other";
}

TEST(Statistics, FewerResamplesAreDrawnOfMany) {
  EXPECT_EQ(resamples_for(20), 9999);
  EXPECT_EQ(resamples_for(10'000), 2000);
  EXPECT_EQ(resamples_for(1'000'000), 999);
}

}  // namespace
}  // namespace chaski
