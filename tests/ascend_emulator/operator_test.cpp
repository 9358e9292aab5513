// Wrong programs about each operator's dtypes, shapes and strides, each of which the emulator must refuse
// with CANN's status, and what the operators do where numbers are not all finite. Attention:
// attention_test.cpp. Results against numpy: tests/parity/ascend_operators_parity.py.
#include <cmath>

#include "operator_program.h"

namespace chaski::acl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr DataType kF16 = DataType::kFloat16, kBf16 = DataType::kBFloat16, kF32 = DataType::kFloat;
constexpr DataType kI8 = DataType::kInt8, kI4 = DataType::kInt4, kI64 = DataType::kInt64;
const float kNan = NAN;

TEST_F(OperatorTest, EveryOperatorAsksForTheWorkspaceOfTheSystemAndMore) {
  accepted(rms_norm(f16({2, 64}), f16({64}), f16({2, 64}), f32({2, 1})));
  const uint64_t small = asked_;
  EXPECT_GE(small, 16u << 20);
  accepted(rms_norm(f16({200, 64}), f16({64}), f16({200, 64}), f32({200, 1})));
  EXPECT_GT(asked_, small);
  accepted(rms_norm(f16({0, 64}), f16({64}), f16({0, 64}), f32({0, 1})));
  EXPECT_EQ(asked_, 0u);
  EXPECT_EQ(run(), 0);
}

TEST_F(OperatorTest, ATensorOfAPrivateFormatOrOfTooManyDimensionsIsRefused) {
  aclTensor *x = f16({2, 64}), *gamma = f16({64}), *rstd = f32({2, 1});
  refused(rms_norm(x, gamma, t(kF16, {2, 64}, {}, 0, Format::kFractalNz), rstd), kNnInvalidParam,
          "expected format ND");
}

TEST_F(OperatorTest, AnOutputThatOverlapsAnInputIsRefused) {
  aclTensor *x = f16({4, 64}), *gamma = f16({64}), *rstd = f32({4, 1});
  refused(rms_norm(x, gamma, x, rstd), kNnInvalidParam, "y overlaps x");
  refused(rms_norm(x, gamma, alias(x, kF16, {4, 64}), rstd), kNnInvalidParam, "y overlaps x");
  aclTensor* whole = f16({8, 64});
  accepted(rms_norm(alias(whole, kF16, {4, 64}), gamma, alias(whole, kF16, {4, 64}, 256), rstd));
  refused(rms_norm(alias(whole, kF16, {4, 64}), gamma, alias(whole, kF16, {4, 64}, 255), rstd),
          kNnInvalidParam, "overlaps");
}

TEST_F(OperatorTest, EmbeddingChecksItsTableIndicesAndOutput) {
  aclTensor *weight = f16({10, 8}), *indices = i32({3}), *out = f16({3, 8});
  accepted(embedding(weight, indices, out));
  refused(embedding(nullptr, indices, out), kNnNullParam, "weight is null");
  refused(embedding(weight, nullptr, out), kNnNullParam, "indices is null");
  refused(embedding(weight, indices, nullptr), kNnNullParam, "out is null");
  refused(embedding(f16({10}), indices, out), kNnInvalidParam, "expected 2 dimensions");
  refused(embedding(weight, f16({3}), out), kNnInvalidParam, "expected one of i32, i64");
  refused(embedding(weight, indices, bf16({3, 8})), kNnInvalidParam, "expected f16");
  refused(embedding(weight, indices, f16({3, 9})), kNnInvalidParam, "expected [3, 8]");
}

TEST_F(OperatorTest, AnIndexOutOfRangeIsReportedThoughCannDoesNotCheckIt) {
  for (const int32_t index : {-1, 10}) {
    accepted(embedding(f16({10, 8}), filled<int32_t>(DataType::kInt32, {2}, {3, index}), f16({2, 8})));
    EXPECT_EQ(run(), kAicoreException);
    EXPECT_THAT(message(), HasSubstr("indices[1] is " + std::to_string(index) + "; expected 0 to 9"));
  }
}

