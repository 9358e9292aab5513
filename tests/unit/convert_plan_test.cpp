// Which type each weight gets. The comparison with llama.cpp itself is tests/peers/quantize_types_parity.py.
#include <gtest/gtest.h>

#include <map>

#include "base/error.h"
#include "convert/quantize_plan.h"

namespace chaski {
namespace {

ModelConfig config_of(int64_t n_layers, int64_t hidden = 256, int64_t ffn = 512) {
  ModelConfig config;
  config.n_layers = n_layers;
  config.hidden = hidden;
  config.ffn = ffn;
  config.n_heads = 8;
  config.n_kv_heads = 2;
  config.head_dim = hidden / 8;
  config.vocab = 64;
  config.max_context = 128;
  return config;
}

std::map<std::string, PlannedWeight> plan_of(const ModelConfig& config, std::string_view format) {
  std::map<std::string, PlannedWeight> plan;
  for (PlannedWeight& planned : plan_types(config, model_format_named(format))) {
    plan[planned.weight.name] = planned;
  }
  return plan;
}

std::string layer(int64_t i, std::string_view part) {
  return fmt::format("model.layers.{}.{}.weight", i, part);
}

TEST(QuantizePlan, AMediumMixGivesMoreBitsToTheEndsAndToEveryThirdLayerBetween) {
  const auto plan = plan_of(config_of(16), "q4_K_M");
  std::vector<int64_t> layers;
  for (int64_t i = 0; i < 16; ++i) {
    EXPECT_EQ(plan.at(layer(i, "self_attn.v_proj")).dtype, plan.at(layer(i, "mlp.down_proj")).dtype);
    EXPECT_EQ(plan.at(layer(i, "mlp.up_proj")).dtype, DType::kQ4_K);
    if (plan.at(layer(i, "mlp.down_proj")).dtype == DType::kQ6_K) layers.push_back(i);
  }
  EXPECT_EQ(layers, (std::vector<int64_t>{0, 1, 4, 7, 10, 13, 14, 15}));
}

TEST(QuantizePlan, NormsStayWholeAndTheHeadGetsSixBits) {
  const auto plan = plan_of(config_of(2), "q4_0");
  EXPECT_EQ(plan.at("model.norm.weight").dtype, DType::kF32);
  EXPECT_EQ(plan.at(layer(1, "input_layernorm")).dtype, DType::kF32);
  EXPECT_EQ(plan.at("lm_head.weight").dtype, DType::kQ6_K);
  EXPECT_EQ(plan.at("model.embed_tokens.weight").dtype, DType::kQ4_0);
  EXPECT_EQ(plan_of(config_of(2), "q8_0").at("lm_head.weight").dtype, DType::kQ8_0);
}

TEST(QuantizePlan, AnEmbeddingThatIsTheHeadTooGetsTheHeadsType) {
  ModelConfig config = config_of(2);
  config.tie_embeddings = true;
  const auto plan = plan_of(config, "q4_0");
  EXPECT_EQ(plan.at("model.embed_tokens.weight").dtype, DType::kQ6_K);
  EXPECT_EQ(plan.count("lm_head.weight"), 0u);
}

TEST(QuantizePlan, RowsThatBlocksDoNotFitFallBackAndItIsTold) {
  const auto plan = plan_of(config_of(2, 192, 512), "q4_K_M");
  const PlannedWeight& up = plan.at(layer(0, "mlp.up_proj"));  // rows of 192
  EXPECT_EQ(up.dtype, DType::kQ5_0);
  EXPECT_EQ(up.unfit, DType::kQ4_K);
  EXPECT_EQ(plan.at("lm_head.weight").dtype, DType::kQ8_0);
  const PlannedWeight& down = plan.at(layer(0, "mlp.down_proj"));  // rows of 512
  EXPECT_FALSE(down.unfit.has_value());
  EXPECT_EQ(plan_of(config_of(2, 48, 80), "q8_0").at(layer(0, "mlp.up_proj")).dtype, DType::kF16);
}

TEST(QuantizePlan, NamesAreFoundInAnyCaseAndUnknownOnesAreAnsweredWithTheList) {
  EXPECT_EQ(model_format_named("Q4_k").name, "q4_K_M");
  EXPECT_EQ(model_format_named("BF16").file_type, 32u);
  try {
    model_format_named("q4_9");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage);
    EXPECT_NE(std::string(error.what()).find("q4_K_M"), std::string::npos);
  }
}

}  // namespace
}  // namespace chaski
