// The block formats against hand-made blocks and against their own error bounds. The comparison with other
// programs' bits is tests/parity/formats_parity.py.
#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/error.h"
#include "base/rng.h"

namespace chaski {
namespace {

std::vector<float> random_values(size_t n, uint64_t seed) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; ++i) values[i] = static_cast<float>(uniform01(seed, 0, i) - 0.5) * 4;
  return values;
}

std::vector<float> round_trip(const BlockFormat& format, const std::vector<float>& values) {
  std::vector<std::byte> blocks(
      static_cast<size_t>(row_bytes(format.dtype, static_cast<int64_t>(values.size()))));
  std::vector<float> back(values.size());
  format.quantize_row(values.data(), blocks.data(), static_cast<int64_t>(values.size()));
  format.dequantize_row(blocks.data(), back.data(), static_cast<int64_t>(values.size()));
  return back;
}

double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    error += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    norm += std::pow(static_cast<double>(a[i]), 2);
  }
  return std::sqrt(error / norm);
}

TEST(Formats, RoundTripLosesNoMoreThanTheFormatAllows) {
  const std::vector<float> values = random_values(4096, 7);
  const std::vector<std::pair<DType, double>> bounds = {
      {DType::kF32, 0},       {DType::kF16, 5e-4},   {DType::kBF16, 4e-3}, {DType::kQ8_0, 6e-3},
      {DType::kQ4_0, 8.5e-2}, {DType::kQ4_1, 8e-2},  {DType::kQ6_K, 2e-2}, {DType::kQ5_0, 4.5e-2},
      {DType::kQ5_1, 4e-2},   {DType::kQ5_K, 4e-2},  {DType::kQ4_K, 8e-2}, {DType::kQ3_K, 0.17},
      {DType::kQ2_K, 0.3},    {DType::kIQ4_NL, 0.1}, {DType::kIQ4_XS, 0.1}};
  for (const auto& [dtype, bound] : bounds) {
    EXPECT_LE(relative_error(values, round_trip(format_of(dtype), values)), bound) << name_of(dtype);
  }
}

TEST(Formats, ZerosStayZerosInEveryFormat) {
  const std::vector<float> zeros(512, 0.0f);
  for (const BlockFormat& format : all_formats()) {
    if (format.quantize_row != nullptr) {
      EXPECT_EQ(round_trip(format, zeros), zeros) << format.name;
    }
  }
}

TEST(Formats, QuantizingNonFiniteAndTinyNumbersIsDefined) {
  std::vector<float> values = random_values(1024, 3);
  values[0] = std::numeric_limits<float>::quiet_NaN();
  values[300] = std::numeric_limits<float>::infinity();
  values[600] = -std::numeric_limits<float>::infinity();
  for (size_t i = 768; i < 1024; ++i) values[i] = std::numeric_limits<float>::denorm_min();
  for (const BlockFormat& format : all_formats()) {
    if (format.quantize_row != nullptr) round_trip(format, values);
  }
}

TEST(Formats, Q4LowNibblesAreTheFirstSixteenNumbers) {
  std::vector<std::byte> block(18, std::byte{0x88});
  const uint16_t two = f32_to_f16(2.0f);
  std::memcpy(block.data(), &two, 2);
  block[2 + 3] = std::byte{0xF1};  // element 3 has code 1, element 19 code 15
  std::vector<float> values(32);
  format_of(DType::kQ4_0).dequantize_row(block.data(), values.data(), 32);
  EXPECT_EQ(values[3], -14.0f);
  EXPECT_EQ(values[19], 14.0f);
  EXPECT_EQ(values[0], 0.0f);
}

TEST(Formats, Q6SubScalesBelongToSixteenNeighbours) {
  std::vector<std::byte> block(210, std::byte{0});
  for (int i = 128; i < 192; ++i) block[static_cast<size_t>(i)] = std::byte{0xFF};  // codes 48: value 16
  for (int s = 0; s < 16; ++s) block[static_cast<size_t>(192 + s)] = static_cast<std::byte>(s - 8);
  const uint16_t half = f32_to_f16(0.5f);
  std::memcpy(block.data() + 208, &half, 2);
  std::vector<float> values(256);
  format_of(DType::kQ6_K).dequantize_row(block.data(), values.data(), 256);
  for (size_t i = 0; i < 256; ++i)
    EXPECT_EQ(values[i], 8.0f * static_cast<float>(static_cast<int>(i / 16) - 8));
}

