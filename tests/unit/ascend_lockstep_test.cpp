// Every op of the Ascend backend, fused and not, in steps of every kind, compared with the oracle that rounds
// at the same places.
#include <gmock/gmock.h>

#include "ascend_fixture.h"

namespace chaski {
namespace {

using tests::EmulatedDevice;
using tests::RandomCheckpoint;
using tests::small_llama;
using tests::Steps;

struct Case {
  std::string activations;
  int64_t head_dim = 64;
  DType weights = DType::kF16;
  bool is_primitive = false;  ///< fused ops as their default bodies say
};

std::string name_of_case(const ::testing::TestParamInfo<Case>& info) {
  return fmt::format("{}_heads_of_{}_weights_{}{}", info.param.activations, info.param.head_dim,
                     name_of(info.param.weights), info.param.is_primitive ? "_primitives" : "");
}

/// Passes everything on, fused ops one primitive after the other.
class Unfused : public DecoratedOps {
 public:
  using DecoratedOps::DecoratedOps;
  std::string_view name() const override { return "unfused"; }

 protected:
  void dispatch(const OpCall& call, Workspace& ws) override { call.invoke(device_, call.operands, ws); }
  bool keeps_fused(const OpCall&) const override { return false; }
};

class AscendLockstep : public ::testing::TestWithParam<Case> {};

TEST_P(AscendLockstep, EveryOpOfEveryKindOfStepAgreesWithTheOracle) {
  const Case& tested = GetParam();
  EmulatedDevice card(tested.activations);
  const RandomCheckpoint checkpoint(small_llama(tested.head_dim), tested.weights);
  ScalarOps oracle;
  LockstepOps lockstep(card.ops(), oracle, tests::ascend_bounds(*dtype_named(tested.activations)));
  Unfused unfused(lockstep);
  Ops& ops = tested.is_primitive ? static_cast<Ops&>(unfused) : lockstep;
  Steps steps(card.device(), ops, checkpoint);
  // Ragged prompts together, one of them over a page; then their first tokens, one alone, all together.
  steps.run({{0, 0, 131}, {1, 0, 37}, {2, 0, 1}}, Phase::kPrefill);
  steps.run({{0, 131}}, Phase::kDecode);
  steps.run({{0, 132}, {1, 37}, {2, 1}}, Phase::kDecode);
  // Over the edge of a bucket of lengths.
  steps.run({{0, 133, 122}}, Phase::kPrefill);
  steps.run({{0, 255}, {1, 38}}, Phase::kDecode);
  steps.run({{0, 256}, {1, 39}}, Phase::kDecode);
  // Some that decode beside parts of prompts, at places that no address is aligned for.
  steps.run({{2, 2}, {1, 40, 3, 3}, {0, 257}, {3, 0, 21}}, Phase::kMixed);
  // Guesses to check.
  steps.run({{0, 258, 4, 4}, {1, 43, 1, 1}, {2, 3, 2, 2}}, Phase::kVerify);
  EXPECT_GT(lockstep.n_compared(), 8 * 12);
  RecordProperty("worst", fmt::format("{} {:.2f}", lockstep.worst_op(), lockstep.worst_ratio()));
}

INSTANTIATE_TEST_SUITE_P(Shapes, AscendLockstep,
                         ::testing::Values(Case{"f16", 64, DType::kF16}, Case{"bf16", 64, DType::kBF16},
                                           Case{"f16", 128, DType::kF16}, Case{"bf16", 128, DType::kBF16},
                                           Case{"f16", 64, DType::kQ8_0}, Case{"bf16", 64, DType::kQ8_0},
                                           Case{"f16", 64, DType::kQ4_0}, Case{"bf16", 64, DType::kQ4_0},
                                           Case{"f16", 64, DType::kQ4_K}, Case{"bf16", 64, DType::kQ6_K},
                                           Case{"f16", 64, DType::kF16, true},
                                           Case{"bf16", 128, DType::kBF16, true},
                                           Case{"f16", 64, DType::kQ8_0, true}),
                         name_of_case);

/// Llama 3.2's own proportions of heads, and a group for each width of head.
TEST(AscendOps, EightHeadsMayShareAKey) {
  EmulatedDevice card;
  ModelConfig config = small_llama(32, 1);
  config.n_heads = 8;
  config.n_kv_heads = 1;
  config.tie_embeddings = false;
  const RandomCheckpoint checkpoint(config, DType::kF16);
  ScalarOps oracle;
  LockstepOps ops(card.ops(), oracle, tests::ascend_bounds(DType::kF16));
  Steps steps(card.device(), ops, checkpoint);
  steps.run({{0, 0, 20}, {1, 0, 5}}, Phase::kPrefill);
  steps.run({{0, 20}, {1, 5}}, Phase::kDecode);
}

/// A vocabulary wider than one product of quantised weights may be.
TEST(AscendOps, AQuantisedHeadIsCutIntoProductsThatTheOperatorTakes) {
  for (const DType weights : {DType::kQ8_0, DType::kQ4_0}) {
    EmulatedDevice card;
    const int64_t vocab = 2 * 65535 + 300, width = 64;
    std::vector<float> values(static_cast<size_t>(vocab * width));
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>((i * 2654435761u) % 255) / 128 - 1;
    const auto source = HostWeight::from_f32("head", {vocab, width}, values, weights);
    ScalarOps oracle;
    LockstepOps ops(card.ops(), oracle, tests::ascend_bounds(DType::kF16));
    const WeightId head = ops.add_weight(source);
    for (const int64_t n : {1, 3}) {
      std::vector<uint16_t> x(static_cast<size_t>(n * width));
      for (size_t i = 0; i < x.size(); ++i) x[i] = f32_to_f16(static_cast<float>(i % 7) - 3);
      const Buffer in = ops.memory().allocate(x.size() * 2, "x");
      const Buffer out = ops.memory().allocate(static_cast<size_t>(2 * n * vocab), "logits");
      ops.memory().copy_in(in.data(), x.data(), x.size() * 2);
      ops.linear({in.data(), DType::kF16, {n, width}}, head, {out.data(), DType::kF16, {n, vocab}});
    }
    EXPECT_EQ(ops.n_compared(), 2);
    EXPECT_EQ(card.counters().hidden_copies, 0);
  }
}

}  // namespace
}  // namespace chaski
