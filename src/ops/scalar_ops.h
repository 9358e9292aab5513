// The oracle: every primitive as plainly as it can be written, sums in float64. Every device is compared with
// it, and ops that a device lacks run on it. Activations may be f32, f16 or bf16: results are rounded as they
// are stored, so it rounds where a device of that type does. Not fast, and not meant to be.
#pragma once

#include <vector>

#include "ops/ops.h"

namespace chaski {

class ScalarOps : public Ops {
 public:
  std::string_view name() const override { return "scalar"; }
  Memory& memory() override { return memory_; }
  /// Keeps the bytes as stored.
  WeightId add_weight(WeightSourcePtr source) override;
  const WeightSource& weight(WeightId id) const override;

  void embed(WeightId table, const TensorView& token_ids, const TensorView& out) override;
  void rms_norm(const TensorView& x, WeightId gain, float eps, const TensorView& out) override;
  void linear(const TensorView& x, WeightId w, const TensorView& out) override;
  void rope_append(const TensorView& q, const TensorView& k, const TensorView& v, const StepInputs& in,
                   const KvLayer& kv) override;
  void attention(const TensorView& q, const StepInputs& in, const KvLayer& kv,
                 const TensorView& out) override;
  void swiglu(const TensorView& gate, const TensorView& up, const TensorView& out) override;
  void add(const TensorView& x, const TensorView& y, const TensorView& out) override;
  void gather_rows(const TensorView& x, const TensorView& rows, const TensorView& out) override;
  void argmax_rows(const TensorView& logits, const TensorView& best, const TensorView& largest) override;

 private:
  struct Stored {
    WeightSourcePtr source;
    std::vector<std::byte> bytes;
  };
  const Stored& stored(WeightId id) const;
  /// Row `row` of the weight as f32 in `row_`.
  const float* decoded(const Stored& w, int64_t row);

  HostMemory memory_;
  std::vector<Stored> weights_;
  std::vector<float> row_, key_, value_;
  std::vector<std::vector<float>> inputs_;
  std::vector<double> scores_, sums_;
};

/// One element of a cache as f32, and back; `index` in elements. For the oracle and for tests.
float load_element(const void* data, DType dtype, int64_t index);
void store_element(void* data, DType dtype, int64_t index, float value);

}  // namespace chaski
