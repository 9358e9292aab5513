// What a request becomes: limits, ends, errors, timings. The model is played by a runner whose next token
// depends on the last one only, so that every answer can be written down here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <thread>

#include "base/error.h"
#include "engine/engine.h"
#include "ops/scalar_ops.h"
#include "unit/text_vocab.h"

namespace chaski {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int32_t kEos = 256;
constexpr int64_t kVocab = 257;

/// After a letter comes the next one; after 'z', eos; after '!', logits that are not finite; '?' breaks the
/// device. After a digit comes the next one, and 0 after 9; after '~', itself; after ')', '!'.
class AlphabetRunner : public Runner {
 public:
  explicit AlphabetRunner(const RunnerLimits& limits) : limits_(limits) {}
  std::string_view name() const override { return "alphabet"; }
  std::string why_not_faster() const override { return ""; }
  const RunnerLimits& limits() const override { return limits_; }

  void run(const Batch& batch, StepOutput& output) override {
    ++n_steps;
    n_rows += batch.n_rows();
    output.best.clear();
    output.logits.clear();
    for (const int32_t token : batch.token_ids) {
      if (token == '?') throw Error(ErrorCode::kDevice, "run", "the device is gone");
    }
    for (const OutputRow& row : batch.outputs) {
      const int32_t token = batch.token_ids[static_cast<size_t>(row.row)];
      const int32_t next = next_of(token);
      output.best.push_back(token == '!' ? -1 : next);
      if (!row.wants_logits) continue;
      const size_t at = output.logits.size();
      output.logits.resize(at + static_cast<size_t>(kVocab), -100.0F);
      output.logits[at + static_cast<size_t>(next)] = 100.0F;
      if (token == '!') output.logits[at + 7] = std::numeric_limits<float>::quiet_NaN();
    }
  }

  int n_steps = 0;
  int64_t n_rows = 0;

 private:
  static int32_t next_of(int32_t token) {
    if (token == 'z') return kEos;
    if (token == '9') return '0';
    if (token == ')') return '!';
    return token == '~' ? token : token + 1;
  }

  RunnerLimits limits_;
};

/// The same as a draft model, which takes its time and may break.
class DraftRunner : public AlphabetRunner {
 public:
  static constexpr std::chrono::milliseconds kTime{3};
  DraftRunner(const RunnerLimits& limits, int& n_runs, int n_until_broken)
      : AlphabetRunner(limits), n_runs_(n_runs), n_until_broken_(n_until_broken) {}
  void run(const Batch& batch, StepOutput& output) override {
    if (n_runs_ == n_until_broken_) throw Error(ErrorCode::kDevice, "run", "the draft model broke");
    ++n_runs_;
    std::this_thread::sleep_for(kTime);
    AlphabetRunner::run(batch, output);
  }

 private:
  int& n_runs_;
  int n_until_broken_;
};

class AlphabetDevice : public Device {
 public:
  const DeviceInfo& info() const override { return info_; }
  Precision precision() const override { return Precision::kExact; }
  int n_threads() const override { return 1; }
  Ops& ops() override { return ops_; }
  KvLayout kv_layout(const ModelConfig&) const override {
    return KvLayout::token_major(DType::kF32, 4, 1, 2);
  }
  std::unique_ptr<Runner> make_runner(Ops&, const LlamaModel& model, const KvStorage&,
                                      const RunnerLimits& limits) override {
    if (&model == draft)
      return std::make_unique<DraftRunner>(limits, n_draft_runs, n_draft_runs_until_broken);
    return std::make_unique<AlphabetRunner>(limits);
  }
  int64_t weight_bytes() const override { return 0; }
  HeldWeight held(WeightId) const override { return {}; }

  const LlamaModel* draft = nullptr;
  int n_draft_runs = 0;
  int n_draft_runs_until_broken = -1;

 private:
  DeviceInfo info_;
  ScalarOps ops_;
};

class EngineAnswers : public ::testing::Test {
 protected:
  EngineAnswers() : tokenizer_(test::small_spec({}, {"<eos>"})) {
    model_.config.vocab = kVocab;
    model_.config.n_layers = 1;
    model_.context = 64;
  }

