// Products of the CPU backend against float64, on every code path, format and ragged size; and the promise
// that a row's bits depend on nothing but the row.
#include <algorithm>
#include <numeric>

#include "unit/cpu_fixture.h"

namespace chaski {
namespace {

class CpuLinear : public CpuPath {};
CHASKI_ON_EVERY_PATH(CpuLinear);

struct Reference {
  double value;
  double magnitude;      ///< Σ |x w|
  double rounding_x;     ///< how far rounding x to 8 bits per 32 may move the sum
  double rounding_wide;  ///< how far rounding both to 14 bits per 32 may
};

Reference reference(const float* x, const float* w, int64_t n) {
  Reference r{0, 0, 0, 0};
  for (int64_t begin = 0; begin < n; begin += 32) {
    double largest = 0, largest_weight = 0, weights = 0, activations = 0;
    for (int64_t i = begin; i < std::min(begin + 32, n); ++i) {
      r.value += double{x[i]} * w[i];
      r.magnitude += std::fabs(double{x[i]} * w[i]);
      largest = std::max(largest, std::fabs(double{x[i]}));
      largest_weight = std::max(largest_weight, std::fabs(double{w[i]}));
      weights += std::fabs(double{w[i]});
      activations += std::fabs(double{x[i]});
    }
    r.rounding_x += largest / 127 * 0.5 * weights;
    r.rounding_wide += largest / 8191 * 0.5 * weights + largest_weight / 4096 * 0.5 * activations;
  }
  return r;
}

void expect_product(const cpu::KernelTable& kernels, Precision precision, DType dtype, int64_t n_rows,
                    int64_t n_out, int64_t n_in) {
  SCOPED_TRACE(fmt::format("{} {} {} rows, [{}, {}]", kernels.isa, name_of(dtype), n_rows, n_out, n_in));
  CpuMachine machine(kernels, precision);
  const WeightSourcePtr source = random_weight(dtype, {n_out, n_in}, 7);
  const WeightId w = machine.ops.add_weight(source);
  const HostTensor x = random_tensor({n_rows, n_in}, 8);
  HostTensor out({n_rows, n_out});
  machine.ops.linear(x.view, w, out.view);

  std::vector<std::byte> stored(static_cast<size_t>(row_bytes(dtype, n_in)));
  std::vector<float> row(static_cast<size_t>(n_in));
  for (int64_t o = 0; o < n_out; ++o) {
    source->read_rows(o, 1, stored);
    format_of(dtype).dequantize_row(stored.data(), row.data(), n_in);
    for (int64_t r = 0; r < n_rows; ++r) {
      const Reference expected = reference(x.view.f32() + r * n_in, row.data(), n_in);
      const double rounding = precision == Precision::kExact    ? 0.0
                              : format_of(dtype).is_quantized() ? expected.rounding_x
                              : n_out > 1                       ? expected.rounding_wide
                                                                : 0.0;
      // The sum over k is made of short chains: a few roundings of partial sums, never n of them.
      const double bound = 2e-6 * expected.magnitude + 1.01 * rounding + 1e-30;
      ASSERT_NEAR(out.view.f32()[r * n_out + o], expected.value, bound) << "row " << r << " output " << o;
    }
  }
}

TEST_P(CpuLinear, EqualsFloat64ForEveryFormatAndRaggedSize) {
  for (const DType dtype : kMatrixTypes) {
    const int64_t block = format_of(dtype).block_elements;
    for (const Precision precision : {Precision::kExact, Precision::kFast}) {
      for (const int64_t n_rows : {1, 2, 3, 5, 17}) {
        expect_product(*GetParam(), precision, dtype, n_rows, 21, 3 * block);
      }
      expect_product(*GetParam(), precision, dtype, 2, 1, block);
      expect_product(*GetParam(), precision, dtype, 3, 16, 2 * block);
      expect_product(*GetParam(), precision, dtype, 1, 33, 768);
    }
  }
}

TEST_P(CpuLinear, TakesMoreRowsThanItStagesAtOnce) {
  for (const DType dtype : {DType::kF32, DType::kQ8_0}) {
    expect_product(*GetParam(), Precision::kFast, dtype, 259, 17, 64);
  }
}

TEST_P(CpuLinear, ExtremeCodesDoNotOverflow) {
  // Every code at its end, every activation at ±127: the largest integer sums there can be.
  for (const DType dtype : kMatrixTypes) {
    if (!format_of(dtype).is_quantized()) continue;
    const int64_t n_in = 256;
    std::vector<std::byte> bytes(static_cast<size_t>(2 * row_bytes(dtype, n_in)), std::byte{0xff});
    std::fill(bytes.begin() + row_bytes(dtype, n_in), bytes.end(), std::byte{0x80});
    fill_block_factors(dtype, bytes,
                       [](size_t i) { return static_cast<uint16_t>(i == 0 ? 0x3c00 : 0); });  // 1, and 0
    const auto source = std::make_shared<HostWeight>("w", dtype, Shape{2, n_in}, bytes);
    for (const float sign : {1.0f, -1.0f}) {
      CpuMachine machine(*GetParam(), Precision::kFast);
      ScalarOps scalar;
      const WeightId w = machine.ops.add_weight(source);
      scalar.add_weight(source);
      const HostTensor x({1, n_in}, std::vector<float>(static_cast<size_t>(n_in), 127 * sign));
      HostTensor out({1, 2}), expected({1, 2});
      machine.ops.linear(x.view, w, out.view);
      scalar.linear(x.view, w, expected.view);
      for (int64_t o = 0; o < 2; ++o) {
        const float value = expected.view.f32()[o];
        EXPECT_NEAR(out.view.f32()[o], value, 1e-5 * std::fabs(value)) << name_of(dtype);
      }
    }
  }
}

TEST_P(CpuLinear, ARowHasTheSameBitsAloneAndInABatchAndOnAnyNumberOfThreads) {
  for (const DType dtype : kMatrixTypes) {
    for (const Precision precision : {Precision::kExact, Precision::kFast}) {
      CpuMachine one(*GetParam(), precision, 1), two(*GetParam(), precision, 2);
      const WeightSourcePtr source = random_weight(dtype, {150, 512}, 3);
      const WeightId w = one.ops.add_weight(source);
      two.ops.add_weight(source);
      const HostTensor x = random_tensor({7, 512}, 4);
      HostTensor together({7, 150}), on_two({7, 150}), alone({7, 150});
      one.ops.linear(x.view, w, together.view);
      two.ops.linear(x.view, w, on_two.view);
      for (int64_t r = 0; r < 7; ++r) one.ops.linear(x.view.rows(r, 1), w, alone.view.rows(r, 1));
      EXPECT_TRUE(same_bits(together, alone)) << name_of(dtype) << " " << name_of(precision);
      EXPECT_TRUE(same_bits(together, on_two)) << name_of(dtype) << " " << name_of(precision);
    }
  }
}

TEST_P(CpuLinear, NotANumberAndInfinityReachTheOutput) {
  for (const DType dtype : kMatrixTypes) {
    for (const Precision precision : {Precision::kExact, Precision::kFast}) {
      for (const float bad : {NAN, INFINITY}) {
        CpuMachine machine(*GetParam(), precision);
        const WeightId w = machine.ops.add_weight(random_weight(dtype, {16, 256}, 3));
        HostTensor x = random_tensor({2, 256}, 4);
        x.values[37] = bad;
        HostTensor out({2, 16});
        machine.ops.linear(x.view, w, out.view);
        int n_bad = 0;
        for (int64_t o = 0; o < 16; ++o) {
          n_bad += std::isfinite(out.view.f32()[o]) ? 0 : 1;
          EXPECT_TRUE(std::isfinite(out.view.f32()[16 + o]));
        }
        EXPECT_GE(n_bad, 14) << name_of(dtype);  // a weight may be zero
      }
    }
  }
}

/// Rows of a table of `dtype` as this machine and the oracle embed them.
void embed_both(const cpu::KernelTable& kernels, Precision precision, DType dtype, HostTensor& out,
                HostTensor& expected) {
  const WeightSourcePtr table = random_weight(dtype, {37, out.view.n_cols()}, 5);
  CpuMachine machine(kernels, precision);
  ScalarOps scalar;
  const WeightId id = machine.ops.add_weight(table);
  scalar.add_weight(table);
  HostTensor tokens = HostTensor::of_ints({0, 36, 16, 15, 1, 36, 7});
  machine.ops.embed(id, tokens.view, out.view);
  scalar.embed(id, tokens.view, expected.view);
}

TEST_P(CpuLinear, EmbeddingsAreTheStoredRowsExactly) {
  for (const DType dtype : kMatrixTypes) {
    const bool is_quantized = format_of(dtype).is_quantized();
    const int64_t n_cols = 2 * format_of(dtype).block_elements + (is_quantized ? 0 : 5);
    HostTensor out({7, n_cols}), expected({7, n_cols});
    embed_both(*GetParam(), is_quantized ? Precision::kFast : Precision::kExact, dtype, out, expected);
    EXPECT_TRUE(same_bits(out, expected)) << name_of(dtype);
  }
}

TEST_P(CpuLinear, EmbeddingsOfNumbersAreRoundedALittleWhereFast) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    HostTensor out({7, 77}), expected({7, 77});
    embed_both(*GetParam(), Precision::kFast, dtype, out, expected);
    for (size_t i = 0; i < out.values.size(); ++i)
      ASSERT_NEAR(out.values[i], expected.values[i], 4.0 / 8192) << name_of(dtype) << " element " << i;
  }
}

