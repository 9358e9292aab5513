// Strided views and dtypes.
#include <algorithm>

#include "runtime.h"

namespace ascend_emulator {

const char* dtype_name(DataType dtype) {
  switch (dtype) {
    case DataType::kFloat:
      return "f32";
    case DataType::kFloat16:
      return "f16";
    case DataType::kInt8:
      return "i8";
    case DataType::kInt32:
      return "i32";
    case DataType::kUint8:
      return "u8";
    case DataType::kInt16:
      return "i16";
    case DataType::kInt64:
      return "i64";
    case DataType::kDouble:
      return "f64";
    case DataType::kBool:
      return "bool";
    case DataType::kBFloat16:
      return "bf16";
    case DataType::kInt4:
      return "i4";
    case DataType::kUndefined:
      break;
  }
  return "undefined";
}

int dtype_bits(DataType dtype) {
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
    case DataType::kFloat:
    case DataType::kInt32:
      return 32;
    case DataType::kInt64:
    case DataType::kDouble:
      return 64;
    case DataType::kUndefined:
      break;
  }
  return 0;
}

int64_t View::numel() const {
  int64_t n = 1;
  for (const int64_t dim : dims) n *= dim;
  return n;
}

namespace {

bool is_dense(const std::vector<int64_t>& dims, const std::vector<int64_t>& strides) {
  int64_t expected = 1;
  for (size_t i = dims.size(); i-- > 0;) {
    if (dims[i] != 1 && strides[i] != expected) return false;
    expected *= dims[i];
  }
  return true;
}

std::string listed(const std::vector<int64_t>& values) {
  std::string out;
  for (const int64_t value : values) out += (out.empty() ? "" : ", ") + std::to_string(value);
  return out;
}

}  // namespace

bool View::contiguous() const { return is_dense(dims, strides); }

bool View::transposed() const {
  if (rank() < 2) return false;
  std::vector<int64_t> exchanged_dims = dims, exchanged_strides = strides;
  std::swap(exchanged_dims[dims.size() - 1], exchanged_dims[dims.size() - 2]);
  std::swap(exchanged_strides[dims.size() - 1], exchanged_strides[dims.size() - 2]);
  return is_dense(exchanged_dims, exchanged_strides);
}

std::string View::describe() const {
  return text(dtype_name(dtype), " [", listed(dims), "] strides (", listed(strides), ")");
}

std::byte* View::host_bytes() const {
  return runtime().memory.host(static_cast<std::byte*>(storage) + offset * dtype_bits(dtype) / 8);
}

}  // namespace ascend_emulator
