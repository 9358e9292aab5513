// The scheduler against random arrivals, lengths and cancellations, with the cache's contents played by a
// table of what each place was last written with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>

#include "base/error.h"
#include "engine/scheduler.h"

namespace chaski {
namespace {

using ::testing::ElementsAre;

constexpr int32_t kPageTokens = 4;

/// The token at a position of the step: the sequence's own, or a guess.
int32_t token_at(const Sequence& sequence, int64_t position) {
  const int64_t n_after = position - sequence.n_tokens();
  return n_after < 0 ? sequence.tokens[static_cast<size_t>(position)]
                     : sequence.guesses.at(static_cast<size_t>(n_after));
}

/// A device that remembers (position, token) of each place, and chooses the next token from all of them.
class PretendDevice {
 public:
  explicit PretendDevice(int32_t n_pages)
      : places_(static_cast<size_t>(n_pages * kPageTokens), std::pair(-1, -1)) {}

  /// The next token of each output, from what the pages hold. Fails where a page holds something else.
  std::vector<int32_t> run(const Batch& batch, const std::vector<StepPart>& parts) {
    for (size_t row = 0; row < batch.token_ids.size(); ++row) {
      places_[static_cast<size_t>(batch.slots[row])] = {batch.positions[row], batch.token_ids[row]};
    }
    std::vector<int32_t> next;
    for (const OutputRow& output : batch.outputs) {
      const auto row = static_cast<size_t>(output.row);
      const auto index = static_cast<size_t>(batch.sequence_of_row[row]);
      const Sequence& sequence = *parts[index].sequence;
      uint32_t mixed = 1;
      for (int32_t position = 0; position <= batch.positions[row]; ++position) {
        const size_t entry = index * static_cast<size_t>(batch.pages_per_sequence) +
                             static_cast<size_t>(position / kPageTokens);
        const auto place =
            static_cast<size_t>(batch.page_table[entry] * kPageTokens + position % kPageTokens);
        EXPECT_EQ(places_[place], std::pair(position, token_at(sequence, position)))
            << "position " << position << " of sequence " << index;
        mixed = mixed * 31 + static_cast<uint32_t>(places_[place].second);
      }
      next.push_back(static_cast<int32_t>(mixed % 1000));
    }
    return next;
  }

