// The weights of a model as an Ascend device holds them: f16 or bf16 matrices, int8 and int4 ones with a
// scale for each 32 numbers, tables for Embedding. What is computed with them is in ascend_ops.h.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "tensor/weight_source.h"

namespace chaski::ascend {

enum class WeightForm {
  kFloat,  ///< numbers in the activations' type
  kInt8,   ///< a code of a byte for each number
  kInt4    ///< two codes to a byte, the lower half first
};

/// Codes that share a scale.
inline constexpr int64_t kWeightGroup = 32;
/// Most rows or columns of a quantised matrix in one product.
inline constexpr int64_t kMaxQuantisedWidth = 65535;

/// Adjacent rows of a matrix [n_out, n_in] in device memory.
struct DeviceMatrix {
  WeightForm form = WeightForm::kFloat;
  void* data = nullptr;    ///< row 0
  void* scales = nullptr;  ///< of kInt8 and kInt4: [n_out, n_in / 32] in the activations' type
  int64_t n_out = 0, n_in = 0;

  int64_t data_bytes() const;
  int64_t scale_bytes() const { return form == WeightForm::kFloat ? 0 : n_out * (n_in / kWeightGroup) * 2; }
  DeviceMatrix rows(int64_t first, int64_t count) const;
};

/// Which quantised forms the device multiplies with; where one is not there, why.
struct QuantisedForms {
  std::string why_no_int8, why_no_int4;
};

/// Weights are uploaded when they are adjoined, when later ones were added, or when they are first needed.
class WeightTable {
 public:
  /// `memory` must outlive this.
  explicit WeightTable(Memory& memory) : memory_(memory) {}

  /// What is held from here on. Only before the first weight.
  void configure(DType activations, const QuantisedForms& forms);
  WeightId add(WeightSourcePtr source);
  /// Hold these, which were added last, as one matrix where they are of one form.
  void adjoin(std::span<const WeightId> ids);
  /// Upload all that waits. What the user should know of conversions, a line for each kind.
  std::vector<std::string> finish();

  size_t size() const { return weights_.size(); }
  const WeightSource& source(WeightId id) const { return *weight(id).source; }
  /// Throws Error(kUnsupported) naming the weight where a number does not fit the activations' type.
  DeviceMatrix matrix(WeightId id);
  /// The matrix of all of them; nothing where they are held apart.
  std::optional<DeviceMatrix> joined(std::span<const WeightId> ids);
  /// All rows in the activations' type, as Embedding and the norms take them.
  void* numbers(WeightId id);

  WeightForm form_of(const WeightSource& source) const;
  int64_t bytes() const { return bytes_; }
  HeldWeight held(WeightId id) const;
  int64_t bytes_to_hold(const WeightSource& source) const;

 private:
  struct Weight {
    WeightSourcePtr source;
    std::optional<DeviceMatrix> matrix;
    void* numbers = nullptr;
  };
  const Weight& weight(WeightId id) const;
  Weight& weight(WeightId id);
  Buffer& allocate(int64_t bytes, const WeightSource& for_whom);
  DeviceMatrix layout_of(std::span<const WeightId> ids) const;
  void upload(std::span<const WeightId> ids);
  void upload_rows(const WeightSource& source, const DeviceMatrix& to);
  void note_conversion(const WeightSource& source, WeightForm form);
  bool is_table(const WeightSource& source) const;

  Memory& memory_;
  DType activations_ = DType::kF16;
  QuantisedForms forms_;
  std::vector<Weight> weights_;
  std::deque<WeightId> waiting_;
  std::vector<Buffer> buffers_;
  std::map<std::pair<DType, std::string>, int64_t> conversions_;  ///< stored type and "as f16" → weights
  size_t n_finished_ = 0;
  int64_t bytes_ = 0;
};

}  // namespace chaski::ascend
