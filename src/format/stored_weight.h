// A weight that lies in a file, row after row, and the one rearrangement that files need: GGUF keeps the rows
// of q and k in another order.
#pragma once

#include <memory>
#include <string>

#include "format/byte_source.h"
#include "tensor/weight_source.h"

namespace chaski {

class StoredWeight : public WeightSource {
 public:
  /// Rows from `offset` of `source` on. With `interleaved_head_dim` > 0 the file holds each head's rotary
  /// pairs side by side (row 2i + j of a head), and rows are handed out in half-split order (row j *
  /// head_dim/2 + i).
  StoredWeight(ByteSourcePtr source, std::string name, DType dtype, Shape shape, uint64_t offset,
               int64_t interleaved_head_dim = 0);

  const std::string& name() const override { return name_; }
  DType dtype() const override { return dtype_; }
  const Shape& shape() const override { return shape_; }
  std::string file() const override { return source_->name(); }
  void read_rows(int64_t first, int64_t count, std::span<std::byte> out) const override;

 private:
  void read_stored(int64_t first, std::span<std::byte> out) const;
  void read_one_head(int64_t first, int64_t count, std::byte* out) const;

  ByteSourcePtr source_;
  std::string name_;
  DType dtype_;
  Shape shape_;
  uint64_t offset_;
  int64_t head_dim_;
  int64_t stride_;
};

}  // namespace chaski
