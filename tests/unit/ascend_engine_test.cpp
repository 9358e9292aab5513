// The five questions on an emulated Ascend device: the same text as elsewhere, captured or not, with
// operators missing or refused, and after faults.
#include <gmock/gmock.h>

#include "ascend_fixture.h"
#include "backend/cpu/cpu_backend.h"
#include "engine/engine.h"
#include "ops/fallback_ops.h"
#include "ops/trace_ops.h"
#include "support/load_tokenizer.h"
#include "text/chat_template.h"

namespace chaski {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using tests::EmulatedDevice;
using tests::profile_captures;

const std::vector<std::string>& five_questions() {
  static const std::vector<std::string> kQuestions{"请介绍一下你自己", "写一个Python函数计算斐波那契数列",
                                                   "中国的首都是哪里?", "请解释一下机器学习是什么",
                                                   "1+2+3+4+5等于多少?"};
  return kQuestions;
}

/// The tiny synthetic model, its tokenizer and template.
struct Fixture {
  std::shared_ptr<const Checkpoint> checkpoint = Checkpoint::open("synthetic:tiny@f16");
  Tokenizer tokenizer = tests::load_tokenizer(*checkpoint);

  Request question(size_t index) const {
    const ChatTemplate chat(checkpoint->chat_template(), "<|begin_of_text|>", "<|eot_id|>");
    OrderedJson asked = OrderedJson::parse(R"([{"role":"user"}])");
    asked[0]["content"] = five_questions()[index];
    const RenderedPrompt prompt = chat.render(asked);
    Request request;
    request.prompt = tokenizer.encode_rendered(prompt.text, prompt.user_spans);
    request.sampling.temperature = 0;
    request.max_new_tokens = 8;
    return request;
  }
  static EngineOptions options(SpeculationKind speculation = SpeculationKind::kOff) {
    EngineOptions options;
    options.context = 384;
    options.max_sequences = 5;
    options.max_step_rows = 64;
    options.speculation = speculation;
    return options;
  }
};

struct Outcome {
  std::vector<std::vector<int32_t>> ids;
  int64_t n_steps = 0;
};

Outcome ask_all(const Fixture& fixture, Device& device, Ops& ops,
                SpeculationKind speculation = SpeculationKind::kOff) {
  const LlamaModel model = load_llama(*fixture.checkpoint, ops, 384);
  Engine engine(device, ops, model, fixture.tokenizer, Fixture::options(speculation));
  std::vector<RequestId> requests;
  for (size_t i = 0; i < five_questions().size(); ++i) requests.push_back(engine.submit(fixture.question(i)));
  while (engine.step()) engine.check_integrity();
  Outcome outcome;
  for (const RequestId id : requests) outcome.ids.push_back(engine.take(id).ids);
  outcome.n_steps = engine.stats().n_steps;
  return outcome;
}

/// How far apart the largest two of `logits` are.
float margin_of(const float* logits, int64_t n) {
  std::vector<float> all(logits, logits + n);
  std::nth_element(all.begin(), all.begin() + 1, all.end(), std::greater<>());
  return all[0] - all[1];
}

/// Whether `ids` is what f32 arithmetic would have chosen wherever its first two choices are further apart
/// than `rounding`. Counts what was compared.
void expect_greedy(Engine& exact, const std::vector<int32_t>& prompt, const std::vector<int32_t>& ids,
                   float rounding, int64_t& n_clear) {
  std::vector<int32_t> text = prompt;
  text.insert(text.end(), ids.begin(), ids.end());
  const auto first = static_cast<int64_t>(prompt.size()) - 1;
  exact.score_from(text, first, [&](int64_t position, int64_t n_rows, const float* logits) {
    for (int64_t i = 0; i < n_rows; ++i) {
      const int64_t next = position + i + 1;
      if (next >= static_cast<int64_t>(text.size())) continue;
      const float* row = logits + i * exact.vocab();
      if (margin_of(row, exact.vocab()) <= rounding) continue;
      ++n_clear;
      EXPECT_EQ(std::max_element(row, row + exact.vocab()) - row, text[static_cast<size_t>(next)])
          << "at " << next;
    }
  });
}

TEST(AscendEngine, TheFiveQuestionsAreAnsweredAsF32ArithmeticWouldWhereverThatIsClear) {
  const Fixture fixture;
  DeviceOptions exact;
  exact.precision = Precision::kExact;
  exact.n_threads = 2;
  const std::unique_ptr<Device> cpu = CpuBackend().open(0, exact);
  const LlamaModel model = load_llama(*fixture.checkpoint, cpu->ops(), 384);
  Engine engine(*cpu, cpu->ops(), model, fixture.tokenizer, Fixture::options());
  for (const std::string activations : {"f16", "bf16"}) {
    EmulatedDevice card(activations);
    const Outcome outcome = ask_all(fixture, card.device(), card.ops());
    int64_t n_clear = 0, n_all = 0;
    for (size_t i = 0; i < outcome.ids.size(); ++i) {
      n_all += static_cast<int64_t>(outcome.ids[i].size());
      expect_greedy(engine, fixture.question(i).prompt, outcome.ids[i], activations == "f16" ? 0.02f : 0.15f,
                    n_clear);
    }
    EXPECT_GT(2 * n_clear, n_all) << activations;
    EXPECT_EQ(card.counters().hidden_copies, 0);
    EXPECT_EQ(card.counters().ai_cpu_launches, 0);
  }
}

TEST(AscendEngine, EagerCapturedAndSpeculativeStepsGiveTheSameText) {
  const Fixture fixture;
  std::vector<std::vector<int32_t>> expected;
  {
    EmulatedDevice card("f16", "eager");
    expected = ask_all(fixture, card.device(), card.ops()).ids;
  }
  for (const auto& ids : expected) EXPECT_FALSE(ids.empty());
  {
    EmulatedDevice card("f16");
    EXPECT_EQ(ask_all(fixture, card.device(), card.ops()).ids, expected);
    EXPECT_EQ(card.counters().graph_replays > 0, profile_captures());
  }
  {
    EmulatedDevice card("f16");
    EXPECT_EQ(ask_all(fixture, card.device(), card.ops(), SpeculationKind::kNgram).ids, expected);
  }
  {  // one after the other instead of together
    EmulatedDevice card("f16");
    const LlamaModel model = load_llama(*fixture.checkpoint, card.ops(), 384);
    Engine engine(card.device(), card.ops(), model, fixture.tokenizer, Fixture::options());
    for (size_t i = 0; i < expected.size(); ++i)
      EXPECT_EQ(engine.generate(fixture.question(i)).ids, expected[i]) << five_questions()[i];
  }
}

/// What f16 on the device answers with nothing missing. Not while another card is open.
struct Plain {
  Outcome outcome;
  int64_t steps_with_outputs = 0;
};
const Plain& plain_run(const Fixture& fixture) {
  static const Plain kPlain = [&fixture] {
    EmulatedDevice card("f16", "eager");
    TraceOps trace(card.ops());
    Plain plain{ask_all(fixture, card.device(), trace), 0};
    for (const TraceRow& row : trace.rows())
      if (row.op == OpKind::kNormHead) plain.steps_with_outputs += row.calls;
    return plain;
  }();
  return kPlain;
}

struct Hidden {
  std::string op;
  std::map<OpKind, int> calls;  ///< of each op that falls back: per layer and step; negative: per step
  bool is_refused = false;      ///< its type alone, not the operator
};

class AscendFallback : public ::testing::TestWithParam<Hidden> {};

TEST_P(AscendFallback, GivesTheSameTextWithTheExactRateAndTheReason) {
  const Fixture fixture;
  const Hidden& hidden = GetParam();
  const std::string variable = hidden.is_refused ? "CHASKI_EMULATOR_REFUSE" : "CHASKI_EMULATOR_HIDE";
  const auto& [plain, steps_with_outputs] = plain_run(fixture);
  EmulatedDevice card("f16", "", {{variable, hidden.is_refused ? hidden.op + ":f16" : hidden.op}});
  ScalarOps host;
  FallbackOps ops(card.ops(), host);
  const Outcome outcome = ask_all(fixture, card.device(), ops);
  EXPECT_EQ(outcome.ids, plain.ids);

  const ModelConfig& c = fixture.checkpoint->config();
  std::map<OpKind, int64_t> found;
  for (const FallbackCount& count : ops.counts()) {
    found[count.op] += count.calls;
    EXPECT_THAT(count.reason, StartsWith("aclnn" + hidden.op)) << name_of(count.op);
    EXPECT_THAT(count.reason, HasSubstr(hidden.is_refused ? "161002" : "561003"));
    EXPECT_GT(count.bytes, 0);
  }
  std::map<OpKind, int64_t> expected;
  for (const auto& [op, calls] : hidden.calls) {
    const bool is_per_output = op == OpKind::kArgmaxRows || op == OpKind::kGatherRows;
    expected[op] = calls * c.n_layers * outcome.n_steps;
    if (op == OpKind::kEmbed) expected[op] = outcome.n_steps;
    if (op == OpKind::kRmsNorm || op == OpKind::kLinear) expected[op] += steps_with_outputs;
    if (is_per_output) expected[op] = steps_with_outputs;
  }
  EXPECT_EQ(found, expected);
}

INSTANTIATE_TEST_SUITE_P(
    EachOperator, AscendFallback,
    ::testing::Values(
        Hidden{"Embedding", {{OpKind::kEmbed, 0}}},
        Hidden{"IndexSelect", {{OpKind::kGatherRows, 0}, {OpKind::kRopeAppend, 1}}},
        Hidden{"RmsNorm", {{OpKind::kRmsNorm, 2}}}, Hidden{"AddRmsNorm", {}},
        Hidden{"Mm", {{OpKind::kLinear, 7}}}, Hidden{"RotaryPositionEmbedding", {{OpKind::kRopeAppend, 1}}},
        Hidden{"InplaceIndexCopy", {{OpKind::kRopeAppend, 1}}},
        Hidden{"FusedInferAttentionScoreV2", {{OpKind::kAttention, 1}}},
        Hidden{"SwiGlu", {{OpKind::kSwiglu, 1}}}, Hidden{"Add", {{OpKind::kAdd, 2}, {OpKind::kAttention, 1}}},
        Hidden{"GtTensor", {{OpKind::kAttention, 1}}}, Hidden{"MaxDim", {{OpKind::kArgmaxRows, 0}}},
        Hidden{"InplaceCopy", {{OpKind::kRopeAppend, 1}, {OpKind::kAttention, 1}}},
        Hidden{"SwiGlu", {{OpKind::kSwiglu, 1}}, true},
        Hidden{"RotaryPositionEmbedding", {{OpKind::kRopeAppend, 1}}, true}),
    [](const auto& tested) {
      return tested.param.op + (tested.param.is_refused ? "_refuses_f16" : "_hidden");
    });

TEST(AscendEngine, StrictMakesAFallbackAnErrorThatNamesOpAndOperator) {
  const Fixture fixture;
  EmulatedDevice card("f16", "", {{"CHASKI_EMULATOR_HIDE", "SwiGlu"}});
  ScalarOps host;
  FallbackOps ops(card.ops(), host, true);
  try {
    ask_all(fixture, card.device(), ops);
    FAIL() << "a strict run fell back";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_THAT(error.what(), HasSubstr("swiglu"));
    EXPECT_THAT(error.what(), HasSubstr("aclnnSwiGlu"));
  }
}

// Faults.

struct Fault {
  std::string site;  ///< as the emulator takes it, without times
  ErrorCode code = ErrorCode::kDevice;
  std::string says;
  bool is_lost = false;
  bool at_open = false;
};

class AscendFaults : public ::testing::TestWithParam<Fault> {};

TEST_P(AscendFaults, TheRequestFailsWithTheReasonMemoryComesBackAndTheEngineServesOn) {
  const Fixture fixture;
  const Fault& fault = GetParam();
  EmulatedDevice card("f16");
  if (fault.is_lost) card.emulator().expect_problems();
  const LlamaModel model = load_llama(*fixture.checkpoint, card.ops(), 384);
  Engine engine(card.device(), card.ops(), model, fixture.tokenizer, Fixture::options());
  const std::vector<int32_t> expected = engine.generate(fixture.question(0)).ids;
  const int64_t live = card.emulator().count("live", "bytes");
  card.emulator().fail(fault.site);
  try {
    engine.generate(fixture.question(1));
    ADD_FAILURE() << "it was answered in spite of " << fault.site;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), fault.code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(fault.says));
    EXPECT_FALSE(error.hint().empty());
  }
  card.emulator().fail("");
  engine.check_integrity();
  EXPECT_EQ(card.emulator().count("live", "bytes"), live);
  if (fault.is_lost) return;
  EXPECT_EQ(engine.generate(fixture.question(0)).ids, expected);
}

