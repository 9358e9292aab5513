// Arguments of operators as plain values, and the handles that aclnn makes of them.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "backend/ascend/ascend_context.h"
#include "tensor/tensor.h"

namespace chaski {

acl::DataType acl_dtype(DType dtype);  ///< CHECKs that aclnn has it: f32, f16, bf16, i32
std::string_view name_of(acl::DataType dtype);
int bits_of(acl::DataType dtype);  ///< of one element

/// A tensor argument: numbers on the device and how they lie. Made of nullptr: none is passed.
struct TensorArg {
  static constexpr int kMostDims = 6;

  void* data = nullptr;
  acl::DataType dtype = acl::DataType::kUndefined;
  acl::Format format = acl::Format::kNd;
  int rank = 0;
  std::array<int64_t, kMostDims> dims{}, strides{};  ///< in elements

  TensorArg() = default;
  TensorArg(std::nullptr_t) {}        // NOLINT: an argument may be left out
  TensorArg(const TensorView& view);  // NOLINT: views are the usual argument
  TensorArg(void* data, acl::DataType dtype, std::span<const int64_t> dims);  ///< row-major
  TensorArg(void* data, acl::DataType dtype, std::initializer_list<int64_t> dims);

  bool is_null() const { return dtype == acl::DataType::kUndefined; }
  bool is_contiguous() const;
  int64_t n_elements() const;
  /// Elements from the first to the last, gaps included.
  int64_t extent() const;
  TensorArg transposed() const;  ///< last two dimensions swapped; the numbers stay
  /// The same numbers in other dimensions; CHECKs that it is contiguous and has as many.
  TensorArg reshaped(std::initializer_list<int64_t> dims_now) const;
  std::string to_string() const;  ///< "f16 [1, 2048]", with strides where it is not contiguous
};

struct ScalarArg {
  float value = 0;  ///< passed as f32; the operator converts
};
/// Host integers; a null pointer where none are passed. They are part of an executor's signature.
struct IntsArg {
  const int64_t* values = nullptr;
  size_t size = 0;
  IntsArg() = default;
  IntsArg(std::nullptr_t) {}  // NOLINT: an argument may be left out
  IntsArg(std::span<const int64_t> span) : values(span.data()), size(span.size()) {}  // NOLINT
};
/// A list of one tensor: all that this backend passes.
struct TensorListArg {
  TensorArg tensor;
  TensorListArg(const TensorArg& one) : tensor(one) {}   // NOLINT: written like a tensor
  TensorListArg(const TensorView& one) : tensor(one) {}  // NOLINT
};

/// Handles made for one call, destroyed with this object: after its executor, or once that has run.
class AclHandles {
 public:
  explicit AclHandles(AscendContext& context) : context_(&context) {}
  ~AclHandles();
  AclHandles(AclHandles&&) noexcept = default;
  AclHandles& operator=(AclHandles&&) = delete;

  // Null for what is left out. Throw AclError where aclnn makes none.
  aclTensor* make(const TensorArg& arg);
  aclTensorList* make(const TensorListArg& arg);
  aclIntArray* make(const IntsArg& arg);
  aclScalar* make(const ScalarArg& arg);
  // Passed as they are.
  int64_t make(int64_t value) { return value; }
  int32_t make(int32_t value) { return value; }
  int8_t make(int8_t value) { return value; }
  bool make(bool value) { return value; }
  double make(double value) { return value; }
  char* make(const char* text) { return const_cast<char*>(text); }  // aclnn's own type; it only reads

 private:
  AscendContext* context_;
  std::vector<aclTensor*> tensors_;
  std::vector<aclTensorList*> lists_;
  std::vector<aclIntArray*> int_arrays_;
  std::vector<aclScalar*> scalars_;
};

}  // namespace chaski
