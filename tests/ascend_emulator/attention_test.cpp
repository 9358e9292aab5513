// Wrong programs about FusedInferAttentionScoreV2, each of which the emulator must refuse, and what it
// computes where masks, pages or numbers are not as they should be.
#include <algorithm>
#include <cmath>

#include "operator_program.h"

namespace chaski::acl {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

constexpr DataType kF16 = DataType::kFloat16, kBool = DataType::kBool;

class AttentionTest : public OperatorTest {
 public:
  /// One query of each of two sequences over a cache of 20 tokens: 4 heads, 2 kv heads, D 16.
  AttentionArguments decode() {
    AttentionArguments a;
    a.query = f16({2, 1, 64});
    a.keys = {f16({2, 20, 32})};
    a.values = {f16({2, 20, 32})};
    a.out = f16({2, 1, 64});
    return a;
  }
  /// The same over five blocks of 16 tokens.
  AttentionArguments paged() {
    AttentionArguments a = decode();
    a.keys = {f16({5, 16, 32})};
    a.values = {f16({5, 16, 32})};
    a.table = filled<int32_t>(DataType::kInt32, {2, 2}, {4, 0, 2, -1});
    a.kv_lengths = {20, 16};
    a.block_size = 16;
    return a;
  }
  /// Three queries of one sequence over two blocks of 128.
  AttentionArguments prefill() {
    AttentionArguments a;
    a.query = f16({1, 3, 64});
    a.keys = {f16({2, 128, 32})};
    a.values = {f16({2, 128, 32})};
    a.table = filled<int32_t>(DataType::kInt32, {1, 2}, {1, 0});
    a.kv_lengths = {130};
    a.block_size = 128;
    a.sparse_mode = 3;
    a.mask = t(kBool, {2048, 2048});
    a.out = f16({1, 3, 64});
    return a;
  }
  void refused_with(void (*change)(AttentionTest&, AttentionArguments&), AttentionArguments arguments,
                    const char* reason, Status status = kNnTiling) {
    change(*this, arguments);
    refused(attention(arguments), status, reason);
  }
  std::vector<float> ones(size_t n, float value = 1) { return std::vector<float>(n, value); }
  aclTensor* triangle() {
    std::vector<uint8_t> values(2048 * 2048, 0);
    for (size_t i = 0; i < 2048; ++i)
      std::fill(values.data() + i * 2048 + i + 1, values.data() + (i + 1) * 2048, uint8_t{1});
    return filled(kBool, {2048, 2048}, values);
  }
};

using Arguments = AttentionArguments;

#define REFUSED(arguments, statement, ...) \
  refused_with([]([[maybe_unused]] AttentionTest& test, Arguments& a) { statement; }, arguments, __VA_ARGS__)

TEST_F(AttentionTest, WhatIsMandatoryMayNotBeNull) {
  accepted(attention(decode()));
  REFUSED(decode(), a.query = nullptr, "query is null", kNnNullParam);
  REFUSED(decode(), a.keys = {}, "key is null", kNnNullParam);
  REFUSED(decode(), a.values = {}, "value is null", kNnNullParam);
  REFUSED(decode(), a.out = nullptr, "attentionOut is null", kNnNullParam);
  REFUSED(decode(), a.has_lse = true, "softmaxLse is null", kNnNullParam);
  accepted(attention(paged()));
  REFUSED(paged(), a.kv_lengths = {}, "actualSeqLengthsKv is null");
  REFUSED(prefill(), a.mask = nullptr, "attenMask is null with sparseMode 3");
}

TEST_F(AttentionTest, DtypesAndStridesMustBeThoseOfTheKernels) {
  REFUSED(decode(), a.query = test.f32({2, 1, 64}), "query is f32", kNnInvalidParam);
  REFUSED(decode(), a.keys = {test.bf16({2, 20, 32})}, "key is bf16", kNnInvalidParam);
  REFUSED(decode(), a.values = {test.t(DataType::kInt8, {2, 20, 32})}, "value is i8", kNnInvalidParam);
  REFUSED(decode(), a.out = test.bf16({2, 1, 64}), "attentionOut is bf16", kNnInvalidParam);
  REFUSED(decode(), a.query = test.t(kF16, {2, 1, 64}, {80, 80, 1}), "query is", kNnInvalidParam);
  REFUSED(decode(), a.keys = {test.t(kF16, {2, 20, 32}, {800, 40, 1})}, "key is", kNnInvalidParam);
  REFUSED(decode(), a.position_bias = test.bf16({2, 4, 1, 20}), "pseShift is bf16", kNnInvalidParam);
  REFUSED(paged(), a.table = test.t(DataType::kInt64, {2, 2}), "blockTable is i64", kNnInvalidParam);
  REFUSED(decode(), a.mask = test.f16({2, 20}), "attenMask is f16", kNnInvalidParam);
}

TEST_F(AttentionTest, WhatIsAddedToTheScoresHasAPlaceForEveryHeadAndToken) {
  Arguments shifted = decode();
  shifted.position_bias = f16({2, shifted.n_heads, 1, 20});
  accepted(attention(shifted));
  shifted.position_bias = f16({1, shifted.n_heads, 1, 32});
  accepted(attention(shifted));
  REFUSED(decode(), a.position_bias = test.f16({2, 1, 1, 20}), "pseShift is");
  REFUSED(decode(), a.position_bias = test.f16({2, a.n_heads, 1, 16}), "S of at least 20");
  REFUSED(decode(), a.position_bias = test.f16({3, a.n_heads, 1, 20}), "pseShift is");
}

TEST_F(AttentionTest, HeadsAndTheirSizeHaveLimits) {
  REFUSED(decode(), a.n_heads = 5, "expected H to be a multiple");
  REFUSED(decode(), a.n_kv_heads = 3, "expected a whole ratio");
  REFUSED(decode(), (a.n_heads = 0), "numHeads is 0");
  REFUSED(decode(), (a.query = test.f16({2, 1, 48}), a.out = test.f16({2, 1, 48}), a.n_heads = 2),
          "D is 24; expected a multiple of 16");
  REFUSED(decode(), (a.query = test.f16({2, 1, 528}), a.n_heads = 1, a.n_kv_heads = 1), "D is 528");
  REFUSED(decode(), (a.query = test.f16({2, 1, 65 * 16}), a.n_heads = 65, a.n_kv_heads = 1),
          "whole ratio up to 64");
  REFUSED(decode(), (a.query = test.f16({2, 1, 258 * 16}), a.n_heads = 258, a.n_kv_heads = 129),
          "at most 256");
  REFUSED(prefill(), (a.query = test.f16({1, 3, 65536}), a.n_heads = 128, a.n_kv_heads = 2),
          "N·D is 65536; expected less than 65535 in BSH");
  REFUSED(decode(), a.out = test.f16({2, 1, 32}), "attentionOut is");
  REFUSED(decode(), a.values = {test.f16({2, 21, 32})}, "value is");
  REFUSED(decode(), (a.keys = a.values = {test.f16({2, 20, 64})}), "expected D of 16");
}

TEST_F(AttentionTest, LayoutAndModesAreThoseOfTheDocuments) {
  REFUSED(decode(), a.layout = "BSNH", "inputLayout is BSNH");
  REFUSED(decode(), a.layout = "TND", "does not model TND");
  REFUSED(decode(), a.layout = "BSND", "expected 4 dimensions in BSND");
  REFUSED(decode(),
          (a.layout = "BNSD_BSND", a.query = test.f16({2, 4, 1, 16}), a.out = test.f16({2, 1, 4, 16})),
          "expected Q_S above 1");
  REFUSED(decode(), a.inner_precise = 4, "innerPrecise is 4");
  REFUSED(prefill(), a.sparse_mode = 5, "sparseMode is 5");
  REFUSED(prefill(), a.sparse_mode = 4, "does not model 4");
  REFUSED(decode(), (a.has_lse = true, a.lse = test.f32({2, 4, 1})), "softmaxLse is");
  REFUSED(decode(), (a.has_lse = true, a.lse = test.f16({2, 4, 1, 1})), "softmaxLse is f16", kNnInvalidParam);
}

TEST_F(AttentionTest, LengthsMustFitTheirTensors) {
  REFUSED(decode(), (a.kv_lengths = {20, 21}), "actualSeqLengthsKv holds 21; expected 0 to 20");
  REFUSED(decode(), (a.kv_lengths = {20, -1}), "holds -1");
  REFUSED(prefill(), (a.query_lengths = {4}), "actualSeqLengths holds 4; expected 0 to 3");
  AttentionArguments three = decode();
  three.query = f16({3, 1, 64});
  three.out = f16({3, 1, 64});
  three.keys = {f16({3, 20, 32})};
  three.values = {f16({3, 20, 32})};
  three.kv_lengths = {5};
  accepted(attention(three));
  three.kv_lengths = {5, 6};
  refused(attention(three), kNnTiling, "has 2 values; expected 1 or at least 3");
  REFUSED(decode(), (a.keys = a.values = {test.f16({1, 20, 32})}), "expected B of 2");
  REFUSED(decode(), (a.keys = {test.f16({1, 20, 32}), test.f16({1, 20, 32}), test.f16({1, 20, 32})}),
          "key has 3 tensors");
}

TEST_F(AttentionTest, PagesFollowTheRulesOfTheirKernels) {
  REFUSED(paged(), a.block_size = 0, "blockSize is 0");
  REFUSED(paged(), a.block_size = 24, "expected a multiple of 16");
  REFUSED(paged(), a.block_size = 528, "up to 512");
  REFUSED(paged(), a.block_size = 32, "expected [5, 32, 32]");
  REFUSED(prefill(), a.block_size = 64, "expected a multiple of 128");
  REFUSED(paged(), a.table = test.i32({4}), "blockTable is");
  REFUSED(paged(), a.table = test.i32({1, 2}), "expected [2, blocks]");
  REFUSED(paged(), (a.kv_lengths = {33, 16}), "expected 0 to 32");
  REFUSED(paged(), (a.keys = a.values = {test.f16({2, 16, 32})}), "at least 3 blocks");
  REFUSED(paged(), (a.keys = a.values = {test.f16({5, 2, 16, 16})}), "with queries in BSH; expected BNSD");
  REFUSED(paged(), (a.keys = a.values = {test.f16({5, 16, 32}), test.f16({5, 16, 32})}),
          "expected 1 with a block table");
  AttentionArguments head_major = paged();
  head_major.layout = "BNSD";
  head_major.query = f16({2, 4, 1, 16});
  head_major.out = f16({2, 4, 1, 16});
  accepted(attention(head_major));
  head_major.keys = {f16({5, 2, 16, 16})};
  head_major.values = {f16({5, 2, 16, 16})};
  accepted(attention(head_major));
  AttentionArguments wide = paged();
  wide.n_heads = wide.n_kv_heads = 256;
  wide.query = f16({2, 1, 65536});
  wide.out = f16({2, 1, 65536});
  wide.keys = {f16({3, 16, 65536})};
  wide.values = {f16({3, 16, 65536})};
  refused(attention(wide), kNnTiling, "at most 65535 in blocks of tokens");
}

TEST_F(AttentionTest, MasksHaveTheShapesOfTheirModes) {
  AttentionArguments masked = paged();
  masked.mask = t(kBool, {2, 1, 1, 32});
  accepted(attention(masked));
  masked.mask = t(DataType::kUint8, {2, 40});
  accepted(attention(masked));
  masked.mask = t(kBool, {2, 1, 1, 31});
  refused(attention(masked), kNnTiling, "S of at least 32");
  masked.mask = t(kBool, {1, 1, 1, 32});
  refused(attention(masked), kNnTiling, "expected [2, 1, 1, S]");
  masked.mask = t(kBool, {2, 4, 1, 32});
  refused(attention(masked), kNnTiling, "expected [2, 1, 1, S]");
  masked.mask = t(kBool, {2, 1, 1, 32});
  masked.sparse_mode = 3;
  refused(attention(masked), kNnTiling, "sparseMode is 3 with Q_S = 1");
  REFUSED(prefill(), a.mask = test.t(kBool, {3, 256}), "expected [2048, 2048]");
  REFUSED(prefill(), a.mask = test.t(kBool, {2, 2048, 2048}), "expected [2048, 2048]");
  REFUSED(prefill(), (a.sparse_mode = 0, a.mask = test.t(kBool, {3, 130})), "KV_S ≥ 256");
  REFUSED(prefill(), (a.sparse_mode = 0, a.mask = test.t(kBool, {2, 256})), "Q_S ≥ 3");
  REFUSED(prefill(), (a.sparse_mode = 1, a.mask = nullptr), "attenMask is null with sparseMode 1");
}

TEST_F(AttentionTest, ABlockOutsideTheCacheIsReportedThoughCannDoesNotCheckIt) {
  AttentionArguments a = paged();
  a.table = filled<int32_t>(DataType::kInt32, {2, 2}, {4, 5, 2, -1});
  accepted(attention(a));
  EXPECT_EQ(run(), kAicoreException);
  EXPECT_THAT(message(), HasSubstr("blockTable[1] is 5; expected 0 to 4"));
}

TEST_F(AttentionTest, ACausalMaskThatIsNoTriangleIsReported) {
  AttentionArguments a = prefill();
  a.mask = filled(kBool, {2048, 2048}, std::vector<uint8_t>(2048 * 2048, 0));
  accepted(attention(a));
  EXPECT_EQ(run(), kAicoreException);
  EXPECT_THAT(message(), HasSubstr("not that of an upper triangle"));
  a = prefill();
  a.mask = triangle();
  accepted(attention(a));
  EXPECT_EQ(run(), 0);
}

TEST_F(AttentionTest, AMaskOfOtherNumbersThanZeroAndOneIsReported) {
  AttentionArguments a = decode();
  std::vector<uint8_t> values(40, 0);
  values[7] = 255;
  a.mask = filled(DataType::kUint8, {2, 20}, values);
  accepted(attention(a));
  EXPECT_EQ(run(), kAicoreException);
  EXPECT_THAT(message(), HasSubstr("element 7 is 255"));
}

// Values under the mask still meet a probability of 0, as in the cube.
TEST_F(AttentionTest, ANanInAHiddenValueShowsButNotInAHiddenKeyOrBeyondTheLength) {
  AttentionArguments a = decode();
  a.query = halves({2, 1, 64}, ones(128));
  std::vector<float> keys = ones(2 * 20 * 32), values = ones(2 * 20 * 32, 3);
  const size_t hidden = 4 * 32, beyond = (20 + 10) * 32;  // token 4 of the first sequence, 10 of the second
  keys[hidden] = NAN;
  keys[beyond] = NAN;
  values[beyond] = NAN;
  std::vector<uint8_t> mask(40, 0);
  mask[4] = 1;
  a.mask = filled(kBool, {2, 20}, mask);
  a.kv_lengths = {20, 10};
  a.keys = {halves({2, 20, 32}, keys)};
  a.values = {halves({2, 20, 32}, values)};
  accepted(attention(a));
  EXPECT_EQ(run(), 0);
  EXPECT_THAT(read_halves(a.out, 128), Each(3.0F));
  values[hidden] = NAN;
  a.keys = {halves({2, 20, 32}, keys)};
  a.values = {halves({2, 20, 32}, values)};
  accepted(attention(a));
  EXPECT_EQ(run(), 0);
  const std::vector<float> out = read_halves(a.out, 128);
  EXPECT_TRUE(std::isnan(out[0]) && std::isnan(out[16])) << "the first kv head's heads";
  EXPECT_EQ(out[1], 3) << "another element";
  EXPECT_EQ(out[32], 3) << "another kv head";
}

TEST_F(AttentionTest, AQueryThatSeesNothingIsNanUnlessCorrected) {
  for (const int64_t inner_precise : {0, 2}) {
    AttentionArguments a = decode();
    a.query = halves({2, 1, 64}, ones(128));
    a.keys = {halves({2, 20, 32}, ones(1280))};
    a.values = {halves({2, 20, 32}, ones(1280))};
    std::vector<uint8_t> mask(40, 0);
    std::fill(mask.begin() + 20, mask.end(), uint8_t{1});
    a.mask = filled(kBool, {2, 20}, mask);
    a.inner_precise = inner_precise;
    accepted(attention(a));
    EXPECT_EQ(run(), 0);
    const std::vector<float> out = read_halves(a.out, 128);
    EXPECT_EQ(out[0], 1);
    EXPECT_TRUE(inner_precise == 0 ? std::isnan(out[64]) : out[64] == 0) << out[64];
  }
}

}  // namespace
}  // namespace chaski::acl
