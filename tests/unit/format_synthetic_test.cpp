#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

#include "base/error.h"
#include "format/checkpoint.h"

namespace chaski {
namespace {

std::vector<std::byte> rows_of(const WeightSource& weight, int64_t first, int64_t count) {
  std::vector<std::byte> bytes(static_cast<size_t>(count * row_bytes(weight.dtype(), weight.n_cols())));
  weight.read_rows(first, count, bytes);
  return bytes;
}

TEST(Synthetic, NumbersDoNotDependOnTheOrderOrSizeOfReads) {
  for (const char* format :
       {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q6_K", "q4_K", "q5_1", "iq4_xs"}) {
    const auto model = Checkpoint::open(std::string("synthetic:tiny@") + format);
    const auto weight = model->require("model.layers.1.mlp.up_proj.weight", {512, 256});
    const auto all = rows_of(*weight, 0, 512);
    const auto late = rows_of(*weight, 500, 3);
    const auto stride = late.size() / 3;
    EXPECT_TRUE(
        std::equal(late.begin(), late.end(), all.begin() + static_cast<std::ptrdiff_t>(500 * stride)));
    EXPECT_EQ(rows_of(*Checkpoint::open(model->path())->find(weight->name()), 500, 3), late) << format;
  }
}

TEST(Synthetic, MatricesHaveTheStatedDeviationInEveryFormat) {
  for (const char* format :
       {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q6_K", "q4_K", "q5_1", "iq4_xs"}) {
    const auto model = Checkpoint::open(std::string("synthetic:tiny@") + format);
    const auto weight = model->find("model.layers.0.self_attn.q_proj.weight");
    const auto bytes = rows_of(*weight, 0, 256);
    std::vector<float> values(256 * 256);
    format_of(weight->dtype()).dequantize_row(bytes.data(), values.data(), 256 * 256);
    double sum = 0, squares = 0;
    for (const float v : values) {
      sum += static_cast<double>(v);
      squares += static_cast<double>(v) * static_cast<double>(v);
    }
    EXPECT_NEAR(std::sqrt(squares / 65536), 0.02, 0.001) << format;
    EXPECT_NEAR(sum / 65536, 0, 0.0025) << format;  // q4_0's codes reach one further below zero than above
  }
}

TEST(Synthetic, TheSameNumbersOnEveryPlatform) {
  const auto model = Checkpoint::open("synthetic:tiny");
  const auto bytes = rows_of(*model->find("model.embed_tokens.weight"), 3, 1);
  uint32_t sum = 0;
  for (const std::byte b : bytes) sum = sum * 31 + std::to_integer<uint32_t>(b);
  EXPECT_EQ(sum, 1912489292u);
}

TEST(Synthetic, ShapesAreThoseOfLlama32) {
  const auto one = Checkpoint::open("synthetic:llama-3.2-1b@q8_0");
  EXPECT_EQ(one->config().n_parameters(), 1235814400);
  EXPECT_EQ(one->config().rope_scaling->factor, 32);
  EXPECT_TRUE(one->is_synthetic());
  const auto three = Checkpoint::open("synthetic:llama-3.2-3b");
  EXPECT_EQ(three->config().n_parameters(), 3212749824);
  EXPECT_EQ(three->weight_bytes(), uint64_t{2} * 3212749824);
  EXPECT_EQ(three->find("lm_head.weight"), nullptr);
}

TEST(Synthetic, NormsAreOnesAndTokensAreUnique) {
  const auto model = Checkpoint::open("synthetic:tiny@q4_0");
  const auto norm = model->require("model.norm.weight", {256});
  EXPECT_EQ(norm->dtype(), DType::kF32);
  std::vector<float> values(256);
  norm->read_rows(0, 1, std::as_writable_bytes(std::span(values)));
  EXPECT_EQ(values, std::vector<float>(256, 1.0f));

  const auto one = Checkpoint::open("synthetic:llama-3.2-1b");
  const TokenizerData& tokenizer = one->tokenizer();
  EXPECT_EQ(std::set<std::string>(tokenizer.tokens.begin(), tokenizer.tokens.end()).size(), 128256u);
  EXPECT_EQ(tokenizer.tokens[128000], "<|begin_of_text|>");
  EXPECT_EQ(tokenizer.tokens[128009], "<|eot_id|>");
  EXPECT_EQ(tokenizer.token_types.size(), tokenizer.tokens.size());
}

TEST(Synthetic, UnknownShapesAndFormatsAreRefusedWithTheChoices) {
  for (const char* path :
       {"synthetic:", "synthetic:huge", "synthetic:tiny@", "synthetic:tiny@q3", "synthetic:tiny@i32"}) {
    try {
      Checkpoint::open(path);
      FAIL() << path;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUsage);
      EXPECT_NE(std::string(error.what()).find("expected one of"), std::string::npos);
    }
  }
}

TEST(Synthetic, RequireNamesWeightExpectedAndFoundShape) {
  const auto model = Checkpoint::open("synthetic:tiny");
  try {
    model->require("model.norm.weight", {255});
    FAIL();
  } catch (const Error& error) {
    const std::string text = error.what();
    for (const char* part : {"model.norm.weight", "[255]", "[256]", "synthetic:tiny"}) {
      EXPECT_NE(text.find(part), std::string::npos) << text;
    }
  }
  EXPECT_THROW(model->require("lm_head.weight", {512, 256}), Error);
}

}  // namespace
}  // namespace chaski
