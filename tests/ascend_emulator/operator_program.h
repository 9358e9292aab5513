// Programs of one operator for the emulator's tests: tensors of any dtype and strides, and each operator's
// first phase with the arguments that a test does not care about filled in.
#pragma once

#include <functional>
#include <map>

#include "emulator_program.h"

namespace chaski::acl {

/// Arguments of FusedInferAttentionScoreV2 that this product uses.
struct AttentionArguments {
  aclTensor* query = nullptr;
  std::vector<aclTensor*> keys, values;
  aclTensor *mask = nullptr, *position_bias = nullptr, *table = nullptr;
  std::vector<int64_t> query_lengths, kv_lengths;  ///< empty: null
  int64_t n_heads = 4, n_kv_heads = 2, before = 2147483647, after = 2147483647;
  std::string layout = "BSH";
  int64_t sparse_mode = 0, inner_precise = 0, block_size = 0;
  bool has_lse = false;
  aclTensor *out = nullptr, *lse = nullptr;
};

class OperatorTest : public EmulatorTest {
 public:  // so that changes given as functions can use it
  using Dims = std::vector<int64_t>;

  /// A tensor with memory of its own (poisoned), dense unless strides are given.
  aclTensor* t(DataType dtype, const Dims& dims, Dims strides = {}, int64_t offset = 0,
               Format format = Format::kNd);
  aclTensor* f16(const Dims& dims) { return t(DataType::kFloat16, dims); }
  aclTensor* bf16(const Dims& dims) { return t(DataType::kBFloat16, dims); }
  aclTensor* f32(const Dims& dims) { return t(DataType::kFloat, dims); }
  aclTensor* i32(const Dims& dims) { return t(DataType::kInt32, dims); }
  /// [k, n] over memory of [n, k].
  aclTensor* turned(DataType dtype, int64_t n, int64_t k) { return t(dtype, {k, n}, {1, k}); }
  /// A second handle on the memory of `of`, `skipped` elements further on.
  aclTensor* alias(aclTensor* of, DataType dtype, const Dims& dims, int64_t skipped = 0);

  /// Integers, or floats as f32; of a dense tensor.
  template <class T>
  aclTensor* filled(DataType dtype, const Dims& dims, const std::vector<T>& values) {
    aclTensor* tensor = t(dtype, dims);
    const size_t bytes = values.size() * sizeof(T);
    EXPECT_EQ(aclrtMemcpy(data_[tensor], bytes, values.data(), bytes, CopyKind::kHostToDevice), 0);
    return tensor;
  }
  aclTensor* halves(const Dims& dims, const std::vector<float>& values);
  std::vector<float> read_halves(aclTensor* tensor, size_t n);
  template <class T>
  std::vector<T> read(aclTensor* tensor, size_t n) {
    std::vector<T> values(n);
    EXPECT_EQ(
        aclrtMemcpy(values.data(), n * sizeof(T), data_[tensor], n * sizeof(T), CopyKind::kDeviceToHost), 0);
    return values;
  }

  /// The first phase is refused with this status and a message that says why.
  void refused(Status got, Status expected, const char* reason);
  void accepted(Status got);
  /// The second phase of the call just accepted, and a wait. Returns the wait's status.
  Status run();
  uint64_t number(const char* of_report) const;
  /// Hidden copies of the call just accepted, which runs for it.
  uint64_t hidden_copies(Status got);

  Status embedding(aclTensor* weight, aclTensor* indices, aclTensor* out);
  Status index_select(aclTensor* self, int64_t dim, aclTensor* index, aclTensor* out);
  Status rms_norm(aclTensor* x, aclTensor* gamma, aclTensor* y, aclTensor* rstd, double epsilon = 1e-5);
  Status add_rms_norm(aclTensor* x1, aclTensor* x2, aclTensor* gamma, aclTensor* y, aclTensor* rstd,
                      aclTensor* x);
  Status mm(aclTensor* self, aclTensor* mat2, aclTensor* out, int8_t cube_math_type = 0);
  Status quantized_mm(aclTensor* x, aclTensor* weight, aclTensor* scale, aclTensor* y, int group = 0,
                      aclTensor* offset = nullptr, aclTensor* bias = nullptr,
                      aclTensor* quant_scale = nullptr);
  Status rotate(aclTensor* x, aclTensor* cos, aclTensor* sin, aclTensor* out, int64_t mode = 0);
  Status index_copy(aclTensor* self, int64_t dim, aclTensor* index, aclTensor* source);
  Status attention(const AttentionArguments& arguments);
  Status swiglu(aclTensor* x, int64_t dim, aclTensor* out);
  Status add_op(aclTensor* self, aclTensor* other, aclTensor* out, float alpha = 1);
  Status copy(aclTensor* self, aclTensor* source);
  Status greater(aclTensor* self, aclTensor* other, aclTensor* out);
  Status max_dim(aclTensor* self, int64_t dim, bool keep, aclTensor* values, aclTensor* indices);

  uint64_t asked_ = 0;  ///< workspace of the last first phase
  aclOpExecutor* executor_ = nullptr;

 private:
  using Second = Status (*)(void*, uint64_t, aclOpExecutor*, Stream);
  Second second_ = nullptr;
  bool is_stream_lost_ = false;  ///< a stream stays failed
  std::map<const aclTensor*, std::byte*> data_;
};

}  // namespace chaski::acl
