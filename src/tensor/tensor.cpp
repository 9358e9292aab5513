#include "tensor/tensor.h"

#include <sys/mman.h>

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

Buffer HostMemory::allocate(size_t bytes, std::string_view what) {
  constexpr size_t kAlignment = 64;
  constexpr size_t kLargePage = size_t{2} << 20;
  const auto out_of_memory = [&] {
    return Error(ErrorCode::kOutOfMemory, "allocate",
                 fmt::format("{} bytes for {} are not to be had", bytes, what),
                 "use a smaller model, a lower --ctx, or a machine with more memory");
  };
  const auto rounded = checked_round_up(std::max<size_t>(bytes, 1), kAlignment);
  if (!rounded) throw out_of_memory();
  if (*rounded >= kLargePage) {
    // The system's own zeros: nothing is touched before its first use, by the thread that uses it.
    void* data = mmap(nullptr, *rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) throw out_of_memory();
    madvise(data, *rounded, MADV_HUGEPAGE);  // a wish; nothing depends on it
    return Buffer(data, *rounded, [size = *rounded](void* p) { munmap(p, size); });
  }
  void* data = std::aligned_alloc(kAlignment, *rounded);
  if (data == nullptr) throw out_of_memory();
  std::memset(data, 0, *rounded);
  return Buffer(data, *rounded, [](void* p) { std::free(p); });
}

void HostMemory::copy_in(void* device, const void* host, size_t bytes) { std::memcpy(device, host, bytes); }
void HostMemory::copy_out(void* host, const void* device, size_t bytes) { std::memcpy(host, device, bytes); }

}  // namespace chaski
