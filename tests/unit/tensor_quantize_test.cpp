// The fast row codecs against the definition, byte for byte, and the quantisers against plain rounding.
#include "tensor/quantize.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/rng.h"

namespace chaski {
namespace {

constexpr std::array kPaths = {"scalar", "avx2", "avx512"};

bool is_here(std::string_view isa) {
  try {
    row_codec(DType::kF32, isa);
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::vector<float> normal_values(size_t n, uint64_t seed) {
  std::vector<float> values(n);
  for (size_t i = 0; i < n; ++i) {
    const double radius = std::sqrt(-2 * std::log(uniform01(seed, 0, i) + 1e-12));
    values[i] = static_cast<float>(0.02 * radius * std::cos(6.28318530718 * uniform01(seed, 1, i)));
  }
  return values;
}

/// Rows of 2304 numbers, each a different kind of trouble; 2304 leaves a lone block after the last pair.
std::vector<std::vector<float>> difficult_rows() {
  constexpr size_t kColumns = 2304;
  const float tiny = std::numeric_limits<float>::denorm_min(), huge = std::numeric_limits<float>::max();
  const float infinity = std::numeric_limits<float>::infinity(),
              nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<std::vector<float>> rows;
  for (const float constant :
       {0.0f, -0.0f, 1.0f, -1.0f, tiny, -tiny, huge, -huge, infinity, -infinity, nan, -nan}) {
    rows.emplace_back(kColumns, constant);
  }
  for (uint64_t seed = 1; seed <= 8; ++seed) rows.push_back(normal_values(kColumns, seed));
  for (const float scale : {1e-38f, 1e-42f, 1e-20f, 1e20f, 1e38f}) {
    rows.push_back(normal_values(kColumns, 9));
    for (float& x : rows.back()) x *= scale * 50;
  }
  rows.push_back(normal_values(kColumns, 10));
  for (float& x : rows.back()) x = std::fabs(x);
  rows.push_back(normal_values(kColumns, 11));
  for (size_t i = 0; i < kColumns; ++i) {
    const std::array odd = {nan, infinity, -infinity, huge, -huge, tiny, -0.0f};
    if (uniform01(12, 0, i) < 0.02) rows.back()[i] = odd[i % odd.size()];
  }
  std::vector<float> any_bits(kColumns);
  for (uint64_t seed = 20; seed < 24; ++seed) {
    for (size_t i = 0; i < kColumns; ++i) {
      const auto bits = static_cast<uint32_t>(uniform01(seed, 0, i) * 0x1p32);
      any_bits[i] = __builtin_bit_cast(float, bits);
    }
    rows.push_back(any_bits);
  }
  return rows;
}

TEST(RowCodecs, EveryCodePathWritesTheSameBlocks) {
  const auto rows = difficult_rows();
  for (const BlockFormat& format : all_formats()) {
    if (format.quantize_row == nullptr) continue;
    for (const char* isa : kPaths) {
      if (!is_here(isa)) continue;
      const RowCodec codec = row_codec(format.dtype, isa);
      for (size_t r = 0; r < rows.size(); ++r) {
        const auto n = static_cast<int64_t>(rows[r].size());
        std::vector<std::byte> expected(static_cast<size_t>(row_bytes(format.dtype, n))),
            blocks(expected.size());
        format.quantize_row(rows[r].data(), expected.data(), n);
        codec.quantize_row(rows[r].data(), blocks.data(), n);
        ASSERT_EQ(blocks, expected) << format.name << " " << isa << " row " << r;
      }
    }
  }
}

TEST(RowCodecs, EveryCodePathReadsTheSameNumbersFromAnyBytes) {
  constexpr int64_t kColumns = 2304;
  for (const BlockFormat& format : all_formats()) {
    if (format.quantize_row == nullptr) continue;
    std::vector<std::byte> blocks(static_cast<size_t>(row_bytes(format.dtype, kColumns)));
    for (uint64_t seed = 1; seed <= 8; ++seed) {
      for (size_t i = 0; i < blocks.size(); ++i) {
        blocks[i] = static_cast<std::byte>(static_cast<int>(uniform01(seed, 0, i) * 256));
      }
      std::vector<float> expected(kColumns), values(kColumns);
      format.dequantize_row(blocks.data(), expected.data(), kColumns);
      for (const char* isa : kPaths) {
        if (!is_here(isa)) continue;
        row_codec(format.dtype, isa).dequantize_row(blocks.data(), values.data(), kColumns);
        for (size_t i = 0; i < values.size(); ++i) {
          if (std::isnan(expected[i]) && std::isnan(values[i])) continue;
          ASSERT_EQ(__builtin_bit_cast(uint32_t, values[i]), __builtin_bit_cast(uint32_t, expected[i]))
              << format.name << " " << isa << " number " << i;
        }
      }
    }
  }
}

TEST(RowCodecs, HalfPrecisionRowsAreTheNumbersOneByOne) {
  for (const int64_t n : {1, 7, 16, 33}) {  // rows that end within a register
    const std::vector<float> values = normal_values(static_cast<size_t>(n), 3);
    std::vector<uint16_t> f16(values.size()), bf16(values.size());
    row_codec(DType::kF16).quantize_row(values.data(), reinterpret_cast<std::byte*>(f16.data()), n);
    row_codec(DType::kBF16).quantize_row(values.data(), reinterpret_cast<std::byte*>(bf16.data()), n);
    for (size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(f16[i], f32_to_f16(values[i]));
      EXPECT_EQ(bf16[i], f32_to_bf16(values[i]));
    }
  }
}

TEST(RowCodecs, ABlockDoesNotDependOnItsNeighbours) {
  const std::vector<float> values = normal_values(1280, 5);
  for (const BlockFormat& format : all_formats()) {
    if (format.quantize_row == nullptr) continue;
    std::vector<std::byte> whole(static_cast<size_t>(row_bytes(format.dtype, 1280)));
    std::vector<std::byte> alone(static_cast<size_t>(row_bytes(format.dtype, 256)));
    format.quantize_row(values.data(), whole.data(), 1280);
    for (size_t block = 0; block < 5; ++block) {
      format.quantize_row(values.data() + 256 * block, alone.data(), 256);
      EXPECT_EQ(std::memcmp(whole.data() + block * alone.size(), alone.data(), alone.size()), 0)
          << format.name;
    }
  }
}

TEST(RowCodecs, LossOnNormalWeightsStaysWithinEachFormatsBound) {
  // Relative mean square errors; bounds a few per cent above what the search reaches.
  const std::vector<std::pair<DType, double>> bounds = {
      {DType::kQ8_0, 3.0e-5},  {DType::kQ6_K, 3.3e-4},  {DType::kQ5_K, 1.3e-3},   {DType::kQ4_K, 5.3e-3},
      {DType::kQ3_K, 2.45e-2}, {DType::kQ2_K, 7.7e-2},  {DType::kQ4_0, 7.8e-3},   {DType::kQ4_1, 6.5e-3},
      {DType::kQ5_0, 1.95e-3}, {DType::kQ5_1, 1.55e-3}, {DType::kIQ4_NL, 6.2e-3}, {DType::kIQ4_XS, 6.3e-3}};
  const std::vector<float> values = normal_values(65536, 1);
  for (const auto& [dtype, bound] : bounds) {
    std::vector<std::byte> blocks(static_cast<size_t>(row_bytes(dtype, 65536)));
    std::vector<float> back(values.size());
    row_codec(dtype).quantize_row(values.data(), blocks.data(), 65536);
    row_codec(dtype).dequantize_row(blocks.data(), back.data(), 65536);
    double error = 0, norm = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      error += std::pow(static_cast<double>(values[i]) - static_cast<double>(back[i]), 2);
      norm += std::pow(static_cast<double>(values[i]), 2);
    }
    EXPECT_LE(error / norm, bound) << name_of(dtype);
  }
}

TEST(RowCodecs, AskingForAnUnknownPathOrForIntegersIsUnsupported) {
  EXPECT_EQ(row_codec(DType::kQ4_K, "scalar").isa, "scalar");
  for (const auto& [dtype, isa] : {std::pair{DType::kQ8_0, "mmx"}, std::pair{DType::kI32, ""}}) {
    try {
      row_codec(dtype, isa);
      FAIL() << isa;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    }
  }
}

}  // namespace
}  // namespace chaski
