// The sampler on rows small enough to check by hand. Its agreement with the peer on whole vocabularies is
// tests/parity/sampling_parity.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "engine/sampler.h"

namespace chaski {
namespace {

using ::testing::ElementsAre;

std::vector<int32_t> ids_of(const std::vector<Candidate>& candidates) {
  std::vector<int32_t> ids;
  for (const Candidate& candidate : candidates) ids.push_back(candidate.id);
  return ids;
}

std::vector<int32_t> kept(const std::vector<float>& logits, const SamplingParams& params,
                          const TokenCounts& counts = {}) {
  return ids_of(filtered(logits, params, counts));
}

TEST(Sampler, WithoutFiltersEveryTokenKeepsItsSoftmax) {
  const std::vector<float> logits{0, std::log(2.0F), std::log(5.0F)};
  const std::vector<Candidate> all = filtered(logits, {}, {});
  ASSERT_EQ(all.size(), 3U);
  EXPECT_FLOAT_EQ(all[0].prob, 0.125F);
  EXPECT_FLOAT_EQ(all[1].prob, 0.25F);
  EXPECT_FLOAT_EQ(all[2].prob, 0.625F);
}

TEST(Sampler, TopKKeepsAllThatEqualTheLast) {
  SamplingParams params;
  params.top_k = 2;
  EXPECT_THAT(kept({1, 3, 2, 2, 0}, params), ElementsAre(1, 2, 3));
  params.top_k = 100;
  EXPECT_EQ(kept({1, 3, 2, 2, 0}, params).size(), 5U);
}

TEST(Sampler, TopPDropsTheLeastLikelyThatSumToNoMoreThanTheRest) {
  const std::vector<float> logits{std::log(0.1F), std::log(0.5F), std::log(0.15F), std::log(0.25F)};
  SamplingParams params;
  params.top_p = 0.8;
  EXPECT_THAT(kept(logits, params), ElementsAre(1, 2, 3)) << "0.1 goes, 0.1 + 0.15 is more than 0.2";
  params.top_p = 0.7;
  EXPECT_THAT(kept(logits, params), ElementsAre(1, 3));
  params.top_p = 0;
  EXPECT_THAT(kept(logits, params), ElementsAre(1)) << "one always stays";
}

TEST(Sampler, TopPKeepsTheHighestIdOfEqualTokens) {
  SamplingParams params;
  params.top_p = 0.4;
  EXPECT_THAT(kept({1, 1, 1, 1}, params), ElementsAre(2, 3));
}

TEST(Sampler, TopPSpansScoresTooFarApartForOneScale) {
  SamplingParams params;
  params.top_p = 0.999999;
  EXPECT_THAT(kept({-3e38F, 3e38F, 0}, params), ElementsAre(1));
}

TEST(Sampler, MinPIsAShareOfTheMostLikely) {
  const std::vector<float> logits{std::log(0.1F), std::log(0.5F), std::log(0.15F), std::log(0.25F)};
  SamplingParams params;
  params.min_p = 0.29;
  EXPECT_THAT(kept(logits, params), ElementsAre(1, 2, 3));
  params.min_p = 0.4;
  EXPECT_THAT(kept(logits, params), ElementsAre(1, 3));
  params.min_p = 1;
  EXPECT_THAT(kept(logits, params), ElementsAre(1));
}

TEST(Sampler, FiltersWorkOnWhatTheOnesBeforeThemLeft) {
  const std::vector<float> logits{std::log(0.4F), std::log(0.3F), std::log(0.2F), std::log(0.1F)};
  SamplingParams params;
  params.top_k = 2;
  params.top_p = 0.55;
  EXPECT_THAT(kept(logits, params), ElementsAre(0)) << "of the two left, 0.3 / 0.7 is less than 0.45";
}

TEST(Sampler, PenaltiesCountOncePerTokenOrPerOccurrence) {
  TokenCounts counts;
  counts.add_prompt(std::vector<int32_t>{0, 0, 1});
  counts.add_output(2);
  counts.add_output(2);
  SamplingParams params;
  params.repetition_penalty = 2;
  params.presence_penalty = 0.5;
  params.frequency_penalty = 0.25;
  // 0: 4 / 2; 1: −1 × 2; 2: 3 / 2 − 0.5 − 2 × 0.25; 3: as it was.
  const std::vector<Candidate> got = filtered(std::vector<float>{4, -1, 3, 0}, params, counts);
  const std::vector<Candidate> expected = filtered(std::vector<float>{2, -2, 0.5, 0}, {}, {});
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_FLOAT_EQ(got[i].prob, expected[i].prob) << i;
}

TEST(Sampler, GreedyTakesTheFirstBestAfterPenalties) {
  SamplingParams params;
  params.temperature = 0;
  EXPECT_EQ(sample(std::vector<float>{1, 5, 5}, params, {}, 0), 1);
  TokenCounts counts;
  counts.add_output(1);
  params.repetition_penalty = 1.5;
  EXPECT_EQ(sample(std::vector<float>{1, 5, 4}, params, counts, 0), 2);
}

TEST(Sampler, LogitsThatAreNotFiniteGiveNothing) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(sample(std::vector<float>{1, kNaN, 2}, {}, {}, 0));
  EXPECT_FALSE(sample(std::vector<float>{1, kInfinity}, {}, {}, 0));
  EXPECT_FALSE(sample(std::vector<float>{-kInfinity, -kInfinity}, {}, {}, 0));
  SamplingParams greedy;
  greedy.temperature = 0;
  EXPECT_FALSE(sample(std::vector<float>{1, kNaN, 2}, greedy, {}, 0));
  EXPECT_EQ(sample(std::vector<float>{-kInfinity, 2}, {}, {}, 0), 1) << "a masked token is no fault";
}

TEST(Sampler, DrawsFollowTheProbabilitiesAndDependOnSeedSampleAndPositionOnly) {
  const std::vector<float> logits{std::log(0.1F), std::log(0.6F), std::log(0.3F)};
  std::vector<int> n_drawn(3);
  for (uint64_t position = 0; position < 20000; ++position) {
    SamplingParams params;
    params.seed = 5;
    const auto token = sample(logits, params, {}, position);
    ASSERT_EQ(token, sample(logits, params, {}, position));
    ++n_drawn[static_cast<size_t>(*token)];
  }
  EXPECT_NEAR(n_drawn[0], 2000, 5 * 42);
  EXPECT_NEAR(n_drawn[1], 12000, 5 * 69);
  EXPECT_NEAR(n_drawn[2], 6000, 5 * 65);
}

TEST(SamplingParams, SettingsOutOfRangeAreNamed) {
  const auto message = [](SamplingParams params) -> std::string {
    try {
      params.validate();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUsage);
      return error.what();
    }
    return "";
  };
  SamplingParams params;
  EXPECT_EQ(message(params), "");
  params.top_p = 1.5;
  EXPECT_THAT(message(params), ::testing::HasSubstr("top_p must be from 0 to 1, found 1.5"));
  params = {};
  params.temperature = std::nan("");
  EXPECT_THAT(message(params), ::testing::HasSubstr("temperature"));
  params = {};
  params.repetition_penalty = 0;
  EXPECT_THAT(message(params), ::testing::HasSubstr("repetition_penalty"));
}

}  // namespace
}  // namespace chaski