  Engine engine(EngineOptions options = {}) {
    return Engine(device_, device_.ops(), model_, tokenizer_, options);
  }
  static Request request(std::string_view prompt) {
    Request made;
    made.prompt.assign(prompt.begin(), prompt.end());
    made.sampling.temperature = 0;
    made.eos = {kEos};
    return made;
  }
  template <typename Function>
  static std::string message_of(Function function, ErrorCode code) {
    try {
      function();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
      return error.what();
    }
    return "nothing was thrown";
  }

  AlphabetDevice device_;
  LlamaModel model_;
  Tokenizer tokenizer_;
};

TEST_F(EngineAnswers, EosEndsTheAnswerAndIsNoPartOfIt) {
  Engine engine = this->engine();
  const Answer answer = engine.generate(request("w"));
  EXPECT_EQ(answer.text, "xyz");
  EXPECT_THAT(answer.ids, ElementsAre('x', 'y', 'z'));
  EXPECT_EQ(answer.finish_reason, FinishReason::kStop);
  EXPECT_EQ(answer.n_prompt, 1);
  EXPECT_EQ(engine.stats().n_generated_tokens, 4) << "eos was generated as well";
}

TEST_F(EngineAnswers, SampledAnswersEndTheSameWay) {
  Engine engine = this->engine();
  Request wanted = request("w");
  wanted.sampling = {};
  EXPECT_EQ(engine.generate(wanted).text, "xyz");
  wanted.sampling.repetition_penalty = 1.3;
  wanted.sampling.temperature = 0;
  EXPECT_EQ(engine.generate(wanted).text, "xyz") << "greedy with a penalty takes the logits' way";
}

TEST_F(EngineAnswers, MaxLengthCountsThePromptAndMaxNewTokensDoesNot) {
  Engine engine = this->engine();
  Request wanted = request("abc");
  wanted.max_length = 5;
  EXPECT_EQ(engine.generate(wanted).text, "de");
  wanted.max_new_tokens = 1;
  const Answer answer = engine.generate(wanted);
  EXPECT_EQ(answer.text, "d");
  EXPECT_EQ(answer.finish_reason, FinishReason::kLength);
}

TEST_F(EngineAnswers, TheEndOfTheContextEndsTheAnswer) {
  EngineOptions options;
  options.context = 6;
  Engine engine = this->engine(options);
  const Answer answer = engine.generate(request("abc"));
  EXPECT_EQ(answer.text, "def");
  EXPECT_EQ(answer.finish_reason, FinishReason::kLength);
}

TEST_F(EngineAnswers, AStopStringEndsTheAnswerAndPiecesAddUpToTheText) {
  Engine engine = this->engine();
  Request wanted = request("a");
  wanted.stop = {"fgh", "fgz"};
  std::string pieces;
  int n_calls = 0;
  const Answer answer = engine.generate(wanted, [&](std::string_view piece) {
    pieces += piece;
    ++n_calls;
  });
  EXPECT_EQ(answer.text, "bcde");
  EXPECT_EQ(pieces, "bcde");
  EXPECT_EQ(n_calls, 7) << "once per token";
  EXPECT_EQ(answer.finish_reason, FinishReason::kStop);
}

TEST_F(EngineAnswers, WhatMightHaveBecomeAStopStringComesOutAtTheEnd) {
  Engine engine = this->engine();
  Request wanted = request("w");
  wanted.stop = {"z!"};
  std::string pieces;
  EXPECT_EQ(engine.generate(wanted, [&](std::string_view piece) { pieces += piece; }).text, "xyz");
  EXPECT_EQ(pieces, "xyz");
}

TEST_F(EngineAnswers, CancellingLeavesWhatThereIs) {
  Engine engine = this->engine();
  CancelToken cancel;
  int n_tokens = 0;
  const Answer answer = engine.generate(
      request("a"),
      [&](std::string_view) {
        if (++n_tokens == 3) cancel.cancel();
      },
      &cancel);
  EXPECT_EQ(answer.text, "bcd");
  EXPECT_EQ(answer.finish_reason, FinishReason::kCancelled);
  engine.check_integrity();
  EXPECT_EQ(engine.generate(request("x")).text, "yz") << "the engine goes on";
}

TEST_F(EngineAnswers, ACallbackMayCancelAnotherRequestOfTheSameStep) {
  Engine engine = this->engine();
  RequestId second = 0;
  const RequestId first = engine.submit(request("w"), [&](std::string_view) { engine.cancel(second); });
  second = engine.submit(request("a"));
  while (engine.step()) {
  }
  EXPECT_EQ(engine.take(first).text, "xyz");
  EXPECT_EQ(engine.take(second).finish_reason, FinishReason::kCancelled);
  engine.check_integrity();
}

TEST_F(EngineAnswers, LogitsThatAreNotFiniteEndTheirRequestAlone) {
  for (const double temperature : {0.0, 1.0}) {
    Engine engine = this->engine();
    Request broken = request("!");
    broken.sampling.temperature = temperature;
    const RequestId bad = engine.submit(broken);
    const RequestId good = engine.submit(request("w"));
    while (engine.step()) {
    }
    const Answer answer = engine.take(bad);
    EXPECT_EQ(answer.finish_reason, FinishReason::kError);
    EXPECT_THAT(answer.error, HasSubstr("not finite"));
    EXPECT_EQ(answer.error_code, ErrorCode::kDevice);
    EXPECT_EQ(engine.take(good).text, "xyz");
  }
}

TEST_F(EngineAnswers, AFailingDeviceEndsAllThatRunAndLeavesTheEngineUsable) {
  Engine engine = this->engine();
  const RequestId first = engine.submit(request("a"));
  engine.step();
  const RequestId second = engine.submit(request("?"));
  EXPECT_THROW(engine.step(), Error);
  EXPECT_EQ(engine.take(first).finish_reason, FinishReason::kError);
  EXPECT_THAT(engine.take(second).error, HasSubstr("the device is gone"));
  engine.check_integrity();
  EXPECT_THROW(engine.generate(request("?")), Error);
  EXPECT_EQ(engine.generate(request("y")).text, "z");
}

TEST_F(EngineAnswers, AFailingCallbackEndsItsRequestAndReachesTheCaller) {
  Engine engine = this->engine();
  const RequestId good = engine.submit(request("v"));
  EXPECT_THROW(engine.generate(request("a"), [](std::string_view) { throw 1; }), int);
  EXPECT_THROW(engine.generate(request("a"), [](std::string_view) { throw std::runtime_error("pipe"); }),
               std::runtime_error);
  while (engine.step()) {
  }
  EXPECT_EQ(engine.take(good).text, "wxyz");
  engine.check_integrity();
}

TEST_F(EngineAnswers, RequestsThatCannotBeAnsweredAreRefusedWithBothNumbers) {
  EngineOptions options;
  options.context = 6;
  Engine engine = this->engine(options);
  const auto refusal = [&](const Request& wanted) {
    return message_of([&] { engine.submit(wanted); }, ErrorCode::kUsage);
  };
  EXPECT_THAT(refusal(request("")), HasSubstr("no tokens"));
  EXPECT_THAT(refusal(request("abcdef")), HasSubstr("6 tokens and the context has 6"));
  Request wanted = request("abc");
  wanted.max_length = 3;
  EXPECT_THAT(refusal(wanted), HasSubstr("max_length is 3, prompt included, and the prompt has 3 tokens"));
  wanted = request("abc");
  wanted.max_new_tokens = 0;
  EXPECT_THAT(refusal(wanted), HasSubstr("max_new_tokens must be at least 1, found 0"));
  wanted = request("abc");
  wanted.prompt[1] = kVocab;
  EXPECT_THAT(refusal(wanted), HasSubstr("token 257 at position 1 is outside the vocabulary of 257"));
  wanted = request("abc");
  wanted.sampling.top_p = 2;
  EXPECT_THAT(refusal(wanted), HasSubstr("top_p"));
  EXPECT_FALSE(engine.step()) << "nothing was admitted";
}

/// The engine with guesses from its own output, whether they pay or not.
EngineOptions speculating() {
  EngineOptions options;
  options.speculation = SpeculationKind::kNgram;
  options.n_guesses = 5;
  return options;
}

TEST_F(EngineAnswers, GuessedTokensMakeTheSameAnswersInFewerSteps) {
  for (const double temperature : {0.0, 0.7}) {
    Request wanted = request("3");
    wanted.sampling.temperature = temperature;
    wanted.sampling.repetition_penalty = temperature > 0 ? 1.01 : 1.0;
    wanted.max_new_tokens = 55;
    Engine plain = this->engine();
    Engine guessing = this->engine(speculating());
    const Answer expected = plain.generate(wanted);
    const Answer answer = guessing.generate(wanted);
    EXPECT_EQ(answer.ids, expected.ids);
    EXPECT_EQ(answer.finish_reason, FinishReason::kLength);
    EXPECT_EQ(answer.timings.token_s.size(), 55U);
    EXPECT_GT(answer.n_accepted, 10);
    EXPECT_GE(answer.n_drafted, answer.n_accepted);
    EXPECT_EQ(guessing.stats().n_drafted_tokens, answer.n_drafted);
    EXPECT_EQ(guessing.stats().n_accepted_tokens, answer.n_accepted);
    EXPECT_EQ(guessing.stats().n_steps + answer.n_accepted, plain.stats().n_steps);
    EXPECT_EQ(guessing.stats().n_generated_tokens, plain.stats().n_generated_tokens);
    guessing.check_integrity();
  }
}

TEST_F(EngineAnswers, AnswersThatWereGuessedEndWhereTheyWould) {
  Engine engine = this->engine(speculating());
  Request wanted = request("5678901234567890123");
  wanted.max_length = 28;
  EXPECT_EQ(engine.generate(wanted).text, "456789012");
  wanted = request("5678901234567890123");
  wanted.stop = {"8901"};
  EXPECT_EQ(engine.generate(wanted).text, "4567");
  wanted = request("wxyzwxyzwxyzw");
  EXPECT_EQ(engine.generate(wanted).text, "xyz") << "eos comes where the prompt had w";
  wanted = request("0123456789012345");
  CancelToken cancel;
  int n_tokens = 0;
  const Answer answer = engine.generate(
      wanted,
      [&](std::string_view) {
        if (++n_tokens == 20) cancel.cancel();
      },
      &cancel);
  EXPECT_EQ(answer.finish_reason, FinishReason::kCancelled);
  EXPECT_GE(answer.ids.size(), 20U);
  engine.check_integrity();
}

TEST_F(EngineAnswers, GuessesPastLogitsThatAreNotFiniteCountForNothing) {
  for (const double temperature : {0.0, 1.0}) {
    Engine engine = this->engine(speculating());
    // What follows ")" was ")!" once: the guess "!" is right, and its own row is not finite.
    Request broken = request("%&'()!#$%&'()!#$");
    broken.sampling.temperature = temperature;
    Request repeating = request("0123");
    repeating.sampling.temperature = temperature;
    repeating.max_new_tokens = 30;
    const RequestId bad = engine.submit(broken);
    const RequestId good = engine.submit(repeating);
    while (engine.step()) engine.check_integrity();
    const Answer answer = engine.take(bad);
    EXPECT_EQ(answer.text, "%&'()!");
    EXPECT_EQ(answer.finish_reason, FinishReason::kError);
    EXPECT_THAT(answer.error, HasSubstr("not finite"));
    EXPECT_EQ(engine.take(good).text, "456789012345678901234567890123");
  }
}

TEST_F(EngineAnswers, AFullCachePreemptsAndTheAnswersStayTheSame) {
  EngineOptions options = speculating();
  options.context = 32;
  options.n_pages = 10;
  options.max_sequences = 4;
  options.reuse_prefixes = true;
  Engine engine = this->engine(options);
  std::vector<RequestId> ids;
  for (int i = 0; i < 6; ++i) {
    Request wanted = request("0123456");
    wanted.sampling.temperature = i % 2 == 0 ? 0.0 : 0.7;
    ids.push_back(engine.submit(wanted));
  }
  while (engine.step()) engine.check_integrity();
  for (const RequestId id : ids) {
    const Answer answer = engine.take(id);
    EXPECT_EQ(answer.text, "7890123456789012345678901");
    EXPECT_EQ(answer.finish_reason, FinishReason::kLength);
  }
  EXPECT_GT(engine.stats().n_preemptions, 0);
  EXPECT_GT(engine.stats().n_accepted_tokens, 0);
}

TEST_F(EngineAnswers, ADraftModelOfAnotherVocabularyIsRefused) {
  LlamaModel draft;
  draft.config.vocab = 300;
  draft.config.n_layers = 1;
  draft.context = 64;
  EngineOptions options;
  options.speculation = SpeculationKind::kDraft;
  options.draft = &draft;
  options.n_guesses = 3;
  EXPECT_THAT(message_of([&] { this->engine(options); }, ErrorCode::kUsage),
              HasSubstr("its vocabulary has 300 tokens, the model's has 257"));
  draft.config.vocab = kVocab;
  Engine engine = this->engine(options);
  Request wanted = request("3");
  wanted.max_new_tokens = 55;
  const Answer answer = engine.generate(wanted);
  EXPECT_EQ(answer.text.substr(0, 9), "456789012");
  EXPECT_EQ(answer.n_accepted, answer.n_drafted) << "the draft is the model itself";
  EXPECT_GT(answer.n_accepted, 0);
}

/// The engine with guesses of a draft model that `device` plays.
EngineOptions drafting(AlphabetDevice& device, LlamaModel& draft) {
  draft.config.vocab = kVocab;
  draft.config.n_layers = 1;
  draft.context = 64;
  device.draft = &draft;
  EngineOptions options;
  options.speculation = SpeculationKind::kDraft;
  options.draft = &draft;
  options.n_guesses = 3;
  return options;
}

TEST_F(EngineAnswers, ADraftModelThatBreaksCostsNoAnswerAndIsSaid) {
  LlamaModel draft;
  const EngineOptions options = drafting(device_, draft);
  device_.n_draft_runs_until_broken = 4;
  Engine plain = this->engine();
  Engine engine = this->engine(options);
  Request wanted = request("3");
  wanted.max_new_tokens = 40;
  const RequestId first = engine.submit(wanted), second = engine.submit(request("b"));
  while (engine.step()) engine.check_integrity();
  EXPECT_EQ(engine.take(first).ids, plain.generate(wanted).ids);
  EXPECT_EQ(engine.take(second).text, "cdefghijklmnopqrstuvwxyz");
  EXPECT_THAT(engine.stats().speculation_fault, HasSubstr("the draft model broke"));
  EXPECT_EQ(device_.n_draft_runs, 4) << "it was asked no more";
  EXPECT_EQ(engine.stats().kv_bytes, plain.stats().kv_bytes) << "its cache was given back";
  EXPECT_EQ(plain.stats().speculation_fault, "");
}

TEST_F(EngineAnswers, ADraftModelsTimeAndCacheCount) {
  LlamaModel draft;
  Engine engine = this->engine(drafting(device_, draft));
  Engine plain = this->engine();
  EXPECT_EQ(engine.stats().kv_bytes, 2 * plain.stats().kv_bytes) << "it has the model's own shape";
  Request wanted = request("3");
  wanted.max_new_tokens = 30;
  EXPECT_GT(engine.generate(wanted).n_accepted, 0);
  const std::chrono::duration<double> drafted = device_.n_draft_runs * DraftRunner::kTime;
  EXPECT_GT(device_.n_draft_runs, 10);
  EXPECT_GE(engine.stats().decode_s, drafted.count());
}

TEST_F(EngineAnswers, TimesAreInOrderAndOnePerToken) {
  Engine engine = this->engine();
  const Answer answer = engine.generate(request("t"));
  const RequestTimings& timings = answer.timings;
  ASSERT_EQ(timings.token_s.size(), answer.ids.size());
  EXPECT_GE(timings.queued_s, 0);
  EXPECT_LE(timings.queued_s, timings.ttft_s);
  EXPECT_EQ(timings.ttft_s, timings.token_s.front());
  EXPECT_TRUE(std::is_sorted(timings.token_s.begin(), timings.token_s.end()));
  EXPECT_LE(timings.token_s.back(), timings.total_s);
}

TEST_F(EngineAnswers, LongPromptsAreTakenInChunksAndMoreRequestsThanFitWaitTheirTurn) {
  EngineOptions options;
  options.max_sequences = 2;
  options.max_step_rows = 5;
  Engine engine = this->engine(options);
  std::vector<RequestId> ids;
  for (int i = 0; i < 7; ++i) ids.push_back(engine.submit(request("aaaaaaaaaaaaaaaaaaaaaaaaaaaaau")));
  while (engine.step()) engine.check_integrity();
  for (const RequestId id : ids) EXPECT_EQ(engine.take(id).text, "vwxyz");
  EXPECT_EQ(engine.stats().n_prompt_tokens, 7 * 30);
  EXPECT_GE(engine.stats().n_steps, 7 * 30 / 5);
}

TEST_F(EngineAnswers, ScoreGivesEveryPositionOnceInOrder) {
  EngineOptions options;
  options.max_step_rows = 8;
  options.max_sequences = 3;
  Engine engine = this->engine(options);
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 30; ++i) ids.push_back('a' + i % 20);
  int64_t next = 0;
  engine.score(ids, [&](int64_t first, int64_t n_rows, const float* logits) {
    EXPECT_EQ(first, next);
    for (int64_t i = 0; i < n_rows; ++i) {
      EXPECT_EQ(logits[i * kVocab + ids[static_cast<size_t>(first + i)] + 1], 100.0F);
    }
    next += n_rows;
  });
  EXPECT_EQ(next, 30);
  engine.check_integrity();
  EXPECT_THAT(message_of([&] { engine.score(std::vector<int32_t>(65, 'a'), {}); }, ErrorCode::kUsage),
              HasSubstr("65 tokens, the context has 64"));
}

