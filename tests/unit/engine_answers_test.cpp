// What a request becomes: limits, ends, errors, timings. The model is played by a runner whose next token
// depends on the last one only, so that every answer can be written down here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

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
/// device.
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
      const int32_t next = token == 'z' ? kEos : token + 1;
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
  RunnerLimits limits_;
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
  std::unique_ptr<Runner> make_runner(Ops&, const LlamaModel&, const KvStorage&,
                                      const RunnerLimits& limits) override {
    return std::make_unique<AlphabetRunner>(limits);
  }
  int64_t weight_bytes() const override { return 0; }

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
