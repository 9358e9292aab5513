// Views, buffers and the memory they live in. A view never owns; a buffer is the only owner of its bytes; a
// Memory is where a device keeps its bytes, which the host may not be able to touch.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "tensor/dtype.h"

namespace chaski {

/// Up to four dimensions, row-major, last one contiguous.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);

  int rank() const { return rank_; }
  int64_t operator[](int axis) const { return dims_[static_cast<size_t>(axis)]; }
  int64_t last() const { return rank_ == 0 ? 1 : (*this)[rank_ - 1]; }
  int64_t n_elements() const;
  int64_t n_rows() const;  ///< product of all dimensions but the last
  bool operator==(const Shape&) const = default;
  std::string to_string() const;  ///< "[3, 64]"

 private:
  int rank_ = 0;
  std::array<int64_t, 4> dims_{};
};

/// Numbers somewhere in a device's memory: where, what type, what shape. Ops read and write through views;
/// only code that knows the memory is the host's may dereference `data`.
struct TensorView {
  void* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;

  int64_t n_rows() const { return shape.n_rows(); }
  int64_t n_cols() const { return shape.last(); }
  int64_t bytes() const { return shape.n_rows() * row_bytes(dtype, shape.last()); }
  float* f32() const { return static_cast<float*>(data); }
  int32_t* i32() const { return static_cast<int32_t*>(data); }
  /// Rows [first, first + count) of the view seen as a matrix [n_rows, n_cols].
  TensorView rows(int64_t first, int64_t count) const;
};

/// Owns bytes of some memory; gives them back when destroyed. Move-only.
class Buffer {
 public:
  Buffer() = default;
  Buffer(void* data, size_t bytes, std::function<void(void*)> release);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  explicit operator bool() const { return data_ != nullptr; }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
  std::function<void(void*)> release_;
};

/// At least `bytes` of zeroed pages straight from the system, in large ones where it grants them. Nothing
/// touches them here: whoever writes first pays, which may be many threads. Throws Error(kOutOfMemory) naming
/// `what`.
Buffer allocate_pages(size_t bytes, std::string_view what);

/// Where a device keeps its bytes. Copies wait for the device's queued work where that is needed to be right.
class Memory {
 public:
  virtual ~Memory() = default;
  /// At least `bytes`, aligned to 64, zeroed. Throws Error(kOutOfMemory) naming `what`, needed and free.
  virtual Buffer allocate(size_t bytes, std::string_view what) = 0;
  virtual void copy_in(void* device, const void* host, size_t bytes) = 0;
  virtual void copy_out(void* host, const void* device, size_t bytes) = 0;
  /// Whether `data` of a view may be dereferenced by the host.
  virtual bool is_host_accessible() const = 0;
};

/// The host's own memory.
class HostMemory : public Memory {
 public:
  Buffer allocate(size_t bytes, std::string_view what) override;
  void copy_in(void* device, const void* host, size_t bytes) override;
  void copy_out(void* host, const void* device, size_t bytes) override;
  bool is_host_accessible() const override { return true; }
};

}  // namespace chaski