TEST_F(EngineAnswers, ScoresOfTheEndOfATextUseWhatAnotherBeganWith) {
  EngineOptions options;
  options.max_step_rows = 8;
  options.reuse_prefixes = true;
  Engine engine = this->engine(options);
  const auto score_last_two = [&](std::vector<int32_t> ids) {
    int64_t next = static_cast<int64_t>(ids.size()) - 2;
    const int64_t n_before = engine.stats().n_prompt_tokens;
    engine.score_from(ids, next, [&](int64_t first, int64_t n_rows, const float* logits) {
      EXPECT_EQ(first, next) << "no position before those asked for";
      for (int64_t i = 0; i < n_rows; ++i) {
        EXPECT_EQ(logits[i * kVocab + ids[static_cast<size_t>(first + i)] + 1], 100.0F);
      }
      next += n_rows;
    });
    EXPECT_EQ(next, static_cast<int64_t>(ids.size()));
    engine.check_integrity();
    return engine.stats().n_prompt_tokens - n_before;
  };
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 40; ++i) ids.push_back('a' + i % 20);
  EXPECT_EQ(score_last_two(ids), 40);
  const int64_t n_again = score_last_two(ids);
  EXPECT_LT(n_again, 40);
  EXPECT_GE(n_again, 2);
  ids.back() = 'z' - 2;
  EXPECT_EQ(score_last_two(ids), n_again);
}

TEST_F(EngineAnswers, ARepeatedConversationIsFoundInTheCacheWhereThatIsAskedFor) {
  for (const bool reuses : {false, true}) {
    EngineOptions options;
    options.reuse_prefixes = reuses;
    Engine engine = this->engine(options);
    const Answer first = engine.generate(request("abcdefgs"));
    EXPECT_EQ(first.n_reused, 0);
    const Answer second = engine.generate(request("abcdefgstuvwxyzt"));
    EXPECT_EQ(second.text, "uvwxyz");
    EXPECT_EQ(second.n_reused, reuses ? 12 : 0) << "pages of 4, the last token is always computed";
  }
}

}  // namespace
}  // namespace chaski
