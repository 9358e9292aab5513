// Products with weights, and the fused ops that begin or end with one.
#include "backend/ascend/ascend_ops.h"

namespace chaski {

using ascend::DeviceMatrix;
using ascend::kMaxQuantisedWidth;
using ascend::kWeightGroup;
using ascend::Scratch;
using ascend::WeightForm;

namespace {

/// Parts begin at aligned addresses if they are multiples of so many rows.
constexpr int64_t kPartRows = 64;

/// Rows of all parts but the last when a quantised matrix is too high for one product.
int64_t rows_of_part(int64_t n_out) {
  const int64_t n_parts = (n_out + kMaxQuantisedWidth - 1) / kMaxQuantisedWidth;
  const int64_t even = (n_out + n_parts - 1) / n_parts;
  const int64_t rounded = (even + kPartRows - 1) / kPartRows * kPartRows;
  return rounded <= kMaxQuantisedWidth ? rounded : kMaxQuantisedWidth / kPartRows * kPartRows;
}

}  // namespace

void AscendOps::multiply_part(const TensorView& x, const DeviceMatrix& w, const TensorArg& out) {
  if (w.form == WeightForm::kFloat) {
    call<AclnnOp::kMm>(x, numbers(w.data, {w.n_out, w.n_in}).transposed(), out, int8_t{0});
    return;
  }
  const TensorArg codes(w.data, w.form == WeightForm::kInt8 ? acl::DataType::kInt8 : acl::DataType::kInt4,
                        {w.n_out, w.n_in});
  const TensorArg scales = numbers(w.scales, {w.n_out, w.n_in / kWeightGroup});
  call<AclnnOp::kWeightQuantBatchMatmulV2>(x, codes.transposed(), scales.transposed(), nullptr, nullptr,
                                           nullptr, nullptr, static_cast<int>(kWeightGroup), out);
}

void AscendOps::multiply(const TensorView& x, const DeviceMatrix& w, const TensorView& out) {
  const int64_t n = x.n_rows();
  CHECK(x.n_cols() == w.n_in && out.n_cols() == w.n_out && out.n_rows() == n, "[{}, {}] times {} into {}",
        w.n_out, w.n_in, x.shape.to_string(), out.shape.to_string());
  if (w.form == WeightForm::kFloat || w.n_out <= kMaxQuantisedWidth) return multiply_part(x, w, out);
  const int64_t step = rows_of_part(w.n_out);
  for (int64_t first = 0; first < w.n_out; first += step) {
    const int64_t width = std::min(step, w.n_out - first);
    TensorArg columns = numbers(static_cast<std::byte*>(out.data) + 2 * first, {n, width});
    columns.strides = {w.n_out, 1};
    if (n == 1) {
      columns.strides = {width, 1};
      multiply_part(x, w.rows(first, width), columns);
    } else {  // said openly what the operator would do by itself
      const TensorArg part = numbers(scratch(Scratch::kHeadPart, 2 * n * width), {n, width});
      multiply_part(x, w.rows(first, width), part);
      call<AclnnOp::kInplaceCopy>(columns, part);
    }
  }
}

void AscendOps::linear(const TensorView& x, WeightId w, const TensorView& out) {
  const TensorView from = located(x);
  overwritten(out);
  multiply(from, weights_.matrix(w), out);
}

void AscendOps::linear_add(const TensorView& h, WeightId w, const TensorView& x, Workspace&) {
  if (pending_) settle_pending();
  const TensorView from = located(h);
  const TensorView product{scratch(Scratch::kProduct, x.bytes()), activations_, x.shape};
  multiply(from, weights_.matrix(w), product);
  pending_ = Pending{x};
}

void AscendOps::norm_gate_up_swiglu(const TensorView& x, const GateUpWeights& w, float eps,
                                    const TensorView& h, Workspace& ws) {
  const std::optional<DeviceMatrix> gate_up = weights_.joined(std::array{w.gate, w.up});
  if (!gate_up) return Ops::norm_gate_up_swiglu(x, w, eps, h, ws);
  const int64_t n = x.n_rows(), ffn = h.n_cols();
  CHECK(gate_up->n_out == 2 * ffn, "gate and up of {} rows for {}", gate_up->n_out, h.shape.to_string());
  const TensorView y = normed(x, w.norm, eps);
  const TensorView both{scratch(Scratch::kGateUp, 4 * n * ffn), activations_, {n, 2 * ffn}};
  overwritten(h);
  multiply(y, *gate_up, both);
  call<AclnnOp::kSwiGlu>(both, int64_t{1}, h);
}

void AscendOps::swiglu(const TensorView& gate, const TensorView& up, const TensorView& out) {
  CHECK(gate.shape == up.shape && out.shape == gate.shape, "swiglu of {} and {}", gate.shape.to_string(),
        up.shape.to_string());
  const int64_t n = out.n_rows(), ffn = out.n_cols();
  std::byte* both = scratch(Scratch::kGateUp, 4 * n * ffn);
  const auto half = [&](int64_t i) {
    TensorArg columns = numbers(both + 2 * i * ffn, {n, ffn});
    columns.strides = {2 * ffn, 1};
    return columns;
  };
  call<AclnnOp::kInplaceCopy>(half(0), located(gate));
  call<AclnnOp::kInplaceCopy>(half(1), located(up));
  overwritten(out);
  call<AclnnOp::kSwiGlu>(numbers(both, {n, 2 * ffn}), int64_t{1}, out);
}

void AscendOps::norm_head(const TensorView& x, WeightId norm, WeightId head, float eps,
                          const TensorView& logits, Workspace&) {
  const TensorView y = normed(x, norm, eps);
  overwritten(logits);
  multiply(y, weights_.matrix(head), logits);
}

}  // namespace chaski
