// The CPU backend's cache and attention against the scalar oracle: head sizes, groups, page lengths, layouts,
// cache types, and several sequences whose pages lie anywhere.
#include <algorithm>
#include <numeric>

#include "model/llama.h"
#include "ops/kv_rows.h"
#include "support/error_of.h"
#include "unit/cpu_fixture.h"

namespace chaski {
namespace {

class CpuAttention : public CpuPath {};
CHASKI_ON_EVERY_PATH(CpuAttention);

/// Where keys have a head's tokens adjacent.
KvLayout keys_transposed(DType dtype, int32_t page_tokens, int64_t n_kv_heads, int64_t head_dim) {
  KvLayout layout = KvLayout::head_major(dtype, page_tokens, n_kv_heads, head_dim);
  layout.k.token = 1;
  layout.k.dim = page_tokens;
  return layout;
}

/// [page][dim][head][token] for keys, [page][token][dim][head] for values: nothing where it is usual.
KvLayout odd(DType dtype, int32_t page_tokens, int64_t n_kv_heads, int64_t head_dim) {
  KvLayout layout = KvLayout::head_major(dtype, page_tokens, n_kv_heads, head_dim);
  layout.k.token = 1;
  layout.k.head = page_tokens;
  layout.k.dim = page_tokens * n_kv_heads;
  layout.v.head = 1;
  layout.v.dim = n_kv_heads;
  layout.v.token = n_kv_heads * head_dim;
  return layout;
}

/// Some sequences' last tokens, each sequence with its whole history in the cache.
struct Scene {
  int64_t n_heads;
  HostMemory memory;
  KvStorage kv;
  const KvLayout& layout = kv.layout();
  HostTensor positions, sequences, slots, page_table, rope;
  StepInputs in;

  struct Sequence {
    int32_t length;
    int32_t n_rows;
  };

  Scene(const KvLayout& l, int64_t heads, const std::vector<Sequence>& wanted)
      : n_heads(heads),
        kv(memory, l, 1, n_pages_of(wanted, l.page_tokens)),
        positions(Shape{0}),
        sequences(Shape{0}),
        slots(Shape{0}),
        page_table(Shape{0}),
        rope(Shape{0}) {
    const int32_t width = kv.n_pages();
    std::vector<int32_t> pages(static_cast<size_t>(width));
    std::iota(pages.begin(), pages.end(), 0);
    std::shuffle(pages.begin(), pages.end(), std::mt19937(9));
    std::vector<int32_t> table;
    int32_t longest = 0;
    size_t next_page = 0;
    for (size_t s = 0; s < wanted.size(); ++s) {
      const size_t row = table.size();
      table.resize(row + static_cast<size_t>(width));
      const auto n = static_cast<size_t>((wanted[s].length + l.page_tokens - 1) / l.page_tokens);
      for (size_t i = 0; i < n; ++i) table[row + i] = pages[next_page++];
      for (int32_t i = wanted[s].length - wanted[s].n_rows; i < wanted[s].length; ++i) {
        positions.ints.push_back(i);
        sequences.ints.push_back(static_cast<int32_t>(s));
        const int32_t page = table[row + static_cast<size_t>(i / l.page_tokens)];
        slots.ints.push_back(page * l.page_tokens + i % l.page_tokens);
      }
      longest = std::max(longest, wanted[s].length);
    }
    fill_cache();
    page_table.ints = table;
    page_table.view = {page_table.ints.data(), DType::kI32, {static_cast<int64_t>(wanted.size()), width}};
    for (HostTensor* t : {&positions, &sequences, &slots}) {
      t->view = {t->ints.data(), DType::kI32, {static_cast<int64_t>(t->ints.size())}};
    }
    ModelConfig config;
    config.head_dim = l.head_dim;
    config.rope_theta = 10000;
    rope.values = rope_table(config, longest);
    rope.view = {rope.values.data(), DType::kF32, {longest, l.head_dim}};
    in.phase = Phase::kMixed;
    in.n_rows = static_cast<int32_t>(positions.ints.size());
    in.n_sequences = static_cast<int32_t>(wanted.size());
    in.positions = positions.view;
    in.sequence_of_row = sequences.view;
    in.slots = slots.view;
    in.page_table = page_table.view;
    in.rope = rope.view;
  }

