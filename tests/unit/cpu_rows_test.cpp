// Row-wise ops of the CPU backend against the scalar oracle, on every code path.
#include <limits>

#include "unit/cpu_fixture.h"

namespace chaski {
namespace {

class CpuRows : public CpuPath {};
CHASKI_ON_EVERY_PATH(CpuRows);

constexpr int64_t kWidths[] = {1, 3, 8, 17, 64, 576, 2048};

void expect_close(const HostTensor& got, const HostTensor& expected, double relative, double absolute) {
  for (size_t i = 0; i < got.values.size(); ++i) {
    const double e = double{expected.values[i]};
    ASSERT_NEAR(double{got.values[i]}, e, relative * std::fabs(e) + absolute) << "element " << i;
  }
}

TEST_P(CpuRows, NormEqualsTheOracle) {
  for (const int64_t width : kWidths) {
    CpuMachine machine(*GetParam(), Precision::kExact);
    ScalarOps scalar;
    const WeightSourcePtr gain = random_weight(DType::kF32, {width}, 1);
    const WeightId g = machine.ops.add_weight(gain);
    scalar.add_weight(gain);
    const HostTensor x = random_tensor({5, width}, 2, 3.0f);
    HostTensor out({5, width}), expected({5, width});
    machine.ops.rms_norm(x.view, g, 1e-5f, out.view);
    scalar.rms_norm(x.view, g, 1e-5f, expected.view);
    expect_close(out, expected, 1e-6, 1e-30);
  }
}

TEST_P(CpuRows, SwigluIsExactToAFewUnitsOverTheWholeRange) {
  // Gates from where the sigmoid vanishes to where it saturates; up = 1 shows it alone.
  const int64_t n = 20001;
  HostTensor gate({1, n}), up({1, n}), out({1, n}), expected({1, n});
  for (int64_t i = 0; i < n; ++i) {
    gate.values[static_cast<size_t>(i)] = -80.0f + 0.01f * static_cast<float>(i);
    up.values[static_cast<size_t>(i)] = 1.0f;
  }
  CpuMachine machine(*GetParam(), Precision::kExact);
  ScalarOps scalar;
  machine.ops.swiglu(gate.view, up.view, out.view);
  scalar.swiglu(gate.view, up.view, expected.view);
  expect_close(out, expected, 5e-7, 1e-37);
}

TEST_P(CpuRows, SwigluOfEndsIsWhatTheFormulaSays) {
  const float inf = std::numeric_limits<float>::infinity();
  HostTensor gate({1, 5}, {-1000.0f, 1000.0f, 0.0f, NAN, inf}), up({1, 5}, {2, 2, 2, 2, 2}), out({1, 5});
  CpuMachine machine(*GetParam(), Precision::kFast);
  machine.ops.swiglu(gate.view, up.view, out.view);
  EXPECT_EQ(out.values[0], 0.0f);
  EXPECT_EQ(out.values[1], 2000.0f);
  EXPECT_EQ(out.values[2], 0.0f);
  EXPECT_TRUE(std::isnan(out.values[3]));
  EXPECT_EQ(out.values[4], inf);
}

TEST_P(CpuRows, SwigluAndAddMayWriteOverTheirInputs) {
  const HostTensor a = random_tensor({3, 37}, 1), b = random_tensor({3, 37}, 2);
  CpuMachine machine(*GetParam(), Precision::kExact);
  HostTensor fresh({3, 37}), over_a(a), over_b(b);
  machine.ops.swiglu(a.view, b.view, fresh.view);
  machine.ops.swiglu(over_a.view, b.view, over_a.view);
  machine.ops.swiglu(a.view, over_b.view, over_b.view);
  EXPECT_TRUE(same_bits(fresh, over_a));
  EXPECT_TRUE(same_bits(fresh, over_b));
  HostTensor sum({3, 37}), sum_over(a);
  machine.ops.add(a.view, b.view, sum.view);
  machine.ops.add(sum_over.view, b.view, sum_over.view);
  EXPECT_TRUE(same_bits(sum, sum_over));
  EXPECT_EQ(sum.values[40], a.values[40] + b.values[40]);
}

TEST_P(CpuRows, GatherCopiesRows) {
  const HostTensor x = random_tensor({4, 19}, 1);
  HostTensor rows = HostTensor::of_ints({3, 0, 3});
  HostTensor out({3, 19}), expected({3, 19});
  CpuMachine machine(*GetParam(), Precision::kFast);
  ScalarOps scalar;
  machine.ops.gather_rows(x.view, rows.view, out.view);
  scalar.gather_rows(x.view, rows.view, expected.view);
  EXPECT_TRUE(same_bits(out, expected));
}

int32_t best_of(const cpu::KernelTable& kernels, std::vector<float> row) {
  CpuMachine machine(kernels, Precision::kFast, 1);
  const auto n = static_cast<int64_t>(row.size());
  const HostTensor logits({1, n}, std::move(row));
  HostTensor best = HostTensor::of_ints({-7});
  HostTensor largest({1});
  machine.ops.argmax_rows(logits.view, best.view, largest.view);
  return std::isfinite(largest.view.f32()[0]) ? best.ints[0] : -1;
}

TEST_P(CpuRows, TheBestTokenIsTheFirstOfTheLargestAndNoneWhereARowIsNotFinite) {
  const cpu::KernelTable& k = *GetParam();
  const float inf = std::numeric_limits<float>::infinity();
  for (const size_t n : {1u, 5u, 16u, 33u, 1000u}) {
    for (size_t at = 0; at < n; at += 1 + n / 7) {
      std::vector<float> row(n, -3.0f);
      row[at] = -1.0f;
      EXPECT_EQ(best_of(k, row), static_cast<int32_t>(at));
      row.back() = -1.0f;
      EXPECT_EQ(best_of(k, row), static_cast<int32_t>(at)) << "a tie";
      row[n / 2] = NAN;
      EXPECT_EQ(best_of(k, row), -1);
      row[n / 2] = -NAN;
      EXPECT_EQ(best_of(k, row), -1);
      row[n / 2] = inf;
      EXPECT_EQ(best_of(k, row), -1);
      row[n / 2] = -inf;
      EXPECT_EQ(best_of(k, row), n == 1 ? -1 : static_cast<int32_t>(at == n / 2 ? n - 1 : at));
    }
  }
  EXPECT_EQ(best_of(k, std::vector<float>(40, -inf)), -1);
}

TEST_P(CpuRows, RowsHaveTheSameBitsAloneAndTogether) {
  CpuMachine machine(*GetParam(), Precision::kFast, 2);
  const WeightId g = machine.ops.add_weight(random_weight(DType::kF32, {100}, 1));
  const HostTensor x = random_tensor({9, 100}, 2);
  HostTensor together({9, 100}), alone({9, 100}), act({9, 100}), act_alone({9, 100});
  machine.ops.rms_norm(x.view, g, 1e-5f, together.view);
  machine.ops.swiglu(x.view, x.view, act.view);
  for (int64_t r = 0; r < 9; ++r) {
    machine.ops.rms_norm(x.view.rows(r, 1), g, 1e-5f, alone.view.rows(r, 1));
    machine.ops.swiglu(x.view.rows(r, 1), x.view.rows(r, 1), act_alone.view.rows(r, 1));
  }
  EXPECT_TRUE(same_bits(together, alone));
  EXPECT_TRUE(same_bits(act, act_alone));
}

}  // namespace
}  // namespace chaski