TEST_F(OperatorTest, IndexSelectChecksAxisIndexAndOutput) {
  aclTensor *self = f16({6, 8}), *index = i32({3}), *out = f16({3, 8});
  accepted(index_select(self, 0, index, out));
  accepted(index_select(self, -1, index, f16({6, 3})));
  refused(index_select(self, 2, index, out), kNnInvalidParam, "dim is 2; expected one of [-2, 2)");
  refused(index_select(self, 0, i32({3, 1}), out), kNnInvalidParam, "at most one dimension");
  refused(index_select(self, 0, t(kI8, {3}), out), kNnInvalidParam, "expected one of i32, i64");
  refused(index_select(self, 0, index, f16({4, 8})), kNnInvalidParam, "expected [3, 8]");
  refused(index_select(self, 0, index, f32({3, 8})), kNnInvalidParam, "expected f16");
  accepted(index_select(self, 0, filled<int32_t>(DataType::kInt32, {3}, {0, 6, 1}), out));
  EXPECT_EQ(run(), kAicoreException);
  EXPECT_THAT(message(), HasSubstr("index[1] is 6; expected 0 to 5"));
}

TEST_F(OperatorTest, RmsNormChecksDtypesShapesAndItsMandatoryStatistics) {
  aclTensor *x = f16({2, 3, 64}), *gamma = f16({64}), *y = f16({2, 3, 64}), *rstd = f32({2, 3, 1});
  accepted(rms_norm(x, gamma, y, rstd));
  accepted(rms_norm(x, f32({64}), y, rstd));
  accepted(rms_norm(x, f16({3, 64}), y, f32({2, 1, 1})));
  refused(rms_norm(x, gamma, y, nullptr), kNnNullParam, "rstd is null");
  refused(rms_norm(x, bf16({64}), y, rstd), kNnInvalidParam, "expected f16 or f32");
  refused(rms_norm(f32({2, 3, 64}), gamma, f32({2, 3, 64}), rstd), kNnInvalidParam, "gamma is f16");
  refused(rms_norm(x, gamma, bf16({2, 3, 64}), rstd), kNnInvalidParam, "y is bf16");
  refused(rms_norm(x, gamma, y, f16({2, 3, 1})), kNnInvalidParam, "rstd is f16");
  refused(rms_norm(t(kI8, {2, 3, 64}), gamma, y, rstd), kNnInvalidParam, "x is i8");
  refused(rms_norm(x, f16({32}), y, rstd), kNnTiling, "gamma is f16 [32]");
  refused(rms_norm(x, gamma, f16({6, 64}), rstd), kNnTiling, "y is f16 [6, 64]");
  refused(rms_norm(x, gamma, y, f32({2, 3})), kNnTiling, "expected [2, 3, 1]");
  refused(rms_norm(x, gamma, y, f32({2, 3, 64})), kNnTiling, "expected [2, 3, 1]");
}

TEST_F(OperatorTest, AddRmsNormChecksDtypesShapesAndItsMandatoryOutputs) {
  aclTensor *a = bf16({2, 64}), *b = bf16({2, 64}), *gamma = bf16({64}), *y = bf16({2, 64}),
            *rstd = f32({2, 1}), *x = bf16({2, 64});
  accepted(add_rms_norm(a, b, gamma, y, rstd, x));
  refused(add_rms_norm(a, b, gamma, y, nullptr, x), kNnNullParam, "rstd is null");
  refused(add_rms_norm(a, b, gamma, y, rstd, nullptr), kNnNullParam, "x is null");
  refused(add_rms_norm(a, f16({2, 64}), gamma, y, rstd, x), kNnInvalidParam, "x2 is f16");
  refused(add_rms_norm(a, b, f32({64}), y, rstd, x), kNnInvalidParam, "gamma is f32");
  refused(add_rms_norm(a, bf16({1, 64}), gamma, y, rstd, x), kNnInvalidParam, "x2 is bf16 [1, 64]");
  refused(add_rms_norm(a, b, bf16({32}), y, rstd, x), kNnInvalidParam, "gamma is bf16 [32]");
  refused(add_rms_norm(a, b, gamma, y, f32({2}), x), kNnInvalidParam, "expected [2, 1]");
  refused(add_rms_norm(a, b, gamma, y, rstd, a), kNnInvalidParam, "x overlaps x1");
  refused(add_rms_norm(a, b, gamma, y, rstd, y), kNnInvalidParam, "another output");
}