  static int32_t n_pages_of(const std::vector<Sequence>& wanted, int32_t page_tokens) {
    int32_t n = 1;  // one belongs to nobody
    for (const Sequence& s : wanted) n += (s.length + page_tokens - 1) / page_tokens;
    return n;
  }
  void fill_cache() {
    const int64_t n_rows = int64_t{kv.n_pages()} * layout.page_tokens * layout.n_kv_heads;
    const std::vector<float> values = random_floats(2 * n_rows * layout.head_dim, 11);
    for (int64_t i = 0; i < n_rows; ++i) {
      const KvPlace place = place_of(i);
      store_kv_row(layout, layout.k, kv.layer(0).k, place, values.data() + 2 * i * layout.head_dim);
      store_kv_row(layout, layout.v, kv.layer(0).v, place, values.data() + (2 * i + 1) * layout.head_dim);
    }
  }
  KvPlace place_of(int64_t row) const {
    const int64_t token = row / layout.n_kv_heads;
    return {token / layout.page_tokens, token % layout.page_tokens, row % layout.n_kv_heads};
  }
  Shape q_shape() const { return {in.n_rows, n_heads * layout.head_dim}; }
  Shape k_shape() const { return {in.n_rows, int64_t{layout.n_kv_heads} * layout.head_dim}; }
  std::vector<std::byte> cache_bytes() const {
    const auto* first = static_cast<const std::byte*>(kv.layer(0).k);
    return {first, first + kv.bytes()};
  }
};

const std::vector<Scene::Sequence> kThreeSequences = {{45, 1}, {1, 1}, {70, 11}};

void expect_attention(const cpu::KernelTable& kernels, const KvLayout& layout, int64_t group,
                      const std::vector<Scene::Sequence>& sequences = kThreeSequences) {
  SCOPED_TRACE(fmt::format("{} {} head_dim {} kv heads {} group {} pages of {}", kernels.isa,
                           name_of(layout.dtype), layout.head_dim, layout.n_kv_heads, group,
                           layout.page_tokens));
  Scene scene(layout, group * layout.n_kv_heads, sequences);
  CpuMachine machine(kernels, Precision::kExact);
  ScalarOps scalar;
  const HostTensor q = random_tensor(scene.q_shape(), 21);
  HostTensor out(scene.q_shape()), expected(scene.q_shape());
  machine.ops.attention(q.view, scene.in, scene.kv.layer(0), out.view);
  scalar.attention(q.view, scene.in, scene.kv.layer(0), expected.view);
  // Weighted means of values of size 1 to 4.
  for (size_t i = 0; i < out.values.size(); ++i) ASSERT_NEAR(out.values[i], expected.values[i], 4e-6) << i;
}

TEST_P(CpuAttention, EqualsTheOracleForHeadSizesAndGroups) {
  for (const int64_t head_dim : {8, 20, 32, 64, 96, 128, 256}) {
    for (const int64_t group : {1, 3, 4}) {
      expect_attention(*GetParam(), keys_transposed(DType::kF32, 32, 2, head_dim), group);
    }
  }
  expect_attention(*GetParam(), keys_transposed(DType::kF32, 32, 1, 64), 40);
}

TEST_P(CpuAttention, EqualsTheOracleForEveryLayoutPageLengthAndType) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) {
    for (const int32_t page_tokens : {1, 5, 32, 33}) {
      for (const auto make : {KvLayout::token_major, KvLayout::head_major, keys_transposed, odd}) {
        expect_attention(*GetParam(), make(dtype, page_tokens, 3, 32), 2);
      }
    }
  }
}

TEST_P(CpuAttention, EqualsTheOracleAtChunkEdges) {
  for (const int32_t length : {1, 31, 32, 33, 64, 65}) {
    expect_attention(*GetParam(), keys_transposed(DType::kBF16, 32, 2, 64), 4, {{length, length}});
  }
}

TEST_P(CpuAttention, EqualsTheOracleOverSeveralPiecesOfTheCache) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) {
    for (const int32_t length : {255, 256, 257, 513, 1100}) {
      expect_attention(*GetParam(), keys_transposed(dtype, 32, 2, 64), 3, {{length, 1}, {3, 1}});
    }
    expect_attention(*GetParam(), keys_transposed(dtype, 32, 1, 128), 4, {{530, 41}, {260, 8}});
  }
  expect_attention(*GetParam(), KvLayout::token_major(DType::kBF16, 16, 2, 64), 3, {{530, 41}});
}

TEST_P(CpuAttention, HugeScoresDoNotOverflow) {
  Scene scene(keys_transposed(DType::kF32, 32, 1, 64), 2, {{80, 2}});
  CpuMachine machine(*GetParam(), Precision::kExact);
  ScalarOps scalar;
  const HostTensor q = random_tensor(scene.q_shape(), 21, 1e4f);
  HostTensor out(scene.q_shape()), expected(scene.q_shape());
  machine.ops.attention(q.view, scene.in, scene.kv.layer(0), out.view);
  scalar.attention(q.view, scene.in, scene.kv.layer(0), expected.view);
  for (size_t i = 0; i < out.values.size(); ++i) ASSERT_NEAR(out.values[i], expected.values[i], 0.05) << i;
}

