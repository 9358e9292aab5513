// Temporaries of a step, handed out from one buffer that was sized when the runner was made: no allocation
// inside a step, and the same addresses in every step, which is what captured graphs need.
#pragma once

#include <cstddef>

#include "tensor/tensor.h"

namespace chaski {

class Workspace {
 public:
  Workspace(Memory& memory, size_t bytes);

  /// A view of the next free bytes, aligned to 64. CHECKs that it fits.
  TensorView take(DType dtype, const Shape& shape);

  /// Gives back, when it ends, all that was taken during its life.
  class Scope {
   public:
    explicit Scope(Workspace& workspace) : workspace_(workspace), mark_(workspace.used_) {}
    ~Scope() { workspace_.used_ = mark_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Workspace& workspace_;
    size_t mark_;
  };

  size_t capacity() const { return buffer_.bytes(); }
  size_t peak() const { return peak_; }

 private:
  Buffer buffer_;
  size_t used_ = 0;
  size_t peak_ = 0;
};

}  // namespace chaski
