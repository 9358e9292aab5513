// What a trace says of ops: calls, bytes, phase and shape; and which kinds a fallback counts.
#include "ops/trace_ops.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "ops/fallback_ops.h"
#include "ops/scalar_ops.h"

namespace chaski {
namespace {

struct Values {
  explicit Values(Shape shape)
      : values(static_cast<size_t>(shape.n_elements()), 1.0f), view{values.data(), DType::kF32, shape} {}
  std::vector<float> values;
  TensorView view;
};

WeightId add(Ops& ops, Shape shape) {
  return ops.add_weight(
      HostWeight::from_f32("w", shape, std::vector<float>(static_cast<size_t>(shape.n_elements()), 0.5f)));
}

TEST(TraceOps, CallsOfOneShapeInOnePhaseAreOneRow) {
  ScalarOps scalar;
  TraceOps trace(scalar);
  const WeightId w = add(trace, {2, 3});
  const Values one({1, 3}), one_out({1, 2}), four({4, 3}), four_out({4, 2});
  trace.begin_phase("prefill");
  trace.linear(four.view, w, four_out.view);
  trace.begin_phase("decode");
  trace.linear(one.view, w, one_out.view);
  trace.linear(one.view, w, one_out.view);
  const std::vector<TraceRow> rows = trace.rows();
  ASSERT_EQ(rows.size(), 2u);
  const TraceRow& decode = rows[rows[0].phase == "decode" ? 0 : 1];
  EXPECT_EQ(decode.calls, 2);
  EXPECT_EQ(decode.shape, "1 × 3 · 2 × 3");
  EXPECT_EQ(decode.bytes, 2 * 4 * (3 + 2 + 2 * 3));
}

TEST(TraceOps, AWeightThatWasAddedBeforeTheTraceIsKnownToIt) {
  ScalarOps scalar;
  const WeightId w = add(scalar, {2, 3});
  TraceOps trace(scalar);
  const Values x({1, 3}), out({1, 2});
  trace.linear(x.view, w, out.view);
  EXPECT_EQ(trace.rows()[0].shape, "1 × 3 · 2 × 3");
}

/// Has no addition.
class NoAdd : public ScalarOps {
 public:
  OpSupport supports(const OpQuery& query) const override {
    return query.kind == OpKind::kAdd ? OpSupport{"no addition"} : OpSupport{};
  }
};

TEST(FallbackOps, KindsOfOpAreCountedOnceHoweverOftenTheyAreCalled) {
  NoAdd device;
  ScalarOps host;
  FallbackOps ops(device, host);
  const Values x({1, 2}), y({1, 2});
  for (int i = 0; i < 3; ++i) ops.add(x.view, y.view, x.view);
  ops.swiglu(x.view, y.view, x.view);
  EXPECT_EQ(ops.n_calls(), 4);
  EXPECT_EQ(ops.n_fallbacks(), 3);
  EXPECT_EQ(ops.n_kinds(), 2);
  EXPECT_EQ(ops.n_fallback_kinds(), 1);
}

}  // namespace
}  // namespace chaski