TEST(CpuWeights, WideCodesReachFromTheSmallestNumbersToTheLargest) {
  // Per block of 32: what is within a 32nd of the largest keeps all bits of a bf16; a NaN stays no number.
  for (const float scale : {1e-36f, 1e-30f, 1.0f, 1e30f, 3e38f}) {
    HostTensor w({2, 64});
    for (size_t i = 0; i < w.values.size(); ++i) {
      const float x = scale * (1.0f - static_cast<float>(i % 32) / 33);
      w.values[i] = bf16_to_f32(f32_to_bf16(i % 2 == 0 ? x : -x));
    }
    CpuMachine machine(cpu::kernels_for(""), Precision::kFast);
    const WeightId id = machine.ops.add_weight(HostWeight::from_f32("w", {2, 64}, w.values, DType::kBF16));
    HostTensor out({2, 64});
    machine.ops.embed(id, HostTensor::of_ints({0, 1}).view, out.view);
    for (size_t i = 0; i < w.values.size(); ++i)
      ASSERT_NEAR(out.values[i], w.values[i], scale < 1e-35f ? 2e-38f : 0.0f) << scale << " element " << i;
  }
  std::vector<float> bad(64, 1.0f);
  bad[40] = NAN;
  CpuMachine machine(cpu::kernels_for(""), Precision::kFast);
  const WeightId id = machine.ops.add_weight(HostWeight::from_f32("w", {2, 32}, bad, DType::kBF16));
  const HostTensor x = random_tensor({1, 32}, 1);
  HostTensor out({1, 2});
  machine.ops.linear(x.view, id, out.view);
  EXPECT_TRUE(std::isfinite(out.values[0]));
  EXPECT_FALSE(std::isfinite(out.values[1]));
}

