// See operator_program.h.
#include "operator_program.h"

#include <algorithm>

#include "op_math.h"

namespace chaski::acl {
namespace {

int64_t bits_of(DataType dtype) {
  switch (dtype) {
    case DataType::kInt4:
      return 4;
    case DataType::kInt8:
    case DataType::kUint8:
    case DataType::kBool:
      return 8;
    case DataType::kFloat16:
    case DataType::kBFloat16:
    case DataType::kInt16:
      return 16;
    case DataType::kInt64:
    case DataType::kDouble:
      return 64;
    default:
      return 32;
  }
}

}  // namespace

aclTensor* OperatorTest::t(DataType dtype, const Dims& dims, Dims strides, int64_t offset, Format format) {
  if (strides.empty()) {
    strides.assign(dims.size(), 1);
    for (size_t i = dims.size(); i-- > 1;) strides[i - 1] = strides[i] * dims[i];
  }
  int64_t stored = offset + 1;
  for (size_t i = 0; i < dims.size(); ++i) stored += std::max<int64_t>(dims[i] - 1, 0) * strides[i];
  std::byte* data = device_bytes(static_cast<size_t>((stored * bits_of(dtype) + 7) / 8));
  aclTensor* tensor =
      aclCreateTensor(dims.data(), dims.size(), dtype, strides.data(), offset, format, &stored, 1, data);
  EXPECT_NE(tensor, nullptr) << message();
  data_[tensor] = data;
  return tensor;
}

aclTensor* OperatorTest::alias(aclTensor* of, DataType dtype, const Dims& dims, int64_t skipped) {
  int64_t stored = skipped;
  int64_t n = 1;
  for (const int64_t dim : dims) n *= dim;
  stored += n;
  aclTensor* tensor =
      aclCreateTensor(dims.data(), dims.size(), dtype, nullptr, skipped, Format::kNd, &stored, 1, data_[of]);
  EXPECT_NE(tensor, nullptr) << message();
  data_[tensor] = data_[of];
  return tensor;
}

aclTensor* OperatorTest::halves(const Dims& dims, const std::vector<float>& values) {
  std::vector<uint16_t> bits;
  for (const float value : values) bits.push_back(ascend_emulator::float_to_half(value));
  return filled(DataType::kFloat16, dims, bits);
}

std::vector<float> OperatorTest::read_halves(aclTensor* tensor, size_t n) {
  std::vector<float> values;
  for (const uint16_t bits : read<uint16_t>(tensor, n))
    values.push_back(ascend_emulator::half_to_float(bits));
  return values;
}

void OperatorTest::refused(Status got, Status expected, const char* reason) {
  EXPECT_EQ(got, expected) << reason;
  EXPECT_THAT(message(), ::testing::HasSubstr(reason));
}

void OperatorTest::accepted(Status got) { EXPECT_EQ(got, 0) << message(); }

Status OperatorTest::run() {
  if (asked_ > workspace_bytes_) {
    workspace_ = device_bytes(asked_);
    workspace_bytes_ = asked_;
  }
  if (is_stream_lost_) {
    EXPECT_EQ(aclrtCreateStreamWithConfig(&stream_, 0, kStreamFastLaunch), 0);
  }
  EXPECT_EQ(second_(workspace_, workspace_bytes_, executor_, stream_), 0) << message();
  const Status status = aclrtSynchronizeStream(stream_);
  is_stream_lost_ = status != 0;
  return status;
}

uint64_t OperatorTest::number(const char* of_report) const {
  const std::string whole = report();
  return std::stoull(whole.substr(whole.find(":", whole.find(std::string("\"") + of_report + "\"")) + 1));
}

uint64_t OperatorTest::hidden_copies(Status got) {
  accepted(got);
  const uint64_t before = number("hidden_copies");
  run();
  return number("hidden_copies") - before;
}

Status OperatorTest::embedding(aclTensor* weight, aclTensor* indices, aclTensor* out) {
  second_ = aclnnEmbedding;
  return aclnnEmbeddingGetWorkspaceSize(weight, indices, out, &asked_, &executor_);
}
Status OperatorTest::index_select(aclTensor* self, int64_t dim, aclTensor* index, aclTensor* out) {
  second_ = aclnnIndexSelect;
  return aclnnIndexSelectGetWorkspaceSize(self, dim, index, out, &asked_, &executor_);
}
Status OperatorTest::rms_norm(aclTensor* x, aclTensor* gamma, aclTensor* y, aclTensor* rstd, double epsilon) {
  second_ = aclnnRmsNorm;
  return aclnnRmsNormGetWorkspaceSize(x, gamma, epsilon, y, rstd, &asked_, &executor_);
}
Status OperatorTest::add_rms_norm(aclTensor* x1, aclTensor* x2, aclTensor* gamma, aclTensor* y,
                                  aclTensor* rstd, aclTensor* x) {
  second_ = aclnnAddRmsNorm;
  return aclnnAddRmsNormGetWorkspaceSize(x1, x2, gamma, 1e-5, y, rstd, x, &asked_, &executor_);
}
Status OperatorTest::mm(aclTensor* self, aclTensor* mat2, aclTensor* out, int8_t cube_math_type) {
  second_ = aclnnMm;
  return aclnnMmGetWorkspaceSize(self, mat2, out, cube_math_type, &asked_, &executor_);
}
Status OperatorTest::quantized_mm(aclTensor* x, aclTensor* weight, aclTensor* scale, aclTensor* y, int group,
                                  aclTensor* offset, aclTensor* bias, aclTensor* quant_scale) {
  second_ = aclnnWeightQuantBatchMatmulV2;
  return aclnnWeightQuantBatchMatmulV2GetWorkspaceSize(x, weight, scale, offset, quant_scale, nullptr, bias,
                                                       group, y, &asked_, &executor_);
}
Status OperatorTest::rotate(aclTensor* x, aclTensor* cos, aclTensor* sin, aclTensor* out, int64_t mode) {
  second_ = aclnnRotaryPositionEmbedding;
  return aclnnRotaryPositionEmbeddingGetWorkspaceSize(x, cos, sin, mode, out, &asked_, &executor_);
}
Status OperatorTest::index_copy(aclTensor* self, int64_t dim, aclTensor* index, aclTensor* source) {
  second_ = aclnnInplaceIndexCopy;
  return aclnnInplaceIndexCopyGetWorkspaceSize(self, dim, index, source, &asked_, &executor_);
}
Status OperatorTest::swiglu(aclTensor* x, int64_t dim, aclTensor* out) {
  second_ = aclnnSwiGlu;
  return aclnnSwiGluGetWorkspaceSize(x, dim, out, &asked_, &executor_);
}
Status OperatorTest::add_op(aclTensor* self, aclTensor* other, aclTensor* out, float alpha) {
  second_ = aclnnAdd;
  return aclnnAddGetWorkspaceSize(self, other, aclCreateScalar(&alpha, DataType::kFloat), out, &asked_,
                                  &executor_);
}
Status OperatorTest::copy(aclTensor* self, aclTensor* source) {
  second_ = aclnnInplaceCopy;
  return aclnnInplaceCopyGetWorkspaceSize(self, source, &asked_, &executor_);
}
Status OperatorTest::greater(aclTensor* self, aclTensor* other, aclTensor* out) {
  second_ = aclnnGtTensor;
  return aclnnGtTensorGetWorkspaceSize(self, other, out, &asked_, &executor_);
}
Status OperatorTest::max_dim(aclTensor* self, int64_t dim, bool keep, aclTensor* values, aclTensor* indices) {
  second_ = aclnnMaxDim;
  return aclnnMaxDimGetWorkspaceSize(self, dim, keep, values, indices, &asked_, &executor_);
}

Status OperatorTest::attention(const AttentionArguments& a) {
  const auto list = [](const std::vector<aclTensor*>& tensors) -> aclTensorList* {
    return tensors.empty() ? nullptr : aclCreateTensorList(tensors.data(), tensors.size());
  };
  const auto array = [](const std::vector<int64_t>& values) -> aclIntArray* {
    return values.empty() ? nullptr : aclCreateIntArray(values.data(), values.size());
  };
  second_ = aclnnFusedInferAttentionScoreV2;
  std::string layout = a.layout;
  return aclnnFusedInferAttentionScoreV2GetWorkspaceSize(
      a.query, list(a.keys), list(a.values), a.position_bias, a.mask, array(a.query_lengths),
      array(a.kv_lengths), nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, a.table, nullptr,
      nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, a.n_heads, 0.25, a.before,
      a.after, layout.data(), a.n_kv_heads, a.sparse_mode, a.inner_precise, a.block_size, 0, a.has_lse, 0, 0,
      a.out, a.lse, &asked_, &executor_);
}

}  // namespace chaski::acl
