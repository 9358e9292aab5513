// What a step costs on the Ascend backend: launches, plans, copies, waits; and steps that were captured.
#include <gmock/gmock.h>

#include "ascend_fixture.h"
#include "ops/fallback_ops.h"

namespace chaski {
namespace {

using ::testing::HasSubstr;
using tests::EmulatedDevice;
using tests::profile_captures;
using tests::RandomCheckpoint;
using tests::small_llama;
using tests::Steps;

/// What a step did, by the backend's own counting.
struct Cost {
  int64_t launches = 0, plans = 0, hidden_copies = 0, device_copies = 0, copies_in = 0, copies_out = 0,
          host_waits = 0, ai_cpu = 0;
};

Cost cost_of(EmulatedDevice& card, const std::function<void()>& step) {
  const AscendCounters before = card.counters();
  step();
  const AscendCounters& after = card.counters();
  return {after.launches - before.launches,           after.plans - before.plans,
          after.hidden_copies - before.hidden_copies, after.device_copies - before.device_copies,
          after.copies_in - before.copies_in,         after.copies_out - before.copies_out,
          after.host_waits - before.host_waits,       after.ai_cpu_launches - before.ai_cpu_launches};
}

/// Launches that a layer adds to a step: what two models of 1 and 3 layers differ by.
double launches_per_layer(const std::vector<tests::Part>& before, Phase phase_before,
                          const std::vector<tests::Part>& parts, Phase phase, DType weights = DType::kF16) {
  int64_t launches[2] = {};
  for (const int64_t n_layers : {1, 3}) {
    EmulatedDevice card("", "eager");
    const RandomCheckpoint checkpoint(small_llama(64, n_layers), weights);
    Steps steps(card.device(), card.ops(), checkpoint, true);
    steps.run(before, phase_before);
    const Cost cost = cost_of(card, [&] { steps.run(parts, phase); });
    launches[n_layers / 2] = cost.launches;
    EXPECT_EQ(cost.hidden_copies, 0);
    EXPECT_EQ(cost.device_copies, 0);
    EXPECT_EQ(cost.ai_cpu, 0);
    EXPECT_EQ(cost.copies_in, 1);
    EXPECT_EQ(cost.copies_out, 1);
    EXPECT_EQ(cost.host_waits, 1);
  }
  return static_cast<double>(launches[1] - launches[0]) / 2;
}

TEST(AscendSteps, ADecodeStepOfOneSequenceIsElevenLaunchesALayerAndWaitsOnce) {
  for (const DType weights : {DType::kF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_K}) {
    EXPECT_EQ(launches_per_layer({{0, 0, 20}}, Phase::kPrefill, {{0, 20}}, Phase::kDecode, weights), 11);
  }
}

TEST(AscendSteps, AStepOfSeveralRowsIsThirteenLaunchesALayer) {
  EXPECT_EQ(launches_per_layer({{1, 0, 3}}, Phase::kPrefill, {{0, 0, 140}}, Phase::kPrefill), 13);
  EXPECT_EQ(launches_per_layer({{0, 0, 20}, {1, 0, 30}, {2, 0, 5}}, Phase::kPrefill,
                               {{0, 20}, {1, 30}, {2, 5}}, Phase::kDecode),
            13);
}

TEST(AscendSteps, LogitsThatAreAskedForCostOneMoreWait) {
  EmulatedDevice card;
  const RandomCheckpoint checkpoint(small_llama(64), DType::kF16);
  Steps steps(card.device(), card.ops(), checkpoint, true);
  steps.run({{0, 0, 20}}, Phase::kPrefill);
  steps.run({{0, 20, 1, 1, true}}, Phase::kDecode);
  const Cost cost = cost_of(card, [&] { steps.run({{0, 21, 1, 1, true}}, Phase::kDecode); });
  EXPECT_EQ(cost.copies_out, 2);
  EXPECT_EQ(cost.host_waits, 2);
}

TEST(AscendSteps, PlansAreMadeOnceForABucketOfLengths) {
  EmulatedDevice card("f16", "eager");
  const RandomCheckpoint checkpoint(small_llama(64), DType::kF16);
  Steps steps(card.device(), card.ops(), checkpoint, true);
  steps.run({{0, 0, 250}}, Phase::kPrefill);
  steps.run({{0, 250}}, Phase::kDecode);
  const int64_t n_layers = 2;
  for (int32_t position = 251; position < 260; ++position) {
    const Cost cost = cost_of(card, [&] { steps.run({{0, position}}, Phase::kDecode); });
    // InplaceIndexCopy alone cannot be kept; what hides places (three launches) and each layer's attention
    // are planned for a new bucket.
    const int64_t expected = 2 * n_layers + (position == 256 ? n_layers + 3 : 0);
    EXPECT_EQ(cost.plans, expected) << position;
  }
}

TEST(AscendSteps, NothingIsAllocatedOnceTheRunnerIsThere) {
  EmulatedDevice card("f16", "eager");
  const RandomCheckpoint checkpoint(small_llama(64), DType::kQ8_0);
  Steps steps(card.device(), card.ops(), checkpoint, true);
  steps.run({{0, 0, 5}}, Phase::kPrefill);  // the workspace, and what is pinned for copies
  const int64_t before = card.emulator().count("allocations");
  steps.run({{0, 5, 200}, {1, 0, 90}}, Phase::kPrefill);
  steps.run({{0, 205}, {1, 90}}, Phase::kDecode);
  steps.run({{0, 206, 3, 3}, {1, 91}, {2, 0, 9}}, Phase::kMixed);
  EXPECT_EQ(card.emulator().count("allocations"), before);
}

TEST(AscendSteps, ARunnerSaysWhyNoneIsFaster) {
  EmulatedDevice card;
  const RandomCheckpoint checkpoint(small_llama(64), DType::kF16);
  Steps steps(card.device(), card.ops(), checkpoint, true);
  if (profile_captures()) {
    EXPECT_EQ(steps.runner().name(), "captured");
    EXPECT_EQ(steps.runner().why_not_faster(), "");
    EXPECT_THAT(card.device().info().path, HasSubstr("captured"));
  } else {
    EXPECT_EQ(steps.runner().name(), "eager");
    EXPECT_THAT(std::string(steps.runner().why_not_faster()), HasSubstr("CANN 8.1"));
    EXPECT_THAT(card.device().info().path, HasSubstr("eager"));
  }
  EXPECT_EQ(card.device().info().device_kind, "emulated");
  EXPECT_EQ(card.device().info().id, "ascend:0");
}

/// Logits of decode steps over the edge of a bucket, of one sequence and of three.
std::vector<float> logits_of_steps(EmulatedDevice& card, DType weights, Ops* over = nullptr) {
  const RandomCheckpoint checkpoint(small_llama(64), weights);
  Steps steps(card.device(), over != nullptr ? *over : card.ops(), checkpoint, true);
  std::vector<float> all;
  const auto add = [&](const StepOutput& output) {
    all.insert(all.end(), output.logits.begin(), output.logits.end());
    for (const int32_t best : output.best) all.push_back(static_cast<float>(best));
  };
  add(steps.run({{0, 0, 250, 1, true}, {1, 0, 20, 1, true}, {2, 0, 1, 1, true}}, Phase::kPrefill));
  for (int32_t i = 0; i < 8; ++i) {
    add(steps.run({{0, 250 + 2 * i, 1, 1, true}}, Phase::kDecode));
    add(steps.run({{0, 251 + 2 * i, 1, 1, true}, {1, 20 + i, 1, 1, true}, {2, 1 + i, 1, 1, true}},
                  Phase::kDecode));
    if (i == 3) add(steps.run({{3, 0, 30, 1, true}}, Phase::kPrefill));  // another kind of step between
  }
  return all;
}

TEST(AscendSteps, CapturedStepsGiveTheSameBitsAsEagerOnes) {
  if (!profile_captures()) GTEST_SKIP() << "this CANN captures nothing";
  for (const DType weights : {DType::kF16, DType::kQ8_0}) {
    std::vector<float> eager, captured, decorated;
    {
      EmulatedDevice card("f16", "eager");
      eager = logits_of_steps(card, weights);
      EXPECT_EQ(card.counters().graph_replays, 0);
    }
    {
      EmulatedDevice card("f16", "captured");
      captured = logits_of_steps(card, weights);
      EXPECT_EQ(card.counters().graph_replays, 16);
    }
    {
      EmulatedDevice card("f16", "captured");
      ScalarOps host;
      FallbackOps ops(card.ops(), host);
      decorated = logits_of_steps(card, weights, &ops);
      EXPECT_EQ(card.counters().graph_replays, 16);
      EXPECT_EQ(ops.n_fallbacks(), 0);
    }
    EXPECT_EQ(captured, eager);
    EXPECT_EQ(decorated, eager);
  }
}

TEST(AscendSteps, AReplayedStepIsOneCopyInOneReplayAndOneCopyOut) {
  if (!profile_captures()) GTEST_SKIP() << "this CANN captures nothing";
  EmulatedDevice card;
  const RandomCheckpoint checkpoint(small_llama(64), DType::kF16);
  Steps steps(card.device(), card.ops(), checkpoint, true);
  steps.run({{0, 0, 20}}, Phase::kPrefill);
  steps.run({{0, 20}}, Phase::kDecode);
  const Cost cost = cost_of(card, [&] { steps.run({{0, 21}}, Phase::kDecode); });
  EXPECT_EQ(cost.launches, 0);
  EXPECT_EQ(cost.plans, 0);
  EXPECT_EQ(cost.copies_in, 1);
  EXPECT_EQ(cost.copies_out, 1);
  EXPECT_EQ(cost.host_waits, 1);
}

TEST(AscendSteps, ASmallCacheTakesSequencesThatDecodeInSeveralCalls) {
  // Four sequences of one page each in a cache of five: their bucket says eight.
  EmulatedDevice card;
  ScalarOps oracle;
  LockstepOps ops(card.ops(), oracle, tests::ascend_bounds(DType::kF16));
  const RandomCheckpoint checkpoint(small_llama(64, 1), DType::kF16);
  const LlamaModel model = load_llama(checkpoint, ops, 384);
  const KvStorage kv(ops.memory(), card.device().kv_layout(model.config), 1, 5);
  RunnerLimits limits;
  limits.max_rows = 8;
  limits.max_sequences = limits.max_outputs = 4;
  limits.pages_per_sequence = 3;
  EagerRunner runner(ops, model, kv, limits);
  Batch batch;
  batch.phase = Phase::kDecode;
  batch.n_sequences = 4;
  batch.pages_per_sequence = 3;
  for (int32_t i = 0; i < 4; ++i) {
    batch.token_ids.push_back(i);
    batch.positions.push_back(0);
    batch.sequence_of_row.push_back(i);
    batch.slots.push_back((4 - i) * 128);
    batch.page_table.insert(batch.page_table.end(), {4 - i, 0, 0});
    batch.outputs.push_back({i, false});
  }
  StepOutput output;
  runner.run(batch, output);
  EXPECT_EQ(output.best.size(), 4u);
}

}  // namespace
}  // namespace chaski
