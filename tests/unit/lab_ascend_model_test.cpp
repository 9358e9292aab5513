// The model of an Ascend card's time: its counts, its arithmetic, and how far it is off from each published
// figure, none of which it was set by.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "format/synthetic.h"
#include "lab/ascend_model.h"
#include "lab/ascend_published.h"
#include "support/error_of.h"

namespace chaski {
namespace {

using testing::HasSubstr;

const AscendCard& card(std::string_view name) {
  const AscendCard* found = find_ascend_card(name);
  CHECK(found != nullptr, "{}", name);
  return *found;
}

AscendShape llama_1b(DType weights = DType::kBF16) {
  return ascend_shape(open_synthetic("llama-3.2-1b")->config(), weights);
}

int64_t layer_launches(const AscendShape& shape, AscendStep step) {
  const int64_t all = launches_of(ops_of_step(shape, step));
  AscendShape longer = shape;
  longer.config.n_layers += 1;
  return launches_of(ops_of_step(longer, step)) - all;
}

TEST(AscendModel, OneSequenceTakesElevenLaunchesALayerAndSeveralRowsTakeThirteen) {
  const AscendShape shape = llama_1b();
  EXPECT_EQ(layer_launches(shape, {1, 1, 256, 1}), 11);
  EXPECT_EQ(layer_launches(shape, {8, 8, 256, 8}), 13);
  EXPECT_EQ(layer_launches(shape, {256, 1, 256, 1}), 13);
  EXPECT_EQ(launches_of(ops_of_step(shape, {1, 1, 256, 1})), 11 * 16 + 11);
}

TEST(AscendModel, AQuantisedHeadIsSplitBelowTheOperatorsLimit) {
  EXPECT_EQ(launches_of(ops_of_step(llama_1b(DType::kQ8_0), {1, 1, 256, 1})), 11 * 16 + 12);
}

TEST(AscendModel, WeightsAreReadOnceInADecodeStepWhateverTheBatch) {
  const AscendShape shape = llama_1b();
  const auto matrix_bytes = [&](int64_t n) {
    double bytes = 0;
    for (const ModelledOp& op : ops_of_step(shape, {n, n, 256, n})) {
      if (op.name == "Mm") bytes += op.bytes;
    }
    return bytes;
  };
  // 1.2358 B parameters less the norms, at two bytes.
  EXPECT_NEAR(matrix_bytes(1), 2.4716e9, 0.003e9);
  EXPECT_NEAR(matrix_bytes(8), matrix_bytes(1), 0.02e9);
}

TEST(AscendModel, TheCacheIsReadInBucketsAndGrowsWithTheDepth) {
  EXPECT_EQ(ascend_bucket(1), 256);
  EXPECT_EQ(ascend_bucket(256), 256);
  EXPECT_EQ(ascend_bucket(257), 512);
  const AscendShape shape = llama_1b();
  const auto seconds = [&](int64_t depth) {
    return decode_time(shape, card("910b3"), 16, depth, 1, true).low_s;
  };
  EXPECT_EQ(seconds(0), seconds(200));
  EXPECT_LT(seconds(0), seconds(4096));
  // 4,096 positions of 32 KiB at 60 % of 1.6 TiB/s.
  EXPECT_NEAR((seconds(4096) - seconds(0)) / 16, 4096 * 32768.0 / (0.6 * 1.6 * 1099511627776.0), 2e-6);
}

TEST(AscendModel, CapturedIsThePointThatTheFormulaGivesAndEagerARange) {
  const AscendShape shape = llama_1b();
  const ModelledTime captured = decode_time(shape, card("910b3"), 1, 500, 1, true);
  EXPECT_EQ(captured.low_s, captured.high_s);
  EXPECT_NEAR(captured.low_s, 2.9e-3, 0.1e-3);
  const ModelledTime eager = decode_time(shape, card("910b3"), 1, 500, 1, false);
  EXPECT_DOUBLE_EQ(eager.low_s, 187 * 20e-6);
  EXPECT_DOUBLE_EQ(eager.high_s, 187 * 40e-6);
  // The 32 GB part has half the bandwidth.
  EXPECT_NEAR(decode_time(shape, card("910b4"), 1, 500, 1, true).low_s, 5.3e-3, 0.15e-3);
}

TEST(AscendModel, FewerBitsMakeDecodingFasterAndALongerPromptTakesLonger) {
  const AscendCard& b3 = card("910b3");
  const auto decode = [&](DType weights) { return decode_time(llama_1b(weights), b3, 8, 1, 1, true).low_s; };
  EXPECT_LT(decode(DType::kQ4_0), decode(DType::kQ8_0));
  EXPECT_LT(decode(DType::kQ8_0), decode(DType::kBF16));
  const auto prefill = [&](int64_t n) { return prefill_time(llama_1b(), b3, n, 0, 256); };
  EXPECT_LT(prefill(512).low_s, prefill(1024).low_s);
  EXPECT_LT(prefill(512).low_s, prefill(512).high_s);  // two pieces: their launches decide
}

TEST(AscendModel, ACardIsFoundHoweverADriverSpellsIt) {
  for (const char* name : {"910b3", "910B3", "Ascend910B3"}) EXPECT_EQ(&card(name), &card("910b3"));
  EXPECT_EQ(card("910B4-1").memory_bytes, int64_t{64} << 30);
  for (const char* name : {"", "910", "910b", "910proB", "310p3"}) EXPECT_EQ(find_ascend_card(name), nullptr);
}

TEST(AscendModel, ACheckpointsOwnTypesDecideTheBytes) {
  const AscendShape bf16 = ascend_shape(*open_synthetic("tiny"));
  EXPECT_TRUE(bf16.is_bf16);
  EXPECT_EQ(bf16.bytes_per_weight, 2);
  const AscendShape q8 = ascend_shape(*open_synthetic("tiny@q8_0"));
  EXPECT_NEAR(q8.bytes_per_weight, 1.0625, 1e-9);
  EXPECT_FALSE(q8.is_bf16);
  // Other types are converted when they are uploaded.
  EXPECT_EQ(ascend_shape(*open_synthetic("tiny@q4_K")).bytes_per_weight, 2);
}

TEST(AscendPublished, TheErrorOnEachFigureIsTheOneOnRecord) {
  // In percent, of the middle of what was measured to the nearest end of what is predicted. Whoever changes
  // the model says here, and in docs/en/ascend.md, what it does to all of them.
  const std::map<std::string, double> expected = {
      {"Qwen3-1.7B xLLM", -12.0},
      {"Qwen3-8B xLLM", 9.7},
      {"Qwen2.5-0.5B llama.cpp graph 2025-08", -66.6},
      {"Qwen2.5-0.5B llama.cpp graph 2025-10", -16.7},
      {"Qwen2.5-0.5B llama.cpp graph 2025-12", -19.9},
      {"Yi-1.5-6B MindIE", -17.0},
      {"Qwen3-4B vllm-ascend 15k", -43.9},
      {"Qwen2.5-0.5B llama.cpp op by op", 0},
      {"Qwen2-0.5B Q4_0 llama.cpp op by op", 0},
      {"Llama-2-7B llama.cpp op by op 2024", -42.7},
      {"Llama-2-7B transformers", 0},
      {"Llama-3.1-8B transformers", 0},
      {"Yi-1.5-6B lmdeploy", -78.4},
      {"Qwen2.5-0.5B vllm-ascend 0.7", -73.8},
      {"Qwen3-1.7B xLLM prompt", 0.4},
      {"Qwen3-8B xLLM prompt", 22.7},
      {"Yi-1.5-6B MindIE prompt", -29.2},
      {"Qwen2-0.5B Q4_0 llama.cpp prompt", -39.5},
  };
  for (const PublishedStep& published : published_steps()) {
    const auto at = expected.find(published.id);
    ASSERT_NE(at, expected.end()) << published.id;
    const ModelledTime ms = modelled_ms(published);
    EXPECT_NEAR(100 * error_of(published), at->second, 0.5)
        << published.id << ": " << ms.low_s << " to " << ms.high_s << " ms";
  }
  EXPECT_EQ(published_steps().size(), expected.size());
}

TEST(AscendPublished, TheErrorIsSaidInWords) {
  EXPECT_THAT(error_text(ModelledPhase::kCapturedDecode),
              HasSubstr("on 7 published figures of captured decoding"));
  const ModelError error = error_over(ModelledPhase::kPrefill);
  EXPECT_EQ(error.n, 4);
  EXPECT_LE(error.low, error.median);
  EXPECT_LE(error.median, error.high);
}

TEST(AscendPublished, ATableThatIsWrongIsRefusedWithLineAndColumn) {
  std::string csv(ascend_published_csv());
  const auto fails = [](const std::string& text) {
    const Error error = test::error_of([&] { parse_published_steps(text, "figures"); });
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    return std::string(error.what());
  };
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = csv;
    changed.replace(changed.find(from), from.size(), to);
    return changed;
  };
  EXPECT_THAT(fails(with("910b3", "910x3")), HasSubstr("figures:2: card"));
  EXPECT_THAT(fails(with("captured", "both")), HasSubstr("figures:2: mode"));
  EXPECT_THAT(fails(with("5.11", "none")), HasSubstr("figures:2: ms_low"));
  EXPECT_THAT(fails(with("5.11,", "")), HasSubstr("figures:2: expected"));
}

}  // namespace
}  // namespace chaski