TEST_F(OperatorTest, AddRmsNormNormsTheSumAsItWasRounded) {
  // 2048 + 1 is 2048 in f16: the norm must not see the 1.
  aclTensor *a = halves({1, 2}, {2048, 2048}), *b = halves({1, 2}, {1, -2048}), *y = f16({1, 2}),
            *x = f16({1, 2});
  accepted(add_rms_norm(a, b, halves({2}, {1, 1}), y, f32({1, 1}), x));
  EXPECT_EQ(run(), 0);
  EXPECT_THAT(read_halves(x, 2), ElementsAre(2048, 0));
  EXPECT_THAT(read_halves(y, 2), ElementsAre(1.4140625F, 0));
}

TEST_F(OperatorTest, MmChecksDtypesShapesAndCubeMathType) {
  aclTensor *x = f16({3, 32}), *weight = turned(kF16, 5, 32), *out = f16({3, 5});
  accepted(mm(x, weight, out));
  refused(mm(x, nullptr, out), kNnNullParam, "mat2 is null");
  refused(mm(f16({32}), weight, out), kNnInvalidParam, "self is f16 [32]");
  refused(mm(x, turned(kF16, 5, 31), out), kNnInvalidParam, "expected the same k");
  refused(mm(x, weight, f16({5, 3})), kNnInvalidParam, "expected [3, 5]");
  refused(mm(x, turned(kBf16, 5, 32), out), kNnInvalidParam, "only one dtype");
  refused(mm(x, t(kI8, {32, 5}), out), kNnInvalidParam, "mat2 is i8");
  refused(mm(x, weight, out, 5), kNnInvalidParam, "cubeMathType is 5");
  refused(mm(x, weight, out, -1), kNnInvalidParam, "cubeMathType is -1");
  refused(mm(x, weight, out, 3), kNnInvalidParam, "cubeMathType 3");
  refused(mm(bf16({3, 32}), turned(kBf16, 5, 32), bf16({3, 5}), 2), kNnInvalidParam,
          "cubeMathType 2 (f16) does not go with bf16");
  refused(mm(f32({3, 32}), turned(kF32, 5, 32), f32({3, 5}), 1), kNnInvalidParam, "lower precision");
}

TEST_F(OperatorTest, MmTakesATransposedViewAsItLiesAndCopiesOtherStrides) {
  EXPECT_EQ(hidden_copies(mm(f16({3, 32}), turned(kF16, 5, 32), f16({3, 5}))), 0u);
  EXPECT_EQ(hidden_copies(mm(f16({3, 32}), t(kF16, {32, 5}, {1, 40}), f16({3, 5}))), 1u);
  EXPECT_EQ(hidden_copies(mm(t(kF16, {3, 32}, {40, 1}), turned(kF16, 5, 32), t(kF16, {3, 5}, {8, 1}))), 2u);
  EXPECT_EQ(hidden_copies(mm(t(kF16, {1, 32}, {40, 1}), turned(kF16, 5, 32), t(kF16, {1, 5}, {8, 1}))), 0u)
      << "one row has no stride";
}

TEST_F(OperatorTest, ZeroTimesNanIsNanInAProduct) {
  aclTensor* out = f16({1, 1});
  accepted(mm(halves({1, 2}, {0, 1}), halves({2, 1}, {kNan, 1}), out));
  EXPECT_EQ(run(), 0);
  EXPECT_TRUE(std::isnan(read_halves(out, 1)[0]));
}