TEST(CpuWeights, BlocksOfAnyBitsComeOutOfPanelsAsTheyAreDefined) {
  for (const DType dtype : kMatrixTypes) {
    if (!format_of(dtype).is_quantized()) continue;
    const int64_t n_rows = 37, n_cols = 512;
    const std::vector<std::byte> bytes = random_blocks(dtype, n_rows, n_cols, 11);
    CpuMachine machine(cpu::kernels_for(""), Precision::kFast);
    ScalarOps scalar;
    const auto table = std::make_shared<HostWeight>("w", dtype, Shape{n_rows, n_cols}, bytes);
    const WeightId id = machine.ops.add_weight(table);
    scalar.add_weight(table);
    std::vector<int32_t> all(static_cast<size_t>(n_rows));
    std::iota(all.begin(), all.end(), 0);
    const HostTensor tokens = HostTensor::of_ints(all);
    HostTensor out({n_rows, n_cols}), expected({n_rows, n_cols});
    machine.ops.embed(id, tokens.view, out.view);
    scalar.embed(id, tokens.view, expected.view);
    EXPECT_TRUE(same_bits(out, expected)) << name_of(dtype);
  }
}

TEST(CpuWeights, PanelsAreLittleLargerThanFiles) {
  for (const DType dtype : kMatrixTypes) {
    const double stored = static_cast<double>(64 * row_bytes(dtype, 4096));
    const double packed = static_cast<double>(cpu::PanelLayout(dtype, 64, 4096).bytes());
    EXPECT_LE(packed, stored * (dtype == DType::kQ2_K ? 1.2 : 1.05)) << name_of(dtype);
  }
}

TEST(CpuWeights, AnUnreadableWeightIsRefusedAndAWrongShapeIsOurBug) {
  CpuMachine machine(cpu::kernels_for(""), Precision::kFast);
  EXPECT_THROW(machine.ops.add_weight(
                   std::make_shared<HostWeight>("ids", DType::kI32, Shape{2, 2}, std::vector<std::byte>(16))),
               Error);
  const WeightId w = machine.ops.add_weight(random_weight(DType::kF32, {4, 8}, 1));
  EXPECT_EQ(machine.ops.weight(w).name(), "w");
  const HostTensor x({1, 7});
  HostTensor out({1, 4});
  EXPECT_THROW(machine.ops.linear(x.view, w, out.view), Error);
  EXPECT_THROW(machine.ops.linear(x.view, WeightId{5}, out.view), Error);
}

}  // namespace
}  // namespace chaski