 private:
  std::vector<std::pair<int32_t, int32_t>> places_;
};

/// What any sequence must become, whatever ran beside it.
std::vector<int32_t> expected_tokens(std::vector<int32_t> tokens, size_t n_total) {
  while (tokens.size() < n_total) {
    uint32_t mixed = 1;
    for (const int32_t token : tokens) mixed = mixed * 31 + static_cast<uint32_t>(token);
    tokens.push_back(static_cast<int32_t>(mixed % 1000));
  }
  return tokens;
}

/// Guesses of what follows, right as often as not.
std::vector<int32_t> some_guesses(const Sequence& sequence, std::mt19937& random) {
  const size_t n = random() % 6;
  std::vector<int32_t> tokens = expected_tokens(sequence.tokens, sequence.tokens.size() + n);
  std::vector<int32_t> guesses(tokens.end() - static_cast<std::ptrdiff_t>(n), tokens.end());
  if (n > 0 && random() % 2 == 0) guesses[random() % n] = 1000;
  return guesses;
}

struct Client {
  Sequence sequence;
  size_t n_total = 0;
  bool is_seen = false;
  bool is_done = false;
};

void check_step(const Batch& batch, const std::vector<StepPart>& parts, const SchedulerLimits& limits) {
  int32_t n_guesses = 0;
  for (const StepPart& part : parts) n_guesses += part.n_guesses;
  EXPECT_LE(n_guesses, limits.max_guesses);
  EXPECT_LE(batch.n_rows() - n_guesses, limits.max_rows);
  EXPECT_LE(batch.n_sequences, limits.max_sequences);
  EXPECT_EQ(static_cast<size_t>(batch.n_sequences), parts.size());
  EXPECT_EQ(batch.page_table.size(), parts.size() * static_cast<size_t>(limits.pages_per_sequence));
  size_t row = 0;
  bool has_prompt = false, has_decode = false;
  for (size_t i = 0; i < parts.size(); ++i) {
    const StepPart& part = parts[i];
    EXPECT_GT(part.n_rows, 0);
    (part.sequence->is_decoding() ? has_decode : has_prompt) = true;
    for (int32_t j = 0; j < part.n_rows; ++j, ++row) {
      EXPECT_EQ(batch.sequence_of_row[row], static_cast<int32_t>(i));
      EXPECT_EQ(batch.positions[row], part.sequence->n_computed + j) << "each position once, in order";
    }
    EXPECT_TRUE(part.n_guesses == 0 || part.sequence->is_decoding());
    EXPECT_LE(part.sequence->n_computed + part.n_rows, part.sequence->max_tokens - 1);
    EXPECT_EQ(part.output >= 0, part.n_rows - part.n_guesses == part.sequence->n_pending());
    for (int32_t j = 0; j < part.n_outputs(); ++j) {
      EXPECT_EQ(batch.outputs[static_cast<size_t>(part.output + j)].row,
                static_cast<int32_t>(row) - part.n_outputs() + j)
          << "the last token's row and each guess's";
    }
  }
  EXPECT_EQ(row, batch.token_ids.size());
  if (!parts.empty()) {
    EXPECT_EQ(batch.phase, !has_decode     ? Phase::kPrefill
                           : has_prompt    ? Phase::kMixed
                           : n_guesses > 0 ? Phase::kVerify
                                           : Phase::kDecode);
  }
  EXPECT_TRUE(batch.phase != Phase::kDecode || batch.n_outputs() == batch.n_rows());
}

struct Traffic {
  int64_t n_preemptions = 0;
  int64_t n_cancelled = 0;
  int64_t n_reused = 0;
  int64_t n_accepted = 0;
  int64_t n_rejected = 0;
};

/// The step's tokens, each sequence's as far as its guesses were right.
void apply_step(const std::vector<StepPart>& parts, const std::vector<int32_t>& next, Scheduler& scheduler,
                Traffic& traffic) {
  scheduler.complete(parts);
  for (const StepPart& part : parts) {
    Sequence& sequence = *part.sequence;
    const std::vector<int32_t> guesses = sequence.guesses;
    for (int32_t i = 0; i < part.n_outputs(); ++i) {
      const int32_t token = next[static_cast<size_t>(part.output + i)];
      sequence.tokens.push_back(token);
      const bool is_checked = i < part.n_guesses;
      const bool is_right = is_checked && guesses[static_cast<size_t>(i)] == token;
      if (is_checked) ++(is_right ? traffic.n_accepted : traffic.n_rejected);
      if (!is_right) break;
      scheduler.accept(sequence);
    }
  }
}

void run_random_traffic(unsigned seed, Traffic& traffic) {
  std::mt19937 random(seed);
  const auto up_to = [&random](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)) + 1; };
  SchedulerLimits limits;
  limits.max_sequences = up_to(6);
  limits.max_rows = limits.max_sequences + up_to(20) - 1;
  limits.pages_per_sequence = up_to(8);
  limits.max_guesses = seed % 3 == 0 ? 0 : up_to(8);
  const int32_t n_pages = limits.pages_per_sequence + up_to(12) - 1;
  KvCache cache(n_pages, kPageTokens, seed % 2 == 0);
  Scheduler scheduler(cache, limits);
  PretendDevice device(n_pages);