TEST_F(OperatorTest, QuantizedProductChecksItsLimits) {
  aclTensor *x = f16({2, 64}), *y = f16({2, 8}), *weight = turned(kI8, 8, 64), *scale = f16({8});
  accepted(quantized_mm(x, weight, scale, y));
  refused(quantized_mm(x, weight, nullptr, y), kNnNullParam, "antiquantScale is null");
  refused(quantized_mm(f32({2, 64}), weight, scale, y), kNnInvalidParam, "x is f32");
  refused(quantized_mm(x, turned(kF16, 8, 64), scale, y), kNnInvalidParam, "weight is f16");
  refused(quantized_mm(x, turned(kI8, 8, 32), scale, y), kNnInvalidParam, "expected the same k");
  refused(quantized_mm(x, weight, scale, bf16({2, 8})), kNnInvalidParam, "y is bf16");
  refused(quantized_mm(x, weight, bf16({8}), y), kNnInvalidParam, "antiquantScale is bf16");
  refused(quantized_mm(x, weight, scale, y, 0, nullptr, nullptr, t(kI64, {8})), kNnInvalidParam,
          "does not model an int8 result");
  accepted(quantized_mm(f16({1, 64}), turned(kI8, 65535, 64), f16({65535}), f16({1, 65535})));
  refused(quantized_mm(f16({1, 64}), turned(kI8, 65536, 64), f16({65536}), f16({1, 65536})), kNnInvalidParam,
          "n 65536; expected 1 to 65535");
  refused(quantized_mm(f16({1, 65536}), turned(kI8, 1, 65536), f16({1}), f16({1, 1})), kNnInvalidParam,
          "k is 65536");
}

TEST_F(OperatorTest, QuantizedProductChecksGroupsAndTheirScales) {
  aclTensor *x = f16({2, 96}), *y = f16({2, 8}), *weight = turned(kI8, 8, 96);
  accepted(quantized_mm(x, weight, turned(kF16, 8, 3), y, 32));
  accepted(quantized_mm(x, weight, turned(kF16, 8, 2), y, 64));
  accepted(quantized_mm(x, t(kI8, {96, 8}), f16({3, 8}), y, 32));
  refused(quantized_mm(x, weight, f16({3, 8}), y, 32), kNnInvalidParam,
          "expected a transposed view, as the weight is");
  refused(quantized_mm(x, t(kI8, {96, 8}), turned(kF16, 8, 3), y, 32), kNnInvalidParam,
          "expected a contiguous tensor, as the weight is");
  refused(quantized_mm(x, weight, turned(kF16, 8, 4), y, 32), kNnInvalidParam, "expected [3, 8]");
  refused(quantized_mm(x, weight, turned(kF16, 8, 3), y, 0), kNnInvalidParam, "without groups");
  for (const int group : {-32, 16, 33, 48, 96, 128}) {
    refused(quantized_mm(x, weight, turned(kF16, 8, 3), y, group), kNnInvalidParam, "antiquantGroupSize is");
  }
  refused(quantized_mm(x, weight, turned(kF16, 8, 3), y, 32, turned(kF16, 8, 2)), kNnInvalidParam,
          "antiquantOffset is");
  refused(quantized_mm(x, weight, turned(kF16, 8, 3), y, 32, f16({3, 8})), kNnInvalidParam,
          "antiquantOffset is");
}