TEST_P(CpuAttention, WhatLiesBehindTheLastTokenIsNeverUsed) {
  for (const auto make : {KvLayout::head_major, keys_transposed}) {
    Scene clean(make(DType::kF32, 32, 2, 64), 4, {{45, 3}}),
        dirty(make(DType::kF32, 32, 2, 64), 4, {{45, 3}});
    const KvLayout& l = dirty.layout;
    const int64_t page = dirty.page_table.ints[1];
    for (int64_t t = 13; t < 32; ++t) {
      for (int64_t h = 0; h < 2; ++h) {
        for (int64_t d = 0; d < 64; ++d) {
          store_element(dirty.kv.layer(0).k, l.dtype, l.k.at(page, t, h, d), NAN);
          store_element(dirty.kv.layer(0).v, l.dtype, l.v.at(page, t, h, d), NAN);
        }
      }
    }
    CpuMachine machine(*GetParam(), Precision::kExact);
    const HostTensor q = random_tensor(clean.q_shape(), 21);
    HostTensor a(clean.q_shape()), b(clean.q_shape());
    machine.ops.attention(q.view, clean.in, clean.kv.layer(0), a.view);
    machine.ops.attention(q.view, dirty.in, dirty.kv.layer(0), b.view);
    EXPECT_TRUE(same_bits(a, b));
  }
}

TEST_P(CpuAttention, ATokenThatIsNotANumberReachesOnlyRowsThatSeeIt) {
  Scene clean(keys_transposed(DType::kF32, 32, 2, 64), 4, {{270, 20}});
  Scene dirty(keys_transposed(DType::kF32, 32, 2, 64), 4, {{270, 20}});
  const int64_t page = dirty.page_table.ints[8];
  const std::vector<float> nan(64, NAN);
  for (int64_t h = 0; h < 2; ++h) {
    store_kv_row(dirty.layout, dirty.layout.k, dirty.kv.layer(0).k, {page, 5, h}, nan.data());
    store_kv_row(dirty.layout, dirty.layout.v, dirty.kv.layer(0).v, {page, 5, h}, nan.data());
  }
  CpuMachine machine(*GetParam(), Precision::kExact);
  const HostTensor q = random_tensor(clean.q_shape(), 21);
  HostTensor a(clean.q_shape()), b(clean.q_shape());
  machine.ops.attention(q.view, clean.in, clean.kv.layer(0), a.view);
  machine.ops.attention(q.view, dirty.in, dirty.kv.layer(0), b.view);
  const size_t sees_it = 11 * 256;  // position 261 of 250 … 269
  EXPECT_EQ(std::memcmp(a.values.data(), b.values.data(), sees_it * sizeof(float)), 0);
  for (size_t i = sees_it; i < b.values.size(); ++i) ASSERT_TRUE(std::isnan(b.values[i])) << i;
}

TEST_P(CpuAttention, ARowHasTheSameBitsAloneAndInABatchAndOnAnyNumberOfThreads) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) {
    // Rows alone are split over threads by pieces; so is the first batch on many threads; the second is not.
    for (const std::vector<Scene::Sequence>& sequences :
         {std::vector<Scene::Sequence>{{900, 1}, {300, 7}, {40, 1}}, {{600, 70}, {257, 57}, {40, 40}}}) {
      Scene scene(keys_transposed(dtype, 32, 2, 64), 6, sequences);
      CpuMachine one(*GetParam(), Precision::kFast, 1);
      const HostTensor q = random_tensor(scene.q_shape(), 21);
      HostTensor together(scene.q_shape()), alone(scene.q_shape());
      one.ops.attention(q.view, scene.in, scene.kv.layer(0), together.view);
      for (int64_t r = 0; r < scene.in.n_rows; ++r) {
        StepInputs in = scene.in;
        in.n_rows = 1;
        in.positions.data = scene.positions.ints.data() + r;
        in.sequence_of_row.data = scene.sequences.ints.data() + r;
        one.ops.attention(q.view.rows(r, 1), in, scene.kv.layer(0), alone.view.rows(r, 1));
      }
      EXPECT_TRUE(same_bits(together, alone)) << name_of(dtype);
      for (const int n_threads : {2, 3, 16}) {
        CpuMachine several(*GetParam(), Precision::kFast, n_threads);
        HostTensor out(scene.q_shape());
        several.ops.attention(q.view, scene.in, scene.kv.layer(0), out.view);
        EXPECT_TRUE(same_bits(together, out)) << name_of(dtype) << " on " << n_threads;
      }
    }
  }
}

