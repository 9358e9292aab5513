#include "backend/ascend/acl_handles.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace chaski {
namespace {

struct TypeRow {
  acl::DataType dtype;
  std::string_view name;
  int bits;
};
constexpr TypeRow kTypes[] = {
    {acl::DataType::kFloat, "f32", 32}, {acl::DataType::kFloat16, "f16", 16},
    {acl::DataType::kInt8, "i8", 8},    {acl::DataType::kInt32, "i32", 32},
    {acl::DataType::kUint8, "u8", 8},   {acl::DataType::kInt16, "i16", 16},
    {acl::DataType::kInt64, "i64", 64}, {acl::DataType::kDouble, "f64", 64},
    {acl::DataType::kBool, "bool", 8},  {acl::DataType::kBFloat16, "bf16", 16},
    {acl::DataType::kInt4, "i4", 4},    {acl::DataType::kUndefined, "undefined", 0},
};

const TypeRow& row_of(acl::DataType dtype) {
  const auto* row =
      std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeRow& r) { return r.dtype == dtype; });
  CHECK(row != std::end(kTypes), "dtype {}", static_cast<int>(dtype));
  return *row;
}

}  // namespace

acl::DataType acl_dtype(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return acl::DataType::kFloat;
    case DType::kF16:
      return acl::DataType::kFloat16;
    case DType::kBF16:
      return acl::DataType::kBFloat16;
    case DType::kI32:
      return acl::DataType::kInt32;
    default:
      CHECK(false, "aclnn has no {}", name_of(dtype));
      return acl::DataType::kUndefined;
  }
}

std::string_view name_of(acl::DataType dtype) { return row_of(dtype).name; }
int bits_of(acl::DataType dtype) { return row_of(dtype).bits; }

TensorArg::TensorArg(void* data_of, acl::DataType type, std::span<const int64_t> sizes)
    : data(data_of), dtype(type), rank(static_cast<int>(sizes.size())) {
  CHECK(rank <= kMostDims, "{} dimensions", rank);
  int64_t stride = 1;
  for (size_t axis = sizes.size(); axis-- > 0;) {
    dims[axis] = sizes[axis];
    strides[axis] = stride;
    stride *= sizes[axis];
  }
}

TensorArg::TensorArg(void* data_of, acl::DataType type, std::initializer_list<int64_t> sizes)
    : TensorArg(data_of, type, std::span<const int64_t>(sizes.begin(), sizes.size())) {}

TensorArg::TensorArg(const TensorView& view) {
  std::array<int64_t, kMostDims> sizes{};
  for (int axis = 0; axis < view.shape.rank(); ++axis) sizes[static_cast<size_t>(axis)] = view.shape[axis];
  *this = TensorArg(view.data, acl_dtype(view.dtype),
                    std::span<const int64_t>(sizes).first(static_cast<size_t>(view.shape.rank())));
}

bool TensorArg::is_contiguous() const {
  int64_t stride = 1;
  for (auto axis = static_cast<size_t>(rank); axis-- > 0;) {
    if (dims[axis] != 1 && strides[axis] != stride) return false;
    stride *= dims[axis];
  }
  return true;
}

int64_t TensorArg::n_elements() const {
  int64_t n = 1;
  for (size_t axis = 0; axis < static_cast<size_t>(rank); ++axis) n *= dims[axis];
  return n;
}

int64_t TensorArg::extent() const {
  int64_t last = 0;
  for (size_t axis = 0; axis < static_cast<size_t>(rank); ++axis) {
    if (dims[axis] == 0) return 0;
    last += (dims[axis] - 1) * strides[axis];
  }
  return last + 1;
}

TensorArg TensorArg::transposed() const {
  CHECK(rank >= 2, "a tensor of rank {}", rank);
  TensorArg other = *this;
  const auto last = static_cast<size_t>(rank) - 1;
  std::swap(other.dims[last], other.dims[last - 1]);
  std::swap(other.strides[last], other.strides[last - 1]);
  return other;
}

TensorArg TensorArg::reshaped(std::initializer_list<int64_t> dims_now) const {
  TensorArg other(data, dtype, dims_now);
  CHECK(is_contiguous() && other.n_elements() == n_elements(), "{} as {}", to_string(), other.to_string());
  other.format = format;
  return other;
}

std::string TensorArg::to_string() const {
  if (is_null()) return "none";
  const auto n = static_cast<size_t>(rank);
  std::string text = fmt::format("{} [{}]", name_of(dtype), fmt::join(dims.data(), dims.data() + n, ", "));
  if (!is_contiguous())
    text += fmt::format(" strides [{}]", fmt::join(strides.data(), strides.data() + n, ", "));
  return text;
}

AclHandles::~AclHandles() {
  const acl::Functions& call = context_->api().call;
  for (const aclTensorList* list : lists_) call.aclDestroyTensorList(list);  // and its tensors
  for (const aclTensor* tensor : tensors_) call.aclDestroyTensor(tensor);
  for (const aclIntArray* array : int_arrays_) call.aclDestroyIntArray(array);
  for (const aclScalar* scalar : scalars_) call.aclDestroyScalar(scalar);
}

aclTensor* AclHandles::make(const TensorArg& arg) {
  if (arg.is_null()) return nullptr;
  const int64_t extent = arg.extent();
  aclTensor* tensor =
      context_->api().call.aclCreateTensor(arg.dims.data(), static_cast<uint64_t>(arg.rank), arg.dtype,
                                           arg.strides.data(), 0, arg.format, &extent, 1, arg.data);
  if (tensor == nullptr) context_->fail(acl::kNnInnerNull, "aclCreateTensor", arg.to_string());
  tensors_.push_back(tensor);
  return tensor;
}

aclTensorList* AclHandles::make(const TensorListArg& arg) {
  const aclTensor* tensor = make(arg.tensor);
  if (tensor == nullptr) return nullptr;
  aclTensorList* list = context_->api().call.aclCreateTensorList(&tensor, 1);
  if (list == nullptr) context_->fail(acl::kNnInnerNull, "aclCreateTensorList", arg.tensor.to_string());
  tensors_.pop_back();  // the list's now
  lists_.push_back(list);
  return list;
}

aclIntArray* AclHandles::make(const IntsArg& arg) {
  if (arg.values == nullptr) return nullptr;
  aclIntArray* array = context_->api().call.aclCreateIntArray(arg.values, arg.size);
  if (array == nullptr)
    context_->fail(acl::kNnInnerNull, "aclCreateIntArray", fmt::format("{} values", arg.size));
  int_arrays_.push_back(array);
  return array;
}

aclScalar* AclHandles::make(const ScalarArg& arg) {
  float value = arg.value;
  aclScalar* scalar = context_->api().call.aclCreateScalar(&value, acl::DataType::kFloat);
  if (scalar == nullptr) context_->fail(acl::kNnInnerNull, "aclCreateScalar", fmt::format("{}", value));
  scalars_.push_back(scalar);
  return scalar;
}

}  // namespace chaski
