// The engine over a real forward pass: an answer does not depend on what runs beside it, on threads, on
// preemption or on what the cache held.
#include <gtest/gtest.h>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/dispatch.h"
#include "engine/engine.h"
#include "format/synthetic.h"
#include "unit/text_vocab.h"

namespace chaski {
namespace {

/// A device with the tiny model on it.
struct Loaded {
  explicit Loaded(Precision precision, int n_threads, const std::string& isa = {}, int64_t context = 256)
      : device(CpuBackend().open(0, options_of(precision, n_threads, isa))),
        model(load_llama(*open_synthetic("tiny"), device->ops(), context)),
        tokenizer(test::small_spec({}, {})) {}
  static DeviceOptions options_of(Precision precision, int n_threads, const std::string& isa) {
    DeviceOptions options;
    options.isa = isa;
    options.precision = precision;
    options.n_threads = n_threads;
    return options;
  }
  Engine engine(const EngineOptions& options) {
    return Engine(*device, device->ops(), model, tokenizer, options);
  }

  std::unique_ptr<Device> device;
  LlamaModel model;
  Tokenizer tokenizer;
};

/// Four unlike requests: sampled, with filters and penalties, greedy, and one with a long prompt.
std::vector<Request> requests() {
  std::vector<Request> made(4);
  for (size_t i = 0; i < made.size(); ++i) {
    const size_t n_prompt = i == 3 ? 150 : 50 + 3 * i;
    for (size_t j = 0; j < n_prompt; ++j) made[i].prompt.push_back(static_cast<int32_t>((j * 37 + i) % 256));
    made[i].sampling.seed = 7;
    made[i].sampling.sample = i;
    made[i].max_new_tokens = 30;
  }
  made[1].sampling.temperature = 0.7;
  made[1].sampling.top_k = 50;
  made[1].sampling.top_p = 0.9;
  made[1].sampling.repetition_penalty = 1.1;
  made[2].sampling.temperature = 0;
  return made;
}

std::vector<std::vector<int32_t>> answers_alone(Loaded& loaded) {
  std::vector<std::vector<int32_t>> answers;
  for (const Request& request : requests()) {
    Engine engine = loaded.engine({256, 1, 256, 0, false});
    answers.push_back(engine.generate(request).ids);
    EXPECT_EQ(answers.back().size(), 30U);
  }
  return answers;
}

std::vector<std::vector<int32_t>> answers_together(Engine& engine) {
  std::vector<RequestId> ids;
  for (const Request& request : requests()) ids.push_back(engine.submit(request));
  while (engine.step()) engine.check_integrity();
  std::vector<std::vector<int32_t>> answers;
  for (const RequestId id : ids) answers.push_back(engine.take(id).ids);
  return answers;
}

class EngineOnCpu : public ::testing::TestWithParam<Precision> {};

TEST_P(EngineOnCpu, TheSameSeedGivesTheSameTokensAloneAndInABatchAtOneAndTwoThreads) {
  Loaded one(GetParam(), 1);
  Loaded two(GetParam(), 2);
  const std::vector<std::vector<int32_t>> expected = answers_alone(one);
  EXPECT_EQ(answers_alone(two), expected);
  for (Loaded* loaded : {&one, &two}) {
    Engine engine = loaded->engine({256, 4, 256, 0, false});
    EXPECT_EQ(answers_together(engine), expected);
  }
}

TEST_P(EngineOnCpu, ChunksPreemptionAndReusedPagesChangeNoToken) {
  Loaded loaded(GetParam(), 2);
  const std::vector<std::vector<int32_t>> expected = answers_alone(loaded);
  Engine chunked = loaded.engine({256, 4, 7, 0, false});
  EXPECT_EQ(answers_together(chunked), expected);

  const int64_t page_tokens = loaded.device->kv_layout(loaded.model.config).page_tokens;
  EngineOptions tight{256, 4, 32, static_cast<int32_t>(256 / page_tokens), true};
  Engine engine = loaded.engine(tight);
  EXPECT_EQ(answers_together(engine), expected);
  EXPECT_GT(engine.stats().n_preemptions, 0);
  EXPECT_EQ(answers_together(engine), expected) << "a second time, with what the cache kept";
}

TEST_P(EngineOnCpu, AConversationThatGoesOnIsTheSameWithAndWithoutTheCache) {
  Loaded loaded(GetParam(), 2);
  Engine fresh = loaded.engine({256, 1, 256, 0, false});
  Engine keeping = loaded.engine({256, 1, 256, 0, true});
  Request request = requests()[3];
  for (int turn = 0; turn < 2; ++turn) {
    const Answer expected = fresh.generate(request);
    const Answer answer = keeping.generate(request);
    EXPECT_EQ(answer.ids, expected.ids);
    EXPECT_EQ(answer.n_reused > 0, turn > 0) << answer.n_reused;
    request.prompt.insert(request.prompt.end(), answer.ids.begin(), answer.ids.end());
    request.prompt.push_back(65);
  }
}

TEST_P(EngineOnCpu, ScoresAreTheLogitsThatDecodingSees) {
  Loaded loaded(GetParam(), 2);
  Engine engine = loaded.engine({256, 2, 64, 0, false});
  Request request = requests()[2];
  const Answer answer = engine.generate(request);
  std::vector<int32_t> ids = request.prompt;
  ids.insert(ids.end(), answer.ids.begin(), answer.ids.end());
  const int64_t vocab = loaded.model.config.vocab;
  int64_t n_checked = 0;
  engine.score(ids, [&](int64_t first, int64_t n_rows, const float* logits) {
    for (int64_t i = 0; i < n_rows; ++i) {
      const int64_t position = first + i + 1;
      if (position < answer.n_prompt || position >= static_cast<int64_t>(ids.size())) continue;
      const float* row = logits + i * vocab;
      EXPECT_EQ(std::max_element(row, row + vocab) - row, ids[static_cast<size_t>(position)]) << position;
      ++n_checked;
    }
  });
  EXPECT_EQ(n_checked, 30);
}

/// Short prompts, half of them repeating themselves, at temperature 0 and 0.7.
std::vector<Request> short_requests() {
  std::vector<Request> made(4);
  for (size_t i = 0; i < made.size(); ++i) {
    const size_t period = i < 2 ? 5 : 1000;
    for (size_t j = 0; j < 16 + i; ++j) {
      made[i].prompt.push_back(static_cast<int32_t>((j % period * 29 + i) % 256));
    }
    made[i].sampling.temperature = i % 2 == 0 ? 0 : 0.7;
    made[i].sampling.sample = i;
    made[i].max_new_tokens = 16;
  }
  made[3].sampling.repetition_penalty = 1.2;
  made[3].sampling.frequency_penalty = 0.1;
  return made;
}

std::vector<std::vector<int32_t>> short_answers(Engine& engine) {
  std::vector<RequestId> ids;
  for (const Request& request : short_requests()) ids.push_back(engine.submit(request));
  while (engine.step()) engine.check_integrity();
  std::vector<std::vector<int32_t>> answers;
  for (const RequestId id : ids) answers.push_back(engine.take(id).ids);
  return answers;
}

TEST(EngineSpeculation, ChangesNoTokenOnAnyPathWithAnyBatchChunkAndThreads) {
  struct Shape {
    int32_t n_sequences, chunk;
  };
  constexpr Shape kShapes[] = {{1, 512}, {1, 1}, {2, 7}, {8, 512}, {8, 1}};
  for (const cpu::KernelTable* kernels : cpu::available_kernels()) {
    std::vector<std::vector<int32_t>> expected;
    int64_t n_accepted = 0;
    for (const int n_threads : {1, 2, 4}) {
      Loaded loaded(Precision::kFast, n_threads, std::string(kernels->isa));
      for (const Shape shape : kShapes) {
        for (const SpeculationKind kind :
             {SpeculationKind::kOff, SpeculationKind::kNgram, SpeculationKind::kDraft}) {
          EngineOptions options{64, shape.n_sequences, shape.chunk, 0, false};
          options.speculation = kind;
          options.draft = &loaded.model;
          options.n_guesses = 3;
          Engine engine = loaded.engine(options);
          const std::vector<std::vector<int32_t>> answers = short_answers(engine);
          if (expected.empty()) expected = answers;
          ASSERT_EQ(answers, expected)
              << kernels->isa << ", threads " << n_threads << ", sequences " << shape.n_sequences
              << ", chunks of " << shape.chunk << ", speculation " << name_of(kind);
          n_accepted += engine.stats().n_accepted_tokens;
        }
      }
    }
    EXPECT_GT(n_accepted, 100) << kernels->isa;
  }
}

TEST(EngineSpeculation, ChangesNoTokenWhereAttentionGoesPieceByPiece) {
  Request request;
  for (int32_t j = 0; j < 2 * cpu::kPieceTokens - 12; ++j) request.prompt.push_back(j % 7 * 29 + j / 100);
  request.sampling.temperature = 0;
  request.max_new_tokens = 96;
  for (const cpu::KernelTable* kernels : cpu::available_kernels()) {
    Loaded loaded(Precision::kFast, 2, std::string(kernels->isa), 640);
    std::vector<int32_t> expected;
    for (const SpeculationKind kind :
         {SpeculationKind::kOff, SpeculationKind::kNgram, SpeculationKind::kDraft}) {
      EngineOptions options{640, 1, 256, 0, false};
      options.speculation = kind;
      options.draft = &loaded.model;
      options.n_guesses = 5;
      Engine engine = loaded.engine(options);
      const Answer answer = engine.generate(request);
      if (expected.empty()) expected = answer.ids;
      ASSERT_EQ(answer.ids.size(), 96U);
      EXPECT_EQ(answer.ids, expected) << kernels->isa << ", " << name_of(kind);
      EXPECT_EQ(answer.n_drafted > 0, kind != SpeculationKind::kOff);
      EXPECT_TRUE(kind != SpeculationKind::kDraft || answer.n_accepted > 20) << answer.n_accepted;
    }
  }
}

TEST(EngineSpeculation, SurvivesPreemptionAndReusedPages) {
  Loaded loaded(Precision::kFast, 2);
  const std::vector<std::vector<int32_t>> expected = answers_alone(loaded);
  const int64_t page_tokens = loaded.device->kv_layout(loaded.model.config).page_tokens;
  for (const SpeculationKind kind : {SpeculationKind::kNgram, SpeculationKind::kDraft}) {
    EngineOptions options{256, 4, 32, static_cast<int32_t>(192 / page_tokens), true};
    options.speculation = kind;
    options.draft = &loaded.model;
    options.n_guesses = 4;
    Engine engine = loaded.engine(options);
    for (int turn = 0; turn < 2; ++turn) EXPECT_EQ(answers_together(engine), expected);
    EXPECT_GT(engine.stats().n_preemptions, 0);
    EXPECT_GT(engine.stats().n_drafted_tokens, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, EngineOnCpu, ::testing::Values(Precision::kExact, Precision::kFast),
                         [](const auto& tested) { return std::string(name_of(tested.param)); });

}  // namespace
}  // namespace chaski
