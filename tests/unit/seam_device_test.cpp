// The seam between the program and a device, proven on a device that shares nothing with the CPU backend.
#include <gtest/gtest.h>

#include "backend/cpu/cpu_backend.h"
#include "engine/engine.h"
#include "ops/fallback_ops.h"
#include "ops/lockstep_ops.h"
#include "ops/trace_ops.h"
#include "support/isolated_device.h"
#include "support/load_tokenizer.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace chaski {
namespace {

using testing::IsolatedDevice;

const std::vector<std::string>& five_questions() {
  static const std::vector<std::string> kQuestions{"请介绍一下你自己", "写一个Python函数计算斐波那契数列",
                                                   "中国的首都是哪里?", "请解释一下机器学习是什么",
                                                   "1+2+3+4+5等于多少?"};
  return kQuestions;
}

/// The tiny synthetic model, its tokenizer and template.
struct Fixture {
  std::shared_ptr<const Checkpoint> checkpoint = Checkpoint::open("synthetic:tiny@f32");
  Tokenizer tokenizer = tests::load_tokenizer(*checkpoint);

  Request question(const std::string& text, double temperature) const {
    const ChatTemplate chat(checkpoint->chat_template(), "<|begin_of_text|>", "<|eot_id|>");
    const auto messages = OrderedJson::parse(R"([{"role":"user"}])");
    OrderedJson asked = messages;
    asked[0]["content"] = text;
    const RenderedPrompt prompt = chat.render(asked);
    Request request;
    request.prompt = tokenizer.encode_rendered(prompt.text, prompt.user_spans);
    request.sampling.temperature = temperature;
    request.sampling.top_k = 50;
    request.sampling.repetition_penalty = 1.1;
    request.sampling.seed = 7;
    request.max_new_tokens = 8;
    return request;
  }
};

struct Outcome {
  std::vector<std::vector<int32_t>> ids;
  int64_t n_steps = 0;
  bool operator==(const Outcome&) const = default;
};

/// The five questions, all at once; two greedy, three sampled.
Outcome ask_all(const Fixture& fixture, Device& device, Ops& ops) {
  const LlamaModel model = load_llama(*fixture.checkpoint, ops, 256);
  EngineOptions options;
  options.context = 256;
  options.max_sequences = 5;
  options.max_step_rows = 32;
  Engine engine(device, ops, model, fixture.tokenizer, options);
  std::vector<RequestId> requests;
  for (size_t i = 0; i < five_questions().size(); ++i) {
    requests.push_back(engine.submit(fixture.question(five_questions()[i], i < 2 ? 0.0 : 0.7)));
  }
  while (engine.step()) engine.check_integrity();
  Outcome outcome;
  for (const RequestId id : requests) outcome.ids.push_back(engine.take(id).ids);
  outcome.n_steps = engine.stats().n_steps;
  return outcome;
}

void expect_no_traffic_inside_steps(IsolatedDevice& device, int64_t n_steps) {
  const chaski::testing::StepTraffic& traffic = device.isolated_ops().isolated_memory().traffic();
  EXPECT_EQ(traffic.allocations, 0);
  EXPECT_EQ(traffic.copies_in, 0);
  EXPECT_EQ(traffic.waits, n_steps);
}

/// What the isolated device answers with nothing between it and the engine; what all else must equal.
const Outcome& plain_outcome(const Fixture& fixture) {
  static const Outcome kOutcome = [&fixture] {
    IsolatedDevice device;
    return ask_all(fixture, device, device.ops());
  }();
  return kOutcome;
}

TEST(Seam, AStrayAccessToDeviceMemoryFaults) {
  IsolatedDevice device;
  const Buffer buffer = device.ops().memory().allocate(64, "a test");
  EXPECT_DEATH({ *static_cast<volatile float*>(buffer.data()) = 1; }, "");
}

TEST(Seam, FiveQuestionsRunOnADeviceOfItsOwnWithoutAllocationOrCopyInsideAStep) {
  const Fixture fixture;
  IsolatedDevice device;
  const Outcome outcome = ask_all(fixture, device, device.ops());
  for (const auto& ids : outcome.ids) EXPECT_FALSE(ids.empty());
  expect_no_traffic_inside_steps(device, outcome.n_steps);
}

TEST(Seam, TheCpuBackendGivesTheSameTextAsTheDevice) {
  const Fixture fixture;
  const CpuBackend backend;
  DeviceOptions options;
  options.precision = Precision::kExact;
  options.n_threads = 2;
  const std::unique_ptr<Device> cpu = backend.open(0, options);
  EXPECT_EQ(ask_all(fixture, *cpu, cpu->ops()).ids, plain_outcome(fixture).ids);
}

TEST(Seam, ACapturedRunnerReplaysDecodeStepsAndGivesTheSameText) {
  const Fixture fixture;
  IsolatedDevice device;
  device.captures = true;
  const LlamaModel model = load_llama(*fixture.checkpoint, device.ops(), 256);
  EngineOptions options;
  options.context = 256;
  Engine engine(device, device.ops(), model, fixture.tokenizer, options);
  ASSERT_EQ(engine.runner().name(), "captured");
  EXPECT_EQ(engine.runner().why_not_faster(), "");
  const Outcome& plain = plain_outcome(fixture);
  for (size_t i = 0; i < five_questions().size(); ++i) {
    const Answer answer = engine.generate(fixture.question(five_questions()[i], i < 2 ? 0.0 : 0.7));
    EXPECT_EQ(answer.ids, plain.ids[i]) << five_questions()[i];
  }
  // All generated tokens but each answer's first came from replays.
  const auto& runner = static_cast<const CapturedRunner&>(engine.runner());
  EXPECT_GE(runner.n_replays(),
            engine.stats().n_generated_tokens - 2 * static_cast<int64_t>(five_questions().size()));
  expect_no_traffic_inside_steps(device, engine.stats().n_steps);
}

TEST(Seam, StepsAreCapturedThroughTheFallbackDecoratorWhileNothingIsMissing) {
  const Fixture fixture;
  for (const bool has_all : {true, false}) {
    IsolatedDevice device;
    device.captures = true;
    if (!has_all) device.isolated_ops().switch_off(OpKind::kSwiglu);
    ScalarOps host;
    FallbackOps ops(device.ops(), host);
    const LlamaModel model = load_llama(*fixture.checkpoint, ops, 256);
    EngineOptions options;
    options.context = 256;
    Engine engine(device, ops, model, fixture.tokenizer, options);
    EXPECT_EQ(engine.runner().name(), has_all ? "captured" : "eager");
    EXPECT_EQ(engine.runner().why_not_faster().empty(), has_all);
    EXPECT_EQ(engine.generate(fixture.question(five_questions()[0], 0)).ids, plain_outcome(fixture).ids[0]);
    EXPECT_EQ(ops.n_fallbacks() == 0, has_all);
  }
}

/// A device that lacks one format, which a model uses for one of three matrices of a fused op.
TEST(Seam, AFusedOpWithOneUnsupportedWeightRunsAsItsPrimitives) {
  struct LacksF16 : testing::IsolatedOps {
    OpSupport supports(const OpQuery& query) const override {
      return query.weight == DType::kF16 ? OpSupport{"no f16"} : OpSupport{};
    }
  } device;
  ScalarOps host;
  FallbackOps ops(device, host);
  const std::vector<float> ones(64, 1.0f);
  const auto add = [&](DType dtype, Shape shape) {
    return ops.add_weight(HostWeight::from_f32("w", shape, std::span(ones).first(shape.n_elements()), dtype));
  };
  const GateUpWeights weights{add(DType::kF32, {8}), add(DType::kF16, {8, 8}), add(DType::kF32, {8, 8})};
  Buffer x = ops.memory().allocate(32, "x");
  Buffer h = ops.memory().allocate(32, "h");
  ops.memory().copy_in(x.data(), ones.data(), 32);
  Workspace ws(ops.memory(), 4096);
  ops.norm_gate_up_swiglu({x.data(), DType::kF32, {1, 8}}, weights, 0, {h.data(), DType::kF32, {1, 8}}, ws);
  std::vector<float> result(8);
  ops.memory().copy_out(result.data(), h.data(), 32);
  EXPECT_FLOAT_EQ(result[0], 64 / (1 + std::exp(-8.0f)));
  ASSERT_EQ(ops.counts().size(), 1u);
  EXPECT_EQ(ops.counts()[0].op, OpKind::kLinear);
  EXPECT_EQ(ops.counts()[0].calls, 1);
}

class SwitchedOff : public ::testing::TestWithParam<OpKind> {};

TEST_P(SwitchedOff, FallsBackWithTheSameTextAndTheExactCount) {
  const Fixture fixture;
  const OpKind kind = GetParam();
  IsolatedDevice device;
  device.isolated_ops().switch_off(kind);
  ScalarOps host;
  FallbackOps ops(device.ops(), host);
  const Outcome outcome = ask_all(fixture, device, ops);
  EXPECT_EQ(outcome, plain_outcome(fixture));

  const ModelConfig& c = fixture.checkpoint->config();
  const int64_t layers = c.n_layers * outcome.n_steps;
  int64_t steps_with_outputs = 0;  // counted on a device of its own, by its head's calls
  {
    IsolatedDevice counted;
    TraceOps trace(counted.ops());
    ask_all(fixture, counted, trace);
    for (const TraceRow& row : trace.rows()) {
      if (row.op == OpKind::kNormHead) steps_with_outputs += row.calls;  // a row for each shape
    }
  }
  const std::map<OpKind, int64_t> expected{{OpKind::kEmbed, outcome.n_steps},
                                           {OpKind::kRmsNorm, 2 * layers + steps_with_outputs},
                                           {OpKind::kLinear, 7 * layers + steps_with_outputs},
                                           {OpKind::kRopeAppend, layers},
                                           {OpKind::kAttention, layers},
                                           {OpKind::kSwiglu, layers},
                                           {OpKind::kAdd, 2 * layers},
                                           {OpKind::kGatherRows, steps_with_outputs},
                                           {OpKind::kArgmaxRows, steps_with_outputs}};
  ASSERT_EQ(ops.counts().size(), 1u);
  EXPECT_EQ(ops.counts()[0].op, kind);
  EXPECT_EQ(ops.counts()[0].reason, "switched off");
  EXPECT_EQ(ops.counts()[0].calls, expected.at(kind));
  EXPECT_GT(ops.counts()[0].bytes, 0);
}

INSTANTIATE_TEST_SUITE_P(EachPrimitive, SwitchedOff,
                         ::testing::Values(OpKind::kEmbed, OpKind::kRmsNorm, OpKind::kLinear,
                                           OpKind::kRopeAppend, OpKind::kAttention, OpKind::kSwiglu,
                                           OpKind::kAdd, OpKind::kGatherRows, OpKind::kArgmaxRows),
                         [](const auto& tested) { return std::string(name_of(tested.param)); });

TEST(Seam, StrictMakesAFallbackAnErrorNamingTheOp) {
  const Fixture fixture;
  IsolatedDevice device;
  device.isolated_ops().switch_off(OpKind::kAttention);
  ScalarOps host;
  FallbackOps ops(device.ops(), host, true);
  try {
    ask_all(fixture, device, ops);
    FAIL() << "a strict run fell back";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_NE(std::string(error.what()).find("attention"), std::string::npos);
  }
}

TEST(Seam, LockstepPassesASoundDevice) {
  const Fixture fixture;
  IsolatedDevice device;
  ScalarOps reference;
  LockstepOps ops(device.ops(), reference);
  EXPECT_EQ(ask_all(fixture, device, ops), plain_outcome(fixture));
  EXPECT_GT(ops.n_compared(), 100);
}

TEST(Seam, LockstepNamesAPlantedWrongOp) {
  const Fixture fixture;
  for (const auto& [kind, nth, expected] : std::vector<std::tuple<OpKind, int64_t, std::string>>{
           {OpKind::kAttention, 1, "layer 1, op attention"},
           {OpKind::kSwiglu, 0, "layer 0, op norm_gate_up_swiglu"},
           {OpKind::kAdd, 3, "model.layers.1.mlp.down_proj.weight"}}) {
    IsolatedDevice device;
    device.isolated_ops().plant_fault(kind, nth);
    ScalarOps reference;
    LockstepOps ops(device.ops(), reference);
    try {
      ask_all(fixture, device, ops);
      ADD_FAILURE() << "the planted " << name_of(kind) << " was not found";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(expected), std::string::npos) << error.what();
      EXPECT_NE(std::string(error.what()).find("row 0, column 0"), std::string::npos) << error.what();
    }
  }
}

}  // namespace
}  // namespace chaski