TEST_P(CpuAttention, RotatesAndStoresAsTheOracleDoes) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0}) {
    for (const auto make : {KvLayout::token_major, keys_transposed, odd}) {
      for (const int64_t head_dim : {6, 32, 64, 96}) {
        if (dtype == DType::kQ8_0 && head_dim == 6) continue;
        Scene got(make(dtype, 16, 2, head_dim), 6, kThreeSequences);
        Scene expected(make(dtype, 16, 2, head_dim), 6, kThreeSequences);
        CpuMachine machine(*GetParam(), Precision::kExact);
        ScalarOps scalar;
        HostTensor q = random_tensor(got.q_shape(), 1), k = random_tensor(got.k_shape(), 2);
        HostTensor q2(q), k2(k);
        const HostTensor v = random_tensor(got.k_shape(), 3);
        machine.ops.rope_append(q.view, k.view, v.view, got.in, got.kv.layer(0));
        scalar.rope_append(q2.view, k2.view, v.view, expected.in, expected.kv.layer(0));
        for (size_t i = 0; i < q.values.size(); ++i) ASSERT_NEAR(q.values[i], q2.values[i], 1e-6);
        const double step = dtype == DType::kF32 ? 1e-6 : dtype == DType::kF16 ? 4e-3 : 4e-2;
        std::vector<float> stored(static_cast<size_t>(head_dim)), wanted(stored);
        const KvLayer a = got.kv.layer(0), b = expected.kv.layer(0);
        for (int64_t i = 0; i < int64_t{got.kv.n_pages()} * 16 * 2; ++i) {
          load_kv_row(got.layout, got.layout.k, a.k, got.place_of(i), stored.data());
          load_kv_row(got.layout, got.layout.k, b.k, got.place_of(i), wanted.data());
          for (size_t d = 0; d < stored.size(); ++d) ASSERT_NEAR(stored[d], wanted[d], step);
          load_kv_row(got.layout, got.layout.v, a.v, got.place_of(i), stored.data());
          load_kv_row(got.layout, got.layout.v, b.v, got.place_of(i), wanted.data());
          ASSERT_EQ(stored, wanted);
        }
      }
    }
  }
}

TEST(CpuCache, HeadsThatDoNotFitBlocksAreRefusedInAQuantisedCache) {
  EXPECT_EQ(test::error_of([] { KvLayout::head_major(DType::kQ8_0, 32, 2, 80); }).code(),
            ErrorCode::kUnsupported);
  EXPECT_EQ(KvLayout::head_major(DType::kQ8_0, 32, 2, 96).page_bytes(), 32 * 2 * (96 + 3 * 2));
}

TEST(CpuCache, AQuantisedRowIsItsBlocks) {
  const KvLayout l = keys_transposed(DType::kQ8_0, 4, 3, 64);
  std::vector<std::byte> data(static_cast<size_t>(2 * l.page_bytes()));
  std::vector<std::byte> blocks(68);
  std::vector<float> got(64), expected(64);
  for (int64_t row = 0; row < 24; ++row) {
    const std::vector<float> x = random_floats(64, static_cast<uint32_t>(row));
    store_kv_row(l, l.k, data.data(), {row / 12, row / 3 % 4, row % 3}, x.data());
  }
  for (int64_t row = 0; row < 24; ++row) {
    const std::vector<float> x = random_floats(64, static_cast<uint32_t>(row));
    load_kv_row(l, l.k, data.data(), {row / 12, row / 3 % 4, row % 3}, got.data());
    format_of(DType::kQ8_0).quantize_row(x.data(), blocks.data(), 64);
    format_of(DType::kQ8_0).dequantize_row(blocks.data(), expected.data(), 64);
    EXPECT_EQ(got, expected) << row;
  }
}

TEST(CpuCache, ASlotOrAPageOutsideTheCacheIsRefused) {
  Scene scene(keys_transposed(DType::kF32, 32, 1, 64), 1, {{40, 1}});
  CpuMachine machine(cpu::kernels_for(""), Precision::kFast);
  HostTensor q = random_tensor(scene.q_shape(), 1), k = random_tensor(scene.k_shape(), 2);
  scene.slots.ints[0] = scene.kv.n_pages() * 32;
  EXPECT_THROW(machine.ops.rope_append(q.view, k.view, k.view, scene.in, scene.kv.layer(0)), Error);
  scene.page_table.ints[1] = scene.kv.n_pages();
  EXPECT_THROW(machine.ops.attention(q.view, scene.in, scene.kv.layer(0), k.view), Error);
}

}  // namespace
}  // namespace chaski