  std::vector<std::unique_ptr<Client>> clients;
  const size_t n_clients = 30;
  const auto max_tokens = limits.pages_per_sequence * kPageTokens;
  std::vector<int32_t> common(static_cast<size_t>(max_tokens));
  for (int32_t& token : common) token = up_to(3);
  int n_steps = 0;
  while (clients.size() < n_clients || !scheduler.is_idle()) {
    if (clients.size() < n_clients && (scheduler.is_idle() || up_to(3) == 1)) {
      auto client = std::make_unique<Client>();
      const int n_prompt = up_to(max_tokens);
      // Half of the prompts begin alike, so that pages are shared.
      for (int i = 0; i < n_prompt; ++i) {
        client->sequence.tokens.push_back(clients.size() % 2 == 0 ? common[static_cast<size_t>(i)]
                                                                  : up_to(3));
      }
      client->sequence.n_prompt = n_prompt;
      client->n_total = static_cast<size_t>(n_prompt + up_to(max_tokens - n_prompt + 1));
      client->sequence.max_tokens = static_cast<int64_t>(client->n_total);
      scheduler.add(client->sequence);
      clients.push_back(std::move(client));
    }
    for (Sequence* sequence : scheduler.running()) sequence->guesses = some_guesses(*sequence, random);
    Batch batch;
    const std::vector<StepPart> parts = scheduler.schedule(batch);
    scheduler.check_integrity();
    check_step(batch, parts, limits);
    for (const auto& client : clients) {
      if (client->is_seen || client->sequence.pages.empty()) continue;
      client->is_seen = true;
      traffic.n_reused += client->sequence.n_computed;
    }
    ASSERT_FALSE(::testing::Test::HasFailure()) << "step " << n_steps;
    apply_step(parts, device.run(batch, parts), scheduler, traffic);
    for (const auto& client : clients) {
      const bool is_through = client->sequence.tokens.size() >= client->n_total;
      const bool is_cancelled = !client->is_done && up_to(200) == 1;
      if (client->is_done || (!is_through && !is_cancelled)) continue;
      scheduler.remove(client->sequence);
      client->is_done = true;
      if (!is_through) ++traffic.n_cancelled;
      std::vector<int32_t> prompt = client->sequence.tokens;
      prompt.resize(static_cast<size_t>(client->sequence.n_prompt));
      EXPECT_EQ(client->sequence.tokens, expected_tokens(prompt, client->sequence.tokens.size()));
    }
    scheduler.check_integrity();
    ASSERT_LT(++n_steps, 20000) << "no progress";
  }
  traffic.n_preemptions += scheduler.n_preemptions();
  EXPECT_EQ(cache.n_available(), n_pages) << "pages leaked";
}

