// The oracle against numbers worked out here, so that what all else is compared with is itself checked.
#include "ops/kv_rows.h"
#include "ops/scalar_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace chaski {
namespace {

struct Values {
  Values(Shape shape, std::vector<float> v) : values(std::move(v)), view{values.data(), DType::kF32, shape} {}
  explicit Values(Shape shape) : Values(shape, std::vector<float>(static_cast<size_t>(shape.n_elements()))) {}
  std::vector<float> values;
  TensorView view;
};

TensorView ints(std::vector<int32_t>& v) { return {v.data(), DType::kI32, {static_cast<int64_t>(v.size())}}; }

WeightId add(ScalarOps& ops, Shape shape, const std::vector<float>& values) {
  return ops.add_weight(HostWeight::from_f32("w", shape, values));
}

TEST(ScalarOps, LinearMultipliesByTheTransposedWeight) {
  ScalarOps ops;
  const WeightId w = add(ops, {2, 3}, {1, 2, 3, 4, 5, 6});
  const Values x({2, 3}, {1, 0, -1, 2, 2, 2});
  const Values out({2, 2});
  ops.linear(x.view, w, out.view);
  EXPECT_EQ(out.values, (std::vector<float>{-2, -2, 12, 30}));
}

TEST(ScalarOps, RmsNormScalesToUnitMeanSquareTimesGain) {
  ScalarOps ops;
  const WeightId gain = add(ops, {2}, {1, 2});
  const Values x({1, 2}, {3, 4});
  const Values out({1, 2});
  ops.rms_norm(x.view, gain, 0, out.view);
  EXPECT_FLOAT_EQ(out.values[0], 3 / std::sqrt(12.5f));
  EXPECT_FLOAT_EQ(out.values[1], 8 / std::sqrt(12.5f));
}

TEST(ScalarOps, SwigluIsGateTimesItsSigmoidTimesUp) {
  ScalarOps ops;
  const Values gate({1, 2}, {0, 1});
  const Values up({1, 2}, {5, 3});
  ops.swiglu(gate.view, up.view, gate.view);
  EXPECT_FLOAT_EQ(gate.values[0], 0);
  EXPECT_FLOAT_EQ(gate.values[1], 3 / (1 + std::exp(-1.0f)));
}

TEST(ScalarOps, ArgmaxTakesTheFirstOfEqualsAndRefusesNonFinite) {
  ScalarOps ops;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  const Values logits({4, 3}, {1, 7, 7, nan, 1, 2, 1, inf, 2, -inf, -inf, -1});
  std::vector<int32_t> best(4);
  const Values largest({4});
  ops.argmax_rows(logits.view, ints(best), largest.view);
  EXPECT_EQ(best[0], 1);
  EXPECT_EQ(largest.values[0], 7);
  EXPECT_TRUE(std::isnan(largest.values[1]));
  EXPECT_EQ(largest.values[2], inf);
  EXPECT_EQ(best[3], 2);
  EXPECT_EQ(largest.values[3], -1);
}

TEST(ScalarOps, HalfActivationsAreRoundedWhereTheyAreStored) {
  ScalarOps ops;
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    // 1 + 2^-6 is the same in both; a third of it in neither.
    const WeightId third = add(ops, {1, 2}, {1.0f / 3, 0});
    std::vector<uint16_t> x(2), y(1), sum(1);
    const TensorView in{x.data(), dtype, {1, 2}}, out{y.data(), dtype, {1, 1}},
        both{sum.data(), dtype, {1, 1}};
    store_element(x.data(), dtype, 0, 1.015625f);
    ops.linear(in, third, out);
    std::vector<uint16_t> rounded(1);
    store_element(rounded.data(), dtype, 0, static_cast<float>(1.015625 * double{1.0f / 3}));
    EXPECT_EQ(y, rounded);
    ops.add(out, out, both);
    EXPECT_EQ(load_element(sum.data(), dtype, 0), 2 * load_element(y.data(), dtype, 0));
  }
}

TEST(ScalarOps, EmbedAndGatherPickRows) {
  ScalarOps ops;
  const WeightId table = add(ops, {3, 2}, {1, 2, 3, 4, 5, 6});
  std::vector<int32_t> ids{2, 0};
  const Values x({2, 2});
  ops.embed(table, ints(ids), x.view);
  EXPECT_EQ(x.values, (std::vector<float>{5, 6, 1, 2}));
  std::vector<int32_t> rows{1};
  const Values last({1, 2});
  ops.gather_rows(x.view, ints(rows), last.view);
  EXPECT_EQ(last.values, (std::vector<float>{1, 2}));
  std::vector<int32_t> outside{3};
  EXPECT_THROW(ops.embed(table, ints(outside), last.view), Error);
}

