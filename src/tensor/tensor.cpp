#include "tensor/tensor.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/checked.h"
#include "base/error.h"

namespace chaski {

Shape::Shape(std::initializer_list<int64_t> dims) {
  CHECK(dims.size() <= dims_.size(), "{} dimensions, at most {}", dims.size(), dims_.size());
  for (const int64_t dim : dims) {
    CHECK(dim >= 0, "negative dimension {}", dim);
    dims_[static_cast<size_t>(rank_++)] = dim;
  }
}

int64_t Shape::n_elements() const { return n_rows() * last(); }

int64_t Shape::n_rows() const {
  int64_t n = 1;
  for (int axis = 0; axis + 1 < rank_; ++axis) {
    const auto product = checked_mul(n, (*this)[axis]);
    CHECK(product.has_value(), "shape {} is too large", to_string());
    n = *product;
  }
  return n;
}

std::string Shape::to_string() const {
  std::string text = "[";
  for (int axis = 0; axis < rank_; ++axis) text += fmt::format("{}{}", axis == 0 ? "" : ", ", (*this)[axis]);
  return text + "]";
}

TensorView TensorView::rows(int64_t first, int64_t count) const {
  CHECK(first >= 0 && count >= 0 && first + count <= n_rows(), "rows {} to {} of {}", first, first + count,
        n_rows());
  TensorView part = *this;
  part.data = static_cast<std::byte*>(data) + first * row_bytes(dtype, n_cols());
  part.shape = Shape{count, n_cols()};
  return part;
}

Buffer::Buffer(void* data, size_t bytes, std::function<void(void*)> release)
    : data_(data), bytes_(bytes), release_(std::move(release)) {}

Buffer::~Buffer() {
  if (data_ != nullptr && release_) release_(data_);
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      release_(std::move(other.release_)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(release_, other.release_);
  return *this;
}

namespace {

constexpr size_t kLargePage = size_t{2} << 20;

Error out_of_memory(size_t bytes, std::string_view what) {
  return Error(ErrorCode::kOutOfMemory, "allocate",
               fmt::format("{} bytes for {} are not to be had", bytes, what),
               "use a smaller model or format, a lower --ctx, or a machine with more memory");
}

}  // namespace

Buffer allocate_pages(size_t bytes, std::string_view what) {
  const size_t size = std::max<size_t>(bytes, 1);
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw out_of_memory(bytes, what);
  if (size >= kLargePage) madvise(data, size, MADV_HUGEPAGE);  // a wish; nothing depends on it
  return Buffer(data, size, [size](void* p) { munmap(p, size); });
}

Buffer HostMemory::allocate(size_t bytes, std::string_view what) {
  constexpr size_t kAlignment = 64;
  if (bytes >= kLargePage) return allocate_pages(bytes, what);
  const size_t rounded = (std::max<size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  void* data = std::aligned_alloc(kAlignment, rounded);
  if (data == nullptr) throw out_of_memory(bytes, what);
  std::memset(data, 0, rounded);
  return Buffer(data, rounded, [](void* p) { std::free(p); });
}

void HostMemory::copy_in(void* device, const void* host, size_t bytes) { std::memcpy(device, host, bytes); }
void HostMemory::copy_out(void* host, const void* device, size_t bytes) { std::memcpy(host, device, bytes); }

}  // namespace chaski