INSTANTIATE_TEST_SUITE_P(
    EachSite, AscendFaults,
    ::testing::Values(Fault{"launch:3:361001", ErrorCode::kDevice, "361001"},
                      Fault{"aclnnSwiGlu:1:361001", ErrorCode::kDevice, "aclnnSwiGlu"},
                      Fault{"aclrtMemcpyAsync:1:107000", ErrorCode::kDevice, "aclrtMemcpyAsync"},
                      Fault{"aclrtSynchronizeStream:1:207000", ErrorCode::kDevice, "aclrtSynchronizeStream"},
                      Fault{"aclCreateTensor:2:561103", ErrorCode::kDevice, "aclCreateTensor"},
                      Fault{"sync:1:507015", ErrorCode::kDevice, "507015", true}),
    [](const auto& tested) {
      std::string name = tested.param.site;
      std::replace(name.begin(), name.end(), ':', '_');
      return name;
    });

TEST(AscendEngine, ADeviceWithoutRoomSaysHowMuchIsNeededAndWhatToDo) {
  const Fixture fixture;
  const std::vector<int32_t>& expected = plain_run(fixture).outcome.ids[0];
  EmulatedDevice card("f16", "", {{"CHASKI_EMULATOR_HBM_MB", "40"}});
  const LlamaModel model = load_llama(*fixture.checkpoint, card.ops(), 384);
  EngineOptions options = Fixture::options();
  options.n_pages = 4096;
  try {
    Engine engine(card.device(), card.ops(), model, fixture.tokenizer, options);
    FAIL() << "a cache of more than all memory was had";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
    EXPECT_THAT(error.what(), HasSubstr("MiB"));
    EXPECT_THAT(error.hint(), HasSubstr("--ctx"));
  }
  Engine engine(card.device(), card.ops(), model, fixture.tokenizer, Fixture::options());
  EXPECT_EQ(engine.generate(fixture.question(0)).ids, expected);
}

}  // namespace
}  // namespace chaski
