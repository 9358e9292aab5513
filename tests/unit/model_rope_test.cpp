// The rotary table against the formula evaluated here, independently and in long double.
#include <gtest/gtest.h>

#include <cmath>

#include "model/llama.h"

namespace chaski {
namespace {

ModelConfig llama_3_2(int64_t head_dim) {
  ModelConfig c;
  c.head_dim = head_dim;
  c.rope_theta = 500000;
  c.rope_scaling = RopeScaling{32, 1, 4, 8192};
  return c;
}

/// Frequency i by the published rule: whole below wavelength 2048, divided by 32 above 8192, blended between.
long double frequency(const ModelConfig& c, int64_t i) {
  const long double plain =
      powl(c.rope_theta, -2.0L * static_cast<long double>(i) / static_cast<long double>(c.head_dim));
  if (!c.rope_scaling) return plain;
  const long double wavelength = 2 * acosl(-1.0L) / plain;
  const long double blend = (8192 / wavelength - 1) / (4 - 1);
  if (blend >= 1) return plain;
  if (blend <= 0) return plain / 32;
  return plain * (blend + (1 - blend) / 32);
}

TEST(RopeTable, EqualsTheFormulaWithinOneMillionthUpTo32k) {
  ModelConfig plain;
  plain.head_dim = 64;
  plain.rope_theta = 100000;
  for (const ModelConfig& c : {llama_3_2(64), llama_3_2(128), plain}) {
    const std::vector<float> table = rope_table(c, 32769);
    for (const int64_t position : {0, 1000, 8191, 8192, 16384, 32768}) {
      for (int64_t i = 0; i < c.head_dim / 2; ++i) {
        const long double angle = static_cast<long double>(position) * frequency(c, i);
        const auto at = static_cast<size_t>(position * c.head_dim + i);
        ASSERT_NEAR(table[at], static_cast<double>(cosl(angle)), 1e-6)
            << "position " << position << ", pair " << i;
        ASSERT_NEAR(table[at + static_cast<size_t>(c.head_dim / 2)], static_cast<double>(sinl(angle)), 1e-6)
            << "position " << position << ", pair " << i;
      }
    }
  }
}

TEST(RopeTable, FactorsFromTheFileDivideTheFrequencies) {
  ModelConfig c = llama_3_2(4);
  c.rope_scaling.reset();
  c.rope_factors = {1, 32};
  const std::vector<float> table = rope_table(c, 2);
  EXPECT_FLOAT_EQ(table[4], std::cos(1.0f));
  EXPECT_FLOAT_EQ(table[7], static_cast<float>(std::sin(1.0 / std::sqrt(500000.0) / 32)));
}

}  // namespace
}  // namespace chaski