TEST_F(OperatorTest, QuantizedProductChecksStridesBiasAndTheInnerAxisOfInt4) {
  aclTensor *x = f16({2, 64}), *y = f16({2, 8}), *weight = turned(kI8, 8, 64), *scale = f16({8});
  refused(quantized_mm(t(kF16, {2, 64}, {70, 1}), weight, scale, y), kNnInvalidParam, "x is");
  accepted(quantized_mm(t(kF16, {2, 64}, {1, 2}), weight, scale, y));
  refused(quantized_mm(x, t(kI8, {64, 8}, {1, 70}), scale, y), kNnInvalidParam, "weight is");
  refused(quantized_mm(x, weight, scale, t(kF16, {2, 8}, {10, 1})), kNnInvalidParam, "y is");
  refused(quantized_mm(x, weight, t(kF16, {8}, {2}), y), kNnInvalidParam, "antiquantScale is");
  accepted(quantized_mm(x, weight, scale, y, 0, nullptr, f16({8})));
  refused(quantized_mm(x, weight, scale, y, 0, nullptr, f32({8})), kNnInvalidParam, "bias is f32");
  refused(quantized_mm(x, weight, scale, y, 0, nullptr, f16({7})), kNnInvalidParam, "bias is f16 [7]");
  refused(quantized_mm(bf16({2, 64}), weight, bf16({8}), bf16({2, 8}), 0, nullptr, bf16({8})),
          kNnInvalidParam, "expected f32");
  accepted(quantized_mm(x, turned(kI4, 7, 64), f16({7}), f16({2, 7})));
  refused(quantized_mm(f16({2, 63}), turned(kI4, 8, 63), scale, y), kNnInvalidParam, "even inner axis");
  refused(quantized_mm(x, t(kI4, {64, 7}), f16({7}), f16({2, 7})), kNnInvalidParam, "even inner axis");
}

TEST_F(OperatorTest, RotationChecksShapesModeAndBroadcasting) {
  aclTensor *x = f16({1, 6, 4, 64}), *cos = f16({1, 6, 1, 64}), *out = f16({1, 6, 4, 64});
  accepted(rotate(x, cos, cos, out));
  accepted(rotate(x, cos, cos, out, 1));
  refused(rotate(x, cos, nullptr, out), kNnNullParam, "sin is null");
  refused(rotate(x, f32({1, 6, 1, 64}), cos, out), kNnInvalidParam, "expected f16");
  refused(rotate(f16({6, 4, 64}), cos, cos, out), kNnTiling, "expected 4 dimensions");
  refused(rotate(x, cos, f16({1, 1, 1, 64}), out), kNnTiling, "sin is");
  refused(rotate(x, cos, cos, out, 2), kNnTiling, "mode is 2");
  refused(rotate(x, f16({1, 6, 1, 32}), f16({1, 6, 1, 32}), out), kNnTiling,
          "expected 64 as its last dimension");
  refused(rotate(x, f16({1, 3, 1, 64}), f16({1, 3, 1, 64}), out), kNnTiling, "expected one of BNSD");
  aclTensor *several = f16({2, 6, 4, 64}), *one = f16({1, 1, 1, 64});
  refused(rotate(several, one, one, f16({2, 6, 4, 64})), kNnTiling, "expected one of BNSD");
  refused(rotate(x, cos, cos, f16({1, 6, 256})), kNnTiling, "out is");
  refused(rotate(x, cos, cos, t(kF16, {1, 6, 4, 64}, {0, 300, 64, 1})), kNnInvalidParam,
          "expected a contiguous tensor");
  aclTensor* odd = f16({1, 6, 1, 63});
  refused(rotate(f16({1, 6, 4, 63}), odd, odd, f16({1, 6, 4, 63})), kNnTiling, "an even number up to 896");
  aclTensor* wide = f16({1, 1, 1, 898});
  refused(rotate(wide, f16({1, 1, 1, 898}), f16({1, 1, 1, 898}), f16({1, 1, 1, 898})), kNnTiling,
          "an even number up to 896");
  aclTensor* many = f16({1, 2, 1000, 16});
  refused(rotate(many, f16({1, 2, 1, 16}), f16({1, 2, 1, 16}), f16({1, 2, 1000, 16})), kNnTiling,
          "fewer than 1000");
  aclTensor* repeated = f16({1, 1, 6, 64});
  accepted(
      rotate(f16({1, 1000, 1, 64}), f16({1, 1000, 1, 64}), f16({1, 1000, 1, 64}), f16({1, 1000, 1, 64})));
  refused(rotate(f16({7, 7, 6, 64}), repeated, repeated, f16({7, 7, 6, 64})), kNnTiling,
          "B·N of at most 8·S");
  accepted(rotate(f16({6, 8, 6, 64}), repeated, repeated, f16({6, 8, 6, 64})));
  EXPECT_EQ(hidden_copies(rotate(t(kF16, {1, 6, 4, 64}, {0, 300, 64, 1}), cos, cos, out)), 1u);
}

