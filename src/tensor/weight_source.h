// A weight as it is stored: its type, its shape, and a way to read its rows. Checkpoints hand these out,
// devices pack from them, decorators come back to them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "tensor/dtype.h"
#include "tensor/tensor.h"

namespace chaski {

/// One stored weight, [n_rows, n_cols] with rows of whole blocks; a vector is one row. Thread-safe reads.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  virtual const std::string& name() const = 0;  ///< Hugging Face's name, whatever the file
  virtual DType dtype() const = 0;
  virtual const Shape& shape() const = 0;
  virtual std::string file() const { return {}; }  ///< that holds it, for errors; empty where none does
  /// The bytes of rows [first, first + count), as stored. Throws Error(kCorrupt) naming file and offset.
  virtual void read_rows(int64_t first, int64_t count, std::span<std::byte> out) const = 0;

  int64_t n_rows() const { return shape().n_rows(); }
  int64_t n_cols() const { return shape().last(); }
};

using WeightSourcePtr = std::shared_ptr<const WeightSource>;

/// A weight held in memory: for tests and for weights made by computation.
class HostWeight : public WeightSource {
 public:
  HostWeight(std::string name, DType dtype, Shape shape, std::vector<std::byte> bytes);
  /// From f32 values, stored in `dtype` by its scalar definition.
  static std::shared_ptr<HostWeight> from_f32(std::string name, Shape shape, std::span<const float> values,
                                              DType dtype = DType::kF32);
  const std::string& name() const override { return name_; }
  DType dtype() const override { return dtype_; }
  const Shape& shape() const override { return shape_; }
  void read_rows(int64_t first, int64_t count, std::span<std::byte> out) const override;

 private:
  std::string name_;
  DType dtype_;
  Shape shape_;
  std::vector<std::byte> bytes_;
};

}  // namespace chaski
