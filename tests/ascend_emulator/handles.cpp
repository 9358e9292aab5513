// aclnn's base: tensors, scalars, arrays and lists behind their handles.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "runtime.h"

namespace ascend_emulator {

namespace {

constexpr size_t kMaxRank = 8, kMaxBuried = 4096;

/// Destroyed objects, kept for a while so that a new handle is not soon the old one.
template <class T>
void bury(T* object) {
  static auto& buried = *new std::deque<std::unique_ptr<T>>;
  *object = T{};
  buried.emplace_back(object);
  if (buried.size() > kMaxBuried) buried.pop_front();
}

template <class T>
T* enrolled(std::unique_ptr<T> object, HandleKind kind) {
  object->serial = runtime().enroll(object.get(), kind);
  return object.release();
}

/// The object itself. Throws 161001 for null, 561103 unless it lives.
template <class T>
T& live(const T* handle, HandleKind kind, std::string_view name) {
  if (handle == nullptr) throw OpError(kNnNullParam, text(name, " is null"));
  if (runtime().serial_of(handle, kind) == 0)
    misuse(kNnInnerNull, name, ": used after it was destroyed, or no handle of this kind");
  return *const_cast<T*>(handle);
}

template <class T>
void destroy(const T* handle, HandleKind kind, std::string_view name) {
  T& object = live(handle, kind, name);
  runtime().dismiss(handle);
  bury(&object);
}

/// For functions that return a handle: null, with the message kept, where the body throws.
template <class Body>
auto created(const char* function, Body body) {
  decltype(body()) made = nullptr;
  guarded(function, [&](Runtime& r) {
    r.faults.hit(function);
    made = body();
  });
  return made;
}

View make_view(const int64_t* dims, uint64_t n_dims, DataType dtype, const int64_t* strides, int64_t offset,
               Format format, const int64_t* storage_dims, uint64_t n_storage_dims, void* data) {
  if (n_dims > kMaxRank || n_storage_dims > kMaxRank)
    misuse(kNnInvalidParam, "more than ", kMaxRank, " dimensions");
  if (dtype_bits(dtype) == 0) misuse(kNnInvalidParam, "unknown dtype ", static_cast<int>(dtype));
  View view;
  view.dtype = dtype;
  view.format = format;
  view.offset = offset;
  view.storage = data;
  view.dims.assign(dims, dims + n_dims);
  view.storage_dims.assign(storage_dims, storage_dims + n_storage_dims);
  if (strides != nullptr) {
    view.strides.assign(strides, strides + n_dims);
  } else {
    view.strides.assign(n_dims, 1);
    for (size_t i = n_dims; i-- > 1;) view.strides[i - 1] = view.strides[i] * view.dims[i];
  }
  int64_t last = offset, stored = 1;
  for (const int64_t dim : view.storage_dims) stored *= dim;
  for (size_t i = 0; i < n_dims; ++i) {
    if (view.dims[i] < 0 || view.strides[i] < 0) misuse(kNnInvalidParam, "negative: ", view.describe());
    last += (view.dims[i] - 1) * view.strides[i];
  }
  if (offset < 0) misuse(kNnInvalidParam, "a negative offset");
  if (dtype == DataType::kInt4 && offset % 2 != 0) misuse(kNnInvalidParam, "int4 from the middle of a byte");
  if (view.numel() > 0 && last >= stored)
    misuse(kNnInvalidParam, view.describe(), " at offset ", offset, " does not fit a storage of ", stored);
  return view;
}

double half_to_double(uint16_t bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  const double magnitude = exponent == 0    ? std::ldexp(mantissa, -24)
                           : exponent == 31 ? (mantissa != 0 ? NAN : INFINITY)
                                            : std::ldexp(mantissa + 1024, exponent - 25);
  return bits >> 15 != 0 ? -magnitude : magnitude;
}

template <class T>
T read(const void* value) {
  T out;
  std::memcpy(&out, value, sizeof out);
  return out;
}

double scalar_value(const void* value, DataType dtype) {
  switch (dtype) {
    case DataType::kFloat:
      return read<float>(value);
    case DataType::kFloat16:
      return half_to_double(read<uint16_t>(value));
    case DataType::kBFloat16:
      return std::bit_cast<float>(static_cast<uint32_t>(read<uint16_t>(value)) << 16);
    case DataType::kDouble:
      return read<double>(value);
    case DataType::kInt8:
      return read<int8_t>(value);
    case DataType::kInt16:
      return read<int16_t>(value);
    case DataType::kInt32:
      return read<int32_t>(value);
    case DataType::kInt64:
      return static_cast<double>(read<int64_t>(value));
    case DataType::kUint8:
    case DataType::kBool:
      return read<uint8_t>(value);
    default:
      throw OpError(kNnInvalidParam, text("no scalar of dtype ", dtype_name(dtype)));
  }
}

}  // namespace

const View& view_of(const aclTensor* tensor, std::string_view name) {
  return live(tensor, HandleKind::kTensor, name).view;
}

std::vector<View> views_of(const aclTensorList* list, std::string_view name) {
  std::vector<View> views;
  for (const aclTensor* tensor : live(list, HandleKind::kTensorList, name).tensors)
    views.push_back(view_of(tensor, name));
  return views;
}

double value_of(const aclScalar* scalar, std::string_view name) {
  return live(scalar, HandleKind::kScalar, name).value;
}

const std::vector<int64_t>& values_of(const aclIntArray* array, std::string_view name) {
  return live(array, HandleKind::kIntArray, name).values;
}

extern "C" {

aclTensor* aclCreateTensor(const int64_t* dims, uint64_t n_dims, DataType dtype, const int64_t* strides,
                           int64_t offset, Format format, const int64_t* storage_dims,
                           uint64_t n_storage_dims, void* data) {
  return created("aclCreateTensor", [&] {
    auto tensor = std::make_unique<aclTensor>();
    tensor->view =
        make_view(dims, n_dims, dtype, strides, offset, format, storage_dims, n_storage_dims, data);
    return enrolled(std::move(tensor), HandleKind::kTensor);
  });
}

Status aclDestroyTensor(const aclTensor* tensor) {
  return guarded("aclDestroyTensor", [&](Runtime&) { destroy(tensor, HandleKind::kTensor, "tensor"); });
}

aclScalar* aclCreateScalar(void* value, DataType dtype) {
  return created("aclCreateScalar", [&] {
    if (value == nullptr) throw OpError(kNnNullParam, "the value is null");
    auto scalar = std::make_unique<aclScalar>();
    scalar->dtype = dtype;
    scalar->value = scalar_value(value, dtype);
    return enrolled(std::move(scalar), HandleKind::kScalar);
  });
}

Status aclDestroyScalar(const aclScalar* scalar) {
  return guarded("aclDestroyScalar", [&](Runtime&) { destroy(scalar, HandleKind::kScalar, "scalar"); });
}

aclIntArray* aclCreateIntArray(const int64_t* values, uint64_t size) {
  return created("aclCreateIntArray", [&] {
    auto array = std::make_unique<aclIntArray>();
    if (size > 0) array->values.assign(values, values + size);
    return enrolled(std::move(array), HandleKind::kIntArray);
  });
}

Status aclDestroyIntArray(const aclIntArray* array) {
  return guarded("aclDestroyIntArray", [&](Runtime&) { destroy(array, HandleKind::kIntArray, "array"); });
}

aclTensorList* aclCreateTensorList(const aclTensor* const* values, uint64_t size) {
  return created("aclCreateTensorList", [&] {
    auto list = std::make_unique<aclTensorList>();
    for (uint64_t i = 0; i < size; ++i) {
      live(values[i], HandleKind::kTensor, "an item of the list");
      list->tensors.push_back(values[i]);
    }
    return enrolled(std::move(list), HandleKind::kTensorList);
  });
}

Status aclDestroyTensorList(const aclTensorList* list) {
  return guarded("aclDestroyTensorList", [&](Runtime&) {
    const auto tensors = live(list, HandleKind::kTensorList, "list").tensors;
    destroy(list, HandleKind::kTensorList, "list");
    for (const aclTensor* tensor : tensors)
      destroy(tensor, HandleKind::kTensor, "a tensor of the list, which goes with the list");
  });
}

}  // extern "C"

}  // namespace ascend_emulator