TEST(Scheduler, EverySequenceGetsItsOwnTokensWhateverRunsBesideIt) {
  Traffic traffic;
  for (unsigned seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    run_random_traffic(seed, traffic);
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
  EXPECT_GT(traffic.n_preemptions, 100);
  EXPECT_GT(traffic.n_cancelled, 100);
  EXPECT_GT(traffic.n_reused, 100);
  EXPECT_GT(traffic.n_accepted, 1000);
  EXPECT_GT(traffic.n_rejected, 1000);
}

Sequence sequence_of(std::vector<int32_t> tokens) {
  Sequence sequence;
  sequence.n_prompt = static_cast<int64_t>(tokens.size());
  sequence.tokens = std::move(tokens);
  return sequence;
}

TEST(Scheduler, DecodingRowsComeBeforeChunksOfPrompts) {
  KvCache cache(16, kPageTokens, false);
  Scheduler scheduler(cache, {4, 6, 8});
  Sequence first = sequence_of({1, 2});
  scheduler.add(first);
  Batch batch;
  scheduler.complete(scheduler.schedule(batch));
  first.tokens.push_back(3);
  Sequence second = sequence_of({10, 11, 12, 13, 14, 15, 16});
  scheduler.add(second);
  const std::vector<StepPart> parts = scheduler.schedule(batch);
  EXPECT_EQ(batch.phase, Phase::kMixed);
  EXPECT_THAT(batch.token_ids, ElementsAre(3, 10, 11, 12, 13, 14));
  ASSERT_EQ(batch.outputs.size(), 1U) << "the prompt is not through";
  EXPECT_EQ(batch.outputs[0].row, 0);
  scheduler.complete(parts);
}

TEST(Scheduler, TheNewestIsPreemptedWhenPagesRunOutAndComesBack) {
  KvCache cache(2, kPageTokens, false);
  Scheduler scheduler(cache, {2, 8, 2});
  Sequence older = sequence_of({1, 2, 3, 4}), newer = sequence_of({5, 6, 7});
  scheduler.add(older);
  scheduler.add(newer);
  Batch batch;
  scheduler.complete(scheduler.schedule(batch));
  older.tokens.push_back(9);
  newer.tokens.push_back(9);
  scheduler.complete(scheduler.schedule(batch));
  EXPECT_THAT(batch.token_ids, ElementsAre(9)) << "the older one goes on alone";
  EXPECT_EQ(scheduler.n_preemptions(), 1);
  scheduler.remove(older);
  scheduler.schedule(batch);
  EXPECT_THAT(batch.token_ids, ElementsAre(5, 6, 7, 9)) << "the newer one is computed again";
}

TEST(Scheduler, GuessesTakeNoPageThatAnotherSequenceNeeds) {
  KvCache cache(3, kPageTokens, false);
  Scheduler scheduler(cache, {2, 8, 3, 8});
  Sequence older = sequence_of({1, 2, 3}), newer = sequence_of({4, 5, 6, 7});
  scheduler.add(older);
  scheduler.add(newer);
  Batch batch;
  scheduler.complete(scheduler.schedule(batch));
  older.tokens.push_back(9);
  newer.tokens.push_back(9);
  older.guesses = {8, 8, 8};
  const std::vector<StepPart> parts = scheduler.schedule(batch);
  ASSERT_EQ(parts.size(), 2U) << "the newer one got the last page for its next token";
  EXPECT_EQ(parts[0].n_guesses, 0);
  EXPECT_EQ(batch.phase, Phase::kDecode);
  EXPECT_EQ(scheduler.n_preemptions(), 0);
}

TEST(Scheduler, PagesOfGuessesThatWereWrongAreGivenBackToWhoNeedsThem) {
  KvCache cache(3, kPageTokens, false);
  Scheduler scheduler(cache, {2, 8, 3, 8});
  Sequence older = sequence_of({1}), newer = sequence_of({4, 5, 6});
  scheduler.add(older);
  scheduler.add(newer);
  Batch batch;
  scheduler.complete(scheduler.schedule(batch));
  older.tokens.push_back(9);
  newer.tokens.push_back(9);
  older.guesses = {8, 8, 8, 8};
  std::vector<StepPart> parts = scheduler.schedule(batch);
  ASSERT_EQ(parts[0].n_guesses, 4) << "the last page is nobody's";
  scheduler.complete(parts);
  older.tokens.push_back(9);
  newer.tokens.push_back(9);
  older.guesses = {8, 8};
  parts = scheduler.schedule(batch);
  ASSERT_EQ(parts.size(), 2U) << "the newer one got it for its next token";
  EXPECT_EQ(parts[0].n_guesses, 1) << "as many as the older one's first page has room for";
  EXPECT_EQ(scheduler.n_preemptions(), 0);
  scheduler.check_integrity();
}

TEST(KvCache, WhatIsTakenUnaskedIsBoundedUnlessOneSequenceNeedsMore) {
  constexpr int64_t kGiB = int64_t{1} << 30;
  EXPECT_EQ(n_cache_pages({1000, 3, 256, 1 << 20}), 12) << "four pages each";
  EXPECT_EQ(n_cache_pages({1 << 18, 1 << 30, 256, 4 * kGiB}), 1024) << "one sequence alone";
  EXPECT_EQ(n_cache_pages({131072, 64, 256, 32 << 20}), 512) << "of 64 sequences, eight GiB each, one";
  EXPECT_EQ(n_cache_pages({131072, 64, 256, 1 << 20}), 4096) << "4 GiB";
  EXPECT_EQ(n_cache_pages({131072, 64, 256, 1 << 20}, 9), 9) << "as asked";
  EXPECT_THROW(n_cache_pages({int64_t{1} << 40, 1, 256, 1}), Error) << "more than 2^31 places";
  EXPECT_THROW(n_cache_pages({256, 1, 256, 1}, 1 << 30), Error);
}

TEST(KvCache, AFullPageOfAFinishedSequenceIsFoundByItsTokensUntilItIsEvicted) {
  KvCache cache(2, 2, true);
  std::vector<int32_t> pages{cache.allocate(), cache.allocate()};
  const std::vector<int32_t> tokens{1, 2, 3, 4};
  cache.keep(pages, 0, tokens);
  cache.keep(pages, 1, tokens);
  cache.release(pages[1]);
  cache.release(pages[0]);
  EXPECT_EQ(cache.n_available(), 2);
  EXPECT_THAT(cache.match(std::vector<int32_t>{1, 2, 3, 5}), ElementsAre(pages[0]));
  cache.release(pages[0]);
  EXPECT_TRUE(cache.match(std::vector<int32_t>{3, 4}).empty()) << "the same tokens at another place";
  EXPECT_EQ(cache.allocate(), pages[1]) << "the page that was unused longest";
  EXPECT_THAT(cache.match(tokens), ElementsAre(pages[0]));
}

TEST(KvCache, ACountThatDoesNotAgreeIsFound) {
  KvCache cache(2, 2, true);
  const std::vector<int32_t> pages{cache.allocate()};
  EXPECT_NO_THROW(cache.check_integrity({&pages}));
  EXPECT_THROW(cache.check_integrity({}), Error);
  EXPECT_THROW(cache.check_integrity({&pages, &pages}), Error);
}

}  // namespace
}  // namespace chaski
