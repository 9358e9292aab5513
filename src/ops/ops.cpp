#include "ops/ops.h"

#include "base/error.h"

namespace chaski {

std::string_view name_of(OpKind kind) {
  switch (kind) {
    case OpKind::kEmbed:
      return "embed";
    case OpKind::kRmsNorm:
      return "rms_norm";
    case OpKind::kLinear:
      return "linear";
    case OpKind::kRopeAppend:
      return "rope_append";
    case OpKind::kAttention:
      return "attention";
    case OpKind::kSwiglu:
      return "swiglu";
    case OpKind::kAdd:
      return "add";
    case OpKind::kGatherRows:
      return "gather_rows";
    case OpKind::kArgmaxRows:
      return "argmax_rows";
    case OpKind::kNormQkvRopeAppend:
      return "norm_qkv_rope_append";
    case OpKind::kLinearAdd:
      return "linear_add";
    case OpKind::kNormGateUpSwiglu:
      return "norm_gate_up_swiglu";
    case OpKind::kNormHead:
      return "norm_head";
  }
  return "?";
}

std::unique_ptr<CapturedGraph> Ops::capture(const std::function<void()>&) {
  throw Error(ErrorCode::kInternal, "capture", fmt::format("{}: {}", name(), why_not_capturable()));
}

void Ops::norm_qkv_rope_append(const TensorView& x, const QkvWeights& w, float eps, const StepInputs& in,
                               const KvLayer& kv, const TensorView& q, Workspace& ws) {
  const Workspace::Scope scope(ws);
  const int64_t kv_width = int64_t{kv.layout->n_kv_heads} * kv.layout->head_dim;
  const TensorView normed = ws.take(x.dtype, x.shape);
  const TensorView k = ws.take(x.dtype, {x.n_rows(), kv_width});
  const TensorView v = ws.take(x.dtype, {x.n_rows(), kv_width});
  rms_norm(x, w.norm, eps, normed);
  linear(normed, w.q, q);
  linear(normed, w.k, k);
  linear(normed, w.v, v);
  rope_append(q, k, v, in, kv);
}

void Ops::linear_add(const TensorView& h, WeightId w, const TensorView& x, Workspace& ws) {
  const Workspace::Scope scope(ws);
  const TensorView product = ws.take(x.dtype, x.shape);
  linear(h, w, product);
  add(x, product, x);
}

void Ops::norm_gate_up_swiglu(const TensorView& x, const GateUpWeights& w, float eps, const TensorView& h,
                              Workspace& ws) {
  const Workspace::Scope scope(ws);
  const TensorView normed = ws.take(x.dtype, x.shape);
  const TensorView up = ws.take(x.dtype, h.shape);
  rms_norm(x, w.norm, eps, normed);
  linear(normed, w.gate, h);
  linear(normed, w.up, up);
  swiglu(h, up, h);
}

void Ops::norm_head(const TensorView& x, WeightId norm, WeightId head, float eps, const TensorView& logits,
                    Workspace& ws) {
  const Workspace::Scope scope(ws);
  const TensorView normed = ws.take(x.dtype, x.shape);
  rms_norm(x, norm, eps, normed);
  linear(normed, head, logits);
}

}  // namespace chaski
