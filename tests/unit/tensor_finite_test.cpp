// Finding NaN and infinity in rows of every type.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/error.h"
#include "tensor/finite.h"

namespace chaski {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kN = 512;

std::vector<std::byte> ordinary_row(DType dtype, float scale = 1) {
  std::vector<float> values(kN);
  for (int64_t i = 0; i < kN; ++i) {
    values[static_cast<size_t>(i)] = scale * std::sin(static_cast<float>(i) * 0.7f + 0.1f);
  }
  std::vector<std::byte> row(static_cast<size_t>(row_bytes(dtype, kN)));
  format_of(dtype).quantize_row(values.data(), row.data(), kN);
  return row;
}

TEST(Finite, OrdinaryRowsOfEveryTypePass) {
  for (const BlockFormat& format : all_formats()) {
    if (format.dtype == DType::kI32) continue;
    EXPECT_FALSE(first_nonfinite(format.dtype, ordinary_row(format.dtype), kN)) << format.name;
  }
}

TEST(Finite, TheLargestNumbersOfATypeAreFinite) {
  const std::vector<float> values{std::numeric_limits<float>::max(), std::numeric_limits<float>::lowest(),
                                  std::numeric_limits<float>::denorm_min(), -0.0f};
  EXPECT_FALSE(first_nonfinite(DType::kF32, std::as_bytes(std::span(values)), 4));
  const std::vector<uint16_t> f16{0x7BFF, 0xFBFF, 0x0001, 0x8000}, bf16{0x7F7F, 0xFF7F, 0x0001, 0x8000};
  EXPECT_FALSE(first_nonfinite(DType::kF16, std::as_bytes(std::span(f16)), 4));
  EXPECT_FALSE(first_nonfinite(DType::kBF16, std::as_bytes(std::span(bf16)), 4));
}

TEST(Finite, TheFirstOfSeveralIsNamedWhereverItStands) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    for (const float bad : {kInf, -kInf, kNan, -kNan}) {
      for (const int64_t n : {1, 7, 127, 128, 129, 500}) {
        for (int64_t at = 0; at < n; at += 1 + n / 7) {
          std::vector<float> values(static_cast<size_t>(n), 1.5f);
          values[static_cast<size_t>(at)] = bad;
          values.back() = bad;
          std::vector<std::byte> row(static_cast<size_t>(row_bytes(dtype, n)));
          format_of(dtype).quantize_row(values.data(), row.data(), n);
          EXPECT_EQ(first_nonfinite(dtype, row, n), at) << name_of(dtype) << " of " << n;
        }
      }
    }
  }
}

/// A type's rows agree with their own definition: whatever two bytes of a block are overwritten with infinity
/// or NaN, the block is named exactly where dequantising gives such a number.
TEST(Finite, ABlockIsNamedWhereItsScaleOrMinimumIsNotFinite) {
  for (const BlockFormat& format : all_formats()) {
    if (!format.is_quantized()) continue;
    int n_found = 0;
    for (int at = 0; at + 2 <= format.block_bytes; at += 2) {
      std::vector<std::byte> row = ordinary_row(format.dtype);
      const uint16_t infinity = 0xFC00;
      std::memcpy(row.data() + format.block_bytes + at, &infinity, sizeof infinity);
      std::vector<float> values(kN);
      format.dequantize_row(row.data(), values.data(), kN);
      bool is_finite = true;
      for (const float value : values) is_finite = is_finite && std::isfinite(value);
      const auto found = first_nonfinite(format.dtype, row, kN);
      EXPECT_EQ(found.has_value(), !is_finite) << format.name << " at byte " << at;
      if (found) {
        EXPECT_EQ(*found, format.block_elements) << format.name;
      }
      n_found += found.has_value();
    }
    EXPECT_GE(n_found, 1) << format.name;
  }
}

WeightSourcePtr weight_with(std::vector<float> values, Shape shape) {
  return HostWeight::from_f32("w", shape, values);
}

TEST(Finite, ACheckedWeightRefusesAndNamesTheFirstNumberWhicheverRowIsRead) {
  std::vector<float> values(12, 1.0f);
  values[5] = kNan;
  values[11] = kInf;
  const WeightSourcePtr weight = checked_finite(weight_with(values, {3, 4}));
  std::vector<std::byte> row(16);
  weight->read_rows(0, 1, row);
  try {
    weight->read_rows(2, 1, row);
    FAIL() << "a row with infinity was handed out";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
    const std::string what = error.what();
    EXPECT_NE(what.find("weight w"), what.npos) << what;
    EXPECT_NE(what.find("index 5 (row 1, column 1)"), what.npos) << what;
    EXPECT_NE(error.hint().find("--allow-nonfinite"), what.npos);
  }
}

TEST(Finite, ACheckedWeightThatIsAllowedIsToldOnceAndHandedOut) {
  std::vector<float> values(12, 1.0f);
  values[5] = kNan;
  int n_told = 0;
  const WeightSourcePtr weight =
      checked_finite(weight_with(values, {3, 4}), [&](const std::string&) { ++n_told; });
  std::vector<std::byte> rows(48);
  weight->read_rows(0, 3, rows);
  weight->read_rows(0, 3, rows);
  EXPECT_EQ(n_told, 1);
  float read;
  std::memcpy(&read, rows.data() + 20, sizeof read);
  EXPECT_TRUE(std::isnan(read));
}

}  // namespace
}  // namespace chaski