TEST(KvStorage, EveryPlaceIsItsOwnAndThoseOfAPageLieTogether) {
  ScalarOps ops;
  constexpr int64_t kLayers = 3;
  for (const DType dtype : {DType::kF32, DType::kQ8_0}) {
    const KvStorage kv(ops.memory(), KvLayout::head_major(dtype, 4, 2, 32), kLayers, 5);
    const KvLayout& layout = kv.layout();
    const auto for_places = [&](auto&& act) {
      float value = 0;
      for (int64_t i = 0; i < kLayers * 5 * 4 * 2; ++i) {
        const KvLayer layer = kv.layer(i % kLayers);
        const KvPlace place{i / kLayers / 8, i / kLayers / 2 % 4, i / kLayers % 2};
        act(layout.k, layer.k, place, ++value);
        act(layout.v, layer.v, place, ++value);
      }
    };
    std::vector<float> row(32);
    for_places([&](const KvLayout::Strides& s, void* data, const KvPlace& place, float value) {
      std::fill(row.begin(), row.end(), value);
      store_kv_row(layout, s, data, place, row.data());
    });
    for_places([&](const KvLayout::Strides& s, void* data, const KvPlace& place, float value) {
      load_kv_row(layout, s, data, place, row.data());
      ASSERT_NEAR(row[31], value, 1e-3f * value);
    });
    EXPECT_EQ(kv.bytes(), 2 * kLayers * 5 * layout.page_bytes());
    EXPECT_EQ(layout.k.page * layout.element_bytes(), 2 * kLayers * layout.page_bytes());
  }
}

/// One sequence of `n` tokens through rope_append and attention on a layout; returns the attended rows.
std::vector<float> attend(const KvLayout& layout, int64_t n_heads, int64_t n) {
  ScalarOps ops;
  const int64_t dim = layout.head_dim;
  const int32_t n_pages = static_cast<int32_t>(n / layout.page_tokens + 1);
  const KvStorage kv(ops.memory(), layout, 1, n_pages + 1);
  StepInputs in;
  in.n_rows = static_cast<int32_t>(n);
  in.n_sequences = 1;
  std::vector<int32_t> positions, sequence(static_cast<size_t>(n), 0), slots, pages;
  for (int32_t p = 0; p < n_pages; ++p) pages.push_back(n_pages - p);  // scattered: last page first
  for (int32_t i = 0; i < n; ++i) {
    positions.push_back(i);
    slots.push_back(pages[static_cast<size_t>(i / layout.page_tokens)] * layout.page_tokens +
                    i % layout.page_tokens);
  }
  in.positions = ints(positions);
  in.sequence_of_row = ints(sequence);
  in.slots = ints(slots);
  in.page_table = {pages.data(), DType::kI32, {1, n_pages}};
  // No rotation, so that the expectation is plain: cosine 1, sine 0.
  Values rope({n, dim});
  for (int64_t r = 0; r < n; ++r) std::fill_n(rope.view.f32() + r * dim, dim / 2, 1.0f);
  in.rope = rope.view;
  Values q({n, n_heads * dim}), k({n, layout.n_kv_heads * dim}), v({n, layout.n_kv_heads * dim}),
      out({n, n_heads * dim});
  for (size_t i = 0; i < q.values.size(); ++i) q.values[i] = std::sin(static_cast<float>(i));
  for (size_t i = 0; i < k.values.size(); ++i) k.values[i] = std::cos(static_cast<float>(i));
  for (size_t i = 0; i < v.values.size(); ++i) v.values[i] = static_cast<float>(i % 7);
  const std::vector<float> queries = q.values, keys = k.values;
  ops.rope_append(q.view, k.view, v.view, in, kv.layer(0));
  EXPECT_EQ(q.values, queries);
  ops.attention(q.view, in, kv.layer(0), out.view);
  // The last row by definition.
  const int64_t group = n_heads / layout.n_kv_heads;
  for (int64_t h = 0; h < n_heads; ++h) {
    std::vector<double> weights;
    double total = 0;
    for (int64_t t = 0; t < n; ++t) {
      double dot = 0;
      for (int64_t d = 0; d < dim; ++d) {
        dot += double{queries[static_cast<size_t>(((n - 1) * n_heads + h) * dim + d)]} *
               keys[static_cast<size_t>((t * layout.n_kv_heads + h / group) * dim + d)];
      }
      weights.push_back(std::exp(dot / std::sqrt(static_cast<double>(dim))));
      total += weights.back();
    }
    for (int64_t d = 0; d < dim; ++d) {
      double sum = 0;
      for (int64_t t = 0; t < n; ++t) {
        sum += weights[static_cast<size_t>(t)] / total *
               v.values[static_cast<size_t>((t * layout.n_kv_heads + h / group) * dim + d)];
      }
      EXPECT_NEAR(out.values[static_cast<size_t>(((n - 1) * n_heads + h) * dim + d)], sum, 1e-5);
    }
  }
  return out.values;
}

TEST(ScalarOps, AttentionIsTheSameInEveryCacheGeometry) {
  const KvLayout token_major = KvLayout::token_major(DType::kF32, 4, 2, 6);
  const KvLayout head_major = KvLayout::head_major(DType::kF32, 3, 2, 6);
  KvLayout transposed = KvLayout::head_major(DType::kF32, 5, 2, 6);
  transposed.k = {5 * 2 * 6, 1, 6 * 5, 5};
  const std::vector<float> expected = attend(token_major, 4, 11);
  EXPECT_EQ(attend(head_major, 4, 11), expected);
  EXPECT_EQ(attend(transposed, 4, 11), expected);
}

TEST(Workspace, ScopesGiveBackWhatTheyTookAndOverflowIsABug) {
  HostMemory memory;
  Workspace ws(memory, 256);
  void* first = nullptr;
  {
    const Workspace::Scope scope(ws);
    first = ws.take(DType::kF32, {2, 16}).data;
    EXPECT_THROW(ws.take(DType::kF32, {64}), Error);
  }
  EXPECT_EQ(ws.take(DType::kF32, {16}).data, first);
  EXPECT_EQ(ws.peak(), 128u);
}

}  // namespace
}  // namespace chaski
