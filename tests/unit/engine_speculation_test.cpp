// What is guessed, and how many guesses a step gets: the index against a plain search, the width against
// pretended times.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "engine/speculation.h"

namespace chaski {
namespace {

using ::testing::ElementsAre;

int64_t longest_by_search(const std::vector<int32_t>& tokens) {
  const size_t n = tokens.size();
  size_t best = 0;
  for (size_t end = 1; end < n; ++end) {
    size_t length = 0;
    while (length < end && tokens[end - 1 - length] == tokens[n - 1 - length]) ++length;
    best = std::max(best, length);
  }
  return static_cast<int64_t>(best);
}

TEST(SuffixIndex, FindsTheLongestEndThatWasThereBefore) {
  std::mt19937 random(3);
  for (const unsigned n_letters : {1U, 2U, 3U, 10U, 100U}) {
    SuffixIndex index;
    for (int i = 0; i < 300; ++i) {
      index.push(static_cast<int32_t>(random() % n_letters));
      const SuffixIndex::Match& match = index.longest();
      const std::vector<int32_t>& tokens = index.tokens();
      ASSERT_EQ(match.length, longest_by_search(tokens)) << n_letters << " letters, token " << i;
      if (match.length == 0) continue;
      ASSERT_LT(match.next, index.size());
      for (int64_t j = 1; j <= match.length; ++j) {
        ASSERT_EQ(tokens[static_cast<size_t>(match.next - j)], tokens[static_cast<size_t>(index.size() - j)]);
      }
    }
  }
}

Sequence decoding(std::vector<int32_t> tokens) {
  Sequence sequence;
  sequence.n_prompt = 1;
  sequence.n_computed = static_cast<int64_t>(tokens.size()) - 1;
  sequence.tokens = std::move(tokens);
  return sequence;
}

TEST(NgramSpeculator, GoesOnAsTheTextDidBeforeAndRepeatsWhatEndsInItself) {
  NgramSpeculator speculator;
  std::vector<Guess> guesses;
  const auto tokens = [&guesses] {
    std::vector<int32_t> ids;
    for (const Guess& guess : guesses) ids.push_back(guess.token);
    return ids;
  };
  const Sequence before = decoding({1, 2, 3, 4, 9, 1, 2});
  speculator.propose(before, 3, guesses);
  EXPECT_THAT(tokens(), ElementsAre(3, 4, 9));
  EXPECT_EQ(guesses[0].grade, 1) << "two tokens of context agree";
  const Sequence period = decoding({5, 6, 5, 6, 5});
  speculator.propose(period, 6, guesses);
  EXPECT_THAT(tokens(), ElementsAre(6, 5, 6, 5, 6, 5));
  const Sequence fresh = decoding({1, 2, 3});
  speculator.propose(fresh, 6, guesses);
  EXPECT_TRUE(guesses.empty());
}

/// A text of period 7 that is decoded by steps of `seconds(rows)`, all guesses right or all wrong.
struct Played {
  int64_t n_steps = 0, n_guesses = 0;
};
template <class Seconds>
Played play(bool are_right, Seconds seconds) {
  Speculation speculation(std::make_unique<NgramSpeculator>(), {24, 15, 0});
  Sequence sequence = decoding({0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 0});
  Sequence* const sequences[] = {&sequence};
  Played played;
  while (sequence.n_tokens() < 500) {
    speculation.plan(sequences);
    const std::vector<int32_t> guesses = sequence.guesses;
    played.n_guesses += static_cast<int64_t>(guesses.size());
    ++played.n_steps;
    const auto n_rows = static_cast<int32_t>(1 + guesses.size());
    speculation.step_took(n_rows, seconds(n_rows));
    for (size_t i = 0; i <= guesses.size(); ++i) {
      const auto right = static_cast<int32_t>(sequence.n_tokens() % 7);
      const int32_t token =
          are_right ? right : static_cast<int32_t>((sequence.n_tokens() / 7 * 5 + right * right) % 7);
      speculation.came(sequence, i, token);
      sequence.tokens.push_back(token);
      ++sequence.n_computed;
      if (i == guesses.size() || guesses[i] != token) break;
    }
  }
  return played;
}

TEST(Speculation, RightGuessesThatCostLittleAreTakenManyAtOnce) {
  const Played played = play(true, [](int32_t n) { return 1 + 0.05 * (n - 1); });
  EXPECT_LT(played.n_steps, 60) << "of 485 tokens";
}

TEST(Speculation, GuessesThatCostAsMuchAsTokensAreLeft) {
  const Played played = play(true, [](int32_t n) { return 1.0 * n; });
  EXPECT_LT(played.n_guesses, 60) << "some, to see whether that is still so";
}

TEST(Speculation, StepsOfUnknownCostAreNotGuessedInAndPromptsNeither) {
  Speculation speculation(std::make_unique<NgramSpeculator>(), {24, 15, 0});
  Sequence sequence = decoding({5, 6, 5, 6, 5, 6, 5, 6, 5, 6, 5, 6});
  Sequence prompt;
  prompt.tokens = {1, 2, 3};
  prompt.n_prompt = 3;
  Sequence* const one[] = {&sequence};
  Sequence* const both[] = {&sequence, &prompt};
  speculation.plan(one);
  EXPECT_TRUE(sequence.guesses.empty());
  speculation.step_took(1, 1.0);
  speculation.plan(both);
  EXPECT_TRUE(sequence.guesses.empty());
  speculation.plan(one);
  EXPECT_FALSE(sequence.guesses.empty());
  sequence.max_tokens = sequence.n_tokens() + 2;
  speculation.plan(one);
  EXPECT_LE(sequence.guesses.size(), 1U) << "the last token of all is never a row";
}

TEST(Speculation, ASequenceThatRunsNoMoreIsForgottenUntilItComesBack) {
  struct Forgetful : NgramSpeculator {
    explicit Forgetful(std::vector<const Sequence*>& gone) : forgotten(gone) {}
    void forget(const Sequence& sequence) override {
      NgramSpeculator::forget(sequence);
      forgotten.push_back(&sequence);
    }
    std::vector<const Sequence*>& forgotten;
  };
  std::vector<const Sequence*> forgotten;
  Speculation speculation(std::make_unique<Forgetful>(forgotten), {24, 15, 3});
  Sequence older = decoding({5, 6, 5, 6, 5, 6}), newer = decoding({7, 8, 7, 8, 7, 8});
  Sequence* const both[] = {&older, &newer};
  speculation.plan(both);
  EXPECT_THAT(forgotten, ElementsAre());
  speculation.plan(std::span(both).first(1));
  EXPECT_THAT(forgotten, ElementsAre(&newer)) << "it was preempted";
  speculation.plan(both);
  EXPECT_EQ(newer.guesses.size(), 3U);
}

TEST(StepCosts, OneLateStepMovesTheMeanLittleAndALineJoinsWhatWasSeen) {
  StepCosts costs;
  EXPECT_EQ(costs.of(1), 0);
  for (int i = 0; i < 20; ++i) costs.observe(1, 1.0);
  for (int i = 0; i < 20; ++i) costs.observe(5, 3.0);
  EXPECT_DOUBLE_EQ(costs.of(3), 2.0);
  EXPECT_DOUBLE_EQ(costs.of(7), 4.0);
  costs.observe(1, 100.0);
  EXPECT_LT(costs.of(1), 1.1);
}

}  // namespace
}  // namespace chaski