TEST_F(OperatorTest, IndexCopyChecksAxisIndexAndSource) {
  aclTensor *self = f16({8, 4}), *index = i32({2}), *source = f16({2, 4});
  accepted(index_copy(self, 0, index, source));
  refused(index_copy(nullptr, 0, index, source), kNnNullParam, "self is null");
  refused(index_copy(self, 2, index, source), kNnInvalidParam, "dim is 2");
  refused(index_copy(self, 0, index, f32({2, 4})), kNnInvalidParam, "source is f32");
  refused(index_copy(self, 0, t(kF32, {2}), source), kNnInvalidParam, "index is f32");
  refused(index_copy(self, 0, i32({1, 2}), source), kNnInvalidParam, "at most one dimension");
  refused(index_copy(self, 0, i32({3}), source), kNnInvalidParam, "expected [3, 4]");
  refused(index_copy(self, 0, index, f16({2, 5})), kNnInvalidParam, "expected [2, 4]");
  refused(index_copy(self, 0, index, f16({8})), kNnInvalidParam, "expected 2 dimensions");
  accepted(index_copy(self, 0, filled<int32_t>(DataType::kInt32, {2}, {0, 8}), source));
  EXPECT_EQ(run(), kAicoreException);
  EXPECT_THAT(message(), HasSubstr("index[1] is 8; expected 0 to 7"));
}

TEST_F(OperatorTest, IndexCopyOnAnotherAxisCopiesTheWholeTwice) {
  EXPECT_EQ(
      hidden_copies(index_copy(f16({8, 4}), 0, filled<int32_t>(DataType::kInt32, {2}, {0, 7}), f16({2, 4}))),
      0u);
  EXPECT_EQ(
      hidden_copies(index_copy(f16({8, 4}), 1, filled<int32_t>(DataType::kInt32, {2}, {0, 3}), f16({8, 2}))),
      2u);
}

TEST_F(OperatorTest, IndexCopyRefusesToBeRepeatable) {
  accepted(index_copy(f16({8, 4}), 0, i32({2}), f16({2, 4})));
  EXPECT_NE(aclSetAclOpExecutorRepeatable(executor_), 0);
  accepted(rms_norm(f16({2, 64}), f16({64}), f16({2, 64}), f32({2, 1})));
  EXPECT_EQ(aclSetAclOpExecutorRepeatable(executor_), 0);
}

TEST_F(OperatorTest, WhatRunsOnTheAiCpuIsCounted) {
  const uint64_t before = number("ai_cpu_launches");
  accepted(index_copy(t(kI8, {8, 4}), 0, filled<int32_t>(DataType::kInt32, {2}, {1, 2}), t(kI8, {2, 4})));
  EXPECT_EQ(run(), 0);
  EXPECT_EQ(number("ai_cpu_launches"), before + 1);
  accepted(add_op(t(DataType::kDouble, {4}), t(DataType::kDouble, {4}), t(DataType::kDouble, {4})));
  EXPECT_EQ(run(), 0);
  EXPECT_EQ(number("ai_cpu_launches"), before + 2);
  accepted(add_op(f16({4}), f16({4}), f16({4})));
  EXPECT_EQ(run(), 0);
  EXPECT_EQ(number("ai_cpu_launches"), before + 2);
}

TEST_F(OperatorTest, AnIndexThatStandsTwiceDoesNotLetTheLastOneWin) {
  aclTensor* self = halves({2, 1}, {0, 0});
  accepted(index_copy(self, 0, filled<int32_t>(DataType::kInt32, {2}, {1, 1}), halves({2, 1}, {5, 6})));
  EXPECT_EQ(run(), 0);
  EXPECT_THAT(read_halves(self, 2), ElementsAre(0, 5));
}