TEST(Formats, Q4KScalesOfTheLastFourSubBlocksAreSplitInTwo) {
  std::vector<std::byte> block(144, std::byte{0});
  const uint16_t one = f32_to_f16(1.0f), half = f32_to_f16(0.5f);
  std::memcpy(block.data(), &one, 2);
  std::memcpy(block.data() + 2, &half, 2);
  block[4 + 1] = std::byte{0x80 | 3};  // scale 1 is 3; the high pair of scale 5 is 2
  block[8 + 1] = std::byte{0x40 | 4};  // minimum 1 is 4; the high pair of minimum 5 is 1
  block[12 + 1] = std::byte{0x21};     // low halves of scale 5 and minimum 5: 1 and 2
  for (size_t i = 16; i < 144; ++i) block[i] = std::byte{0x75};  // even sub-blocks' codes 5, odd ones' 7
  std::vector<float> values(256);
  format_of(DType::kQ4_K).dequantize_row(block.data(), values.data(), 256);
  EXPECT_EQ(values[0], 0.0f);
  EXPECT_EQ(values[32], 3.0f * 7 - 0.5f * 4);
  EXPECT_EQ(values[160], 33.0f * 7 - 0.5f * 18);
}

TEST(Formats, Iq4CodesNameValuesDenserAroundZero) {
  std::vector<std::byte> block(18, std::byte{0x80});  // low halves 0, high halves 8
  const uint16_t two = f32_to_f16(2.0f);
  std::memcpy(block.data(), &two, 2);
  std::vector<float> values(32);
  format_of(DType::kIQ4_NL).dequantize_row(block.data(), values.data(), 32);
  EXPECT_EQ(values[0], -254.0f);
  EXPECT_EQ(values[16], 2.0f);
}

TEST(Formats, NamesAreFoundWhateverTheirCase) {
  EXPECT_EQ(dtype_named("q6_K"), DType::kQ6_K);
  EXPECT_EQ(dtype_named("q6_k"), DType::kQ6_K);
  EXPECT_EQ(dtype_named("BF16"), DType::kBF16);
  EXPECT_EQ(dtype_named("q3_0"), std::nullopt);
  EXPECT_EQ(dtype_named(""), std::nullopt);
}

TEST(Formats, RowBytesRefusesPartialBlocksNegativeAndWrappingSizes) {
  EXPECT_EQ(row_bytes(DType::kQ4_0, 64), 36);
  EXPECT_EQ(row_bytes(DType::kQ6_K, 0), 0);
  EXPECT_THROW(row_bytes(DType::kQ4_0, 33), Error);
  EXPECT_THROW(row_bytes(DType::kF32, -4), Error);
  EXPECT_THROW(row_bytes(DType::kF32, int64_t{1} << 62), Error);
}

TEST(HalfPrecision, EveryF16BitPatternSurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const float value = f16_to_f32(static_cast<uint16_t>(bits));
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(value))));
    } else {
      ASSERT_EQ(f32_to_f16(value), bits);
    }
  }
}

TEST(HalfPrecision, RoundsToNearestEvenAndOverflowsToInfinity) {
  EXPECT_EQ(f32_to_f16(1.0f + 0x1p-11f), 0x3C00);  // tie to even
  EXPECT_EQ(f32_to_f16(1.0f + 0x1p-11f + 0x1p-20f), 0x3C01);
  EXPECT_EQ(f32_to_f16(65519.0f), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7C00);
  EXPECT_EQ(f32_to_f16(-1e30f), 0xFC00);
  EXPECT_EQ(f32_to_f16(0x1p-25f), 0x0000);  // half of the smallest: tie to even
  EXPECT_EQ(f32_to_f16(0x1.8p-25f), 0x0001);
  EXPECT_EQ(f16_to_f32(0x0001), 0x1p-24f);
  EXPECT_EQ(f16_to_f32(0xC000), -2.0f);
}

TEST(HalfPrecision, BFloat16RoundsToNearestEvenAndKeepsNaN) {
  EXPECT_EQ(f32_to_bf16(1.0f + 0x1p-8f), 0x3F80);
  EXPECT_EQ(f32_to_bf16(1.0f + 0x1.8p-7f), 0x3F82);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7F80);
  const float nan = std::bit_cast<float>(0x7F800001u);
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(nan))));
}

}  // namespace
}  // namespace chaski
