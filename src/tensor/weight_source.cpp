#include "tensor/weight_source.h"

#include <cstring>

#include "base/error.h"

namespace chaski {

HostWeight::HostWeight(std::string name, DType dtype, Shape shape, std::vector<std::byte> bytes)
    : name_(std::move(name)), dtype_(dtype), shape_(shape), bytes_(std::move(bytes)) {
  CHECK(static_cast<int64_t>(bytes_.size()) == shape_.n_rows() * row_bytes(dtype_, shape_.last()),
        "{}: {} bytes for shape {}", name_, bytes_.size(), shape_.to_string());
}

std::shared_ptr<HostWeight> HostWeight::from_f32(std::string name, Shape shape, std::span<const float> values,
                                                 DType dtype) {
  const int64_t stride = row_bytes(dtype, shape.last());
  std::vector<std::byte> bytes(static_cast<size_t>(shape.n_rows() * stride));
  for (int64_t row = 0; row < shape.n_rows(); ++row) {
    format_of(dtype).quantize_row(values.data() + row * shape.last(), bytes.data() + row * stride,
                                  shape.last());
  }
  return std::make_shared<HostWeight>(std::move(name), dtype, shape, std::move(bytes));
}

void HostWeight::read_rows(int64_t first, int64_t count, std::span<std::byte> out) const {
  const int64_t stride = row_bytes(dtype_, n_cols());
  CHECK(first >= 0 && count >= 0 && first + count <= n_rows(), "{}: rows {} to {}", name_, first,
        first + count);
  CHECK(static_cast<int64_t>(out.size()) == count * stride, "{}: {} bytes for {} rows", name_, out.size(),
        count);
  std::memcpy(out.data(), bytes_.data() + first * stride, out.size());
}

}  // namespace chaski