TEST_F(OperatorTest, SwiGluWantsDenseTensorsAndAnEvenAxis) {
  accepted(swiglu(f16({2, 8}), -1, f16({2, 4})));
  refused(swiglu(nullptr, -1, f16({2, 4})), kNnNullParam, "x is null");
  refused(swiglu(f16({2, 8}), 2, f16({2, 4})), kNnInvalidParam, "dim is 2");
  refused(swiglu(f16({2, 7}), -1, f16({2, 3})), kNnTiling, "expected an even dimension");
  refused(swiglu(f16({2, 8}), -1, f16({2, 8})), kNnTiling, "expected [2, 4]");
  refused(swiglu(f16({2, 8}), -1, f32({2, 4})), kNnInvalidParam, "out is f32");
  refused(swiglu(t(kI8, {2, 8}), -1, f16({2, 4})), kNnInvalidParam, "x is i8");
  refused(swiglu(t(kF16, {2, 8}, {10, 1}), -1, f16({2, 4})), kNnInvalidParam, "x is");
  refused(swiglu(f16({2, 8}), -1, t(kF16, {2, 4}, {8, 1})), kNnInvalidParam, "out is");
}

TEST_F(OperatorTest, AddCopyAndComparisonCheckDtypesAndBroadcasting) {
  accepted(add_op(f16({2, 4}), f16({4}), f16({2, 4})));
  refused(add_op(f16({2, 4}), f16({3}), f16({2, 4})), kNnInvalidParam, "cannot be broadcast");
  refused(add_op(f16({2, 4}), f16({4}), f16({4})), kNnInvalidParam, "expected [2, 4]");
  refused(add_op(f16({4}), f32({4}), f16({4})), kNnInvalidParam, "only one dtype");
  refused(add_op(t(kI4, {4}), t(kI4, {4}), t(kI4, {4})), kNnInvalidParam, "self is i4");
  accepted(copy(f16({2, 4}), f32({4})));
  refused(copy(f16({4}), f16({2, 4})), kNnInvalidParam, "cannot be broadcast");
  refused(copy(f16({4}), nullptr), kNnNullParam, "source is null");
  accepted(greater(i32({1, 4}), i32({3, 1}), t(DataType::kBool, {3, 4})));
  refused(greater(i32({1, 4}), t(kI64, {3, 1}), t(DataType::kBool, {3, 4})), kNnInvalidParam,
          "only one dtype");
  refused(greater(i32({1, 4}), i32({3, 1}), t(DataType::kBool, {4})), kNnInvalidParam, "expected [3, 4]");
  refused(greater(i32({2, 4}), i32({3, 1}), t(DataType::kBool, {3, 4})), kNnInvalidParam,
          "cannot be broadcast");
}

TEST_F(OperatorTest, MaxDimChecksAxisShapesAndIndexDtype) {
  aclTensor *self = f16({3, 5}), *values = f16({3}), *indices = i32({3});
  accepted(max_dim(self, -1, false, values, indices));
  accepted(max_dim(self, 1, true, f16({3, 1}), t(kI64, {3, 1})));
  refused(max_dim(self, 2, false, values, indices), kNnInvalidParam, "dim is 2");
  refused(max_dim(self, -1, true, values, indices), kNnInvalidParam, "expected [3, 1]");
  refused(max_dim(self, -1, false, f32({3}), indices), kNnInvalidParam, "out is f32");
  refused(max_dim(self, -1, false, values, f16({3})), kNnInvalidParam, "indices is f16");
  refused(max_dim(i32({3, 5}), -1, false, i32({3}), indices), kNnInvalidParam, "self is i32");
}

TEST_F(OperatorTest, MaxDimGivesTheFirstLargestAndTheFirstNan) {
  aclTensor *self = halves({2, 4}, {1, 3, 3, -INFINITY, 2, kNan, 9, kNan}), *values = f16({2}),
            *indices = i32({2});
  accepted(max_dim(self, -1, false, values, indices));
  EXPECT_EQ(run(), 0);
  EXPECT_THAT(read<int32_t>(indices, 2), ElementsAre(1, 1));
  EXPECT_EQ(read_halves(values, 2)[0], 3);
  EXPECT_TRUE(std::isnan(read_halves(values, 2)[1]));
}

}  // namespace
}  // namespace chaski::acl
