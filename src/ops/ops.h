// What a device must be able to do: nine primitives, and four fused ops whose default bodies call the
// primitives and so are their specification. llama_forward (model/llama.cpp) is written against this and
// nothing else.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "ops/batch.h"
#include "ops/workspace.h"
#include "tensor/weight_source.h"

namespace chaski {

/// A weight in an Ops' own table. Ids count up from 0 in the order of add_weight, so that two Ops given the
/// same weights in the same order agree on them.
struct WeightId {
  int32_t index = -1;
  bool operator==(const WeightId&) const = default;
};

enum class OpKind {
  kEmbed,
  kRmsNorm,
  kLinear,
  kRopeAppend,
  kAttention,
  kSwiglu,
  kAdd,
  kGatherRows,
  kArgmaxRows,
  kNormQkvRopeAppend,
  kLinearAdd,
  kNormGateUpSwiglu,
  kNormHead
};
std::string_view name_of(OpKind kind);

/// What an Ops is asked whether it can do: the op, its weight's type (f32 where it has none), rows and row
/// length.
struct OpQuery {
  OpKind kind;
  DType weight = DType::kF32;
  int64_t n_rows = 0;
  int64_t n_cols = 0;
};

/// The answer: empty `why_not` means yes.
struct OpSupport {
  std::string why_not;
  explicit operator bool() const { return why_not.empty(); }
};

/// The weights of the attention input of a layer.
struct QkvWeights {
  WeightId norm, q, k, v;
};
/// The weights of the feed-forward input of a layer.
struct GateUpWeights {
  WeightId norm, gate, up;
};

/// A recorded sequence of ops on fixed addresses, to be run again on new contents of the same buffers.
class CapturedGraph {
 public:
  virtual ~CapturedGraph() = default;
  virtual void replay() = 0;
};

/// Activations are [n_rows, width] in activation_dtype(), row-major, in this Ops' memory. Calls may return
/// before the work is done; Memory::copy_out and synchronize() wait. Inside a step no op allocates or copies
/// between host and device. A row's result depends on the row alone: not on the phase, on what other rows
/// there are, or on threads. The engine counts on it when it computes preempted tokens again and when it
/// reuses pages.
class Ops {
 public:
  virtual ~Ops() = default;

  virtual std::string_view name() const = 0;
  virtual Memory& memory() = 0;
  virtual WeightId add_weight(WeightSourcePtr source) = 0;
  virtual const WeightSource& weight(WeightId id) const = 0;
  virtual OpSupport supports(const OpQuery&) const { return {}; }
  /// f32, f16 or bf16: of every activation and of the logits. Results are rounded to it as an op stores them.
  virtual DType activation_dtype() const { return DType::kF32; }
  /// These weights are always multiplied with the same rows: a device may hold them as one matrix, their rows
  /// one below the other. Called right after they were added.
  virtual void adjoin(std::span<const WeightId>) {}
  /// What StepInputs::context_bucket is for sequences of up to so many tokens: steps that were captured are
  /// replayed for the same bucket only. 0 where a captured step does for every length.
  virtual int64_t context_bucket(int64_t /*n_context*/) const { return 0; }
  virtual void synchronize() {}
  /// Empty where a step of these ops can be captured and replayed; else why not.
  virtual std::string why_not_capturable() const { return "these ops run at once and record nothing"; }
  /// Record what `step` calls on this Ops without running it. Only where why_not_capturable() is empty.
  virtual std::unique_ptr<CapturedGraph> capture(const std::function<void()>& step);

  // Primitives.

  /// out[r] = table[token_ids[r]]; table [vocab, hidden], token_ids i32 [n], out [n, hidden].
  virtual void embed(WeightId table, const TensorView& token_ids, const TensorView& out) = 0;
  /// out[r] = x[r] / sqrt(mean(x[r]²) + eps) × gain; gain [width].
  virtual void rms_norm(const TensorView& x, WeightId gain, float eps, const TensorView& out) = 0;
  /// out[r][i] = Σ_j x[r][j] w[i][j]; w [n_out, n_in]. `out` must not overlap `x`.
  virtual void linear(const TensorView& x, WeightId w, const TensorView& out) = 0;
  /// Rotate q [n, n_heads × head_dim] in place and k [n, n_kv_heads × head_dim] by their positions (halves of
  /// a head paired: d with d + head_dim / 2), store k and v at their slots. k's own contents are undefined
  /// afterwards.
  virtual void rope_append(const TensorView& q, const TensorView& k, const TensorView& v,
                           const StepInputs& in, const KvLayer& kv) = 0;
  /// out[r] = softmax(q[r] · K / sqrt(head_dim)) V over positions 0 … positions[r] of the row's sequence;
  /// heads in groups of n_heads / n_kv_heads share a kv head. q and out [n, n_heads × head_dim].
  virtual void attention(const TensorView& q, const StepInputs& in, const KvLayer& kv,
                         const TensorView& out) = 0;
  /// out = gate × sigmoid(gate) × up, element by element. `out` may be `gate` or `up`.
  virtual void swiglu(const TensorView& gate, const TensorView& up, const TensorView& out) = 0;
  /// out = x + y. `out` may be `x` or `y`.
  virtual void add(const TensorView& x, const TensorView& y, const TensorView& out) = 0;
  /// out[i] = x[rows[i]]; rows i32 [n].
  virtual void gather_rows(const TensorView& x, const TensorView& rows, const TensorView& out) = 0;
  /// best[r] = index of the first largest value of logits[r], largest[r] = that value; NaN, with any index,
  /// where the row holds a NaN. best i32 [n], largest as the logits [n].
  virtual void argmax_rows(const TensorView& logits, const TensorView& best, const TensorView& largest) = 0;

  // Fused. Temporaries come from `ws`.

  /// q = norm(x) Wqᵀ rotated; k and v of norm(x) appended to the cache.
  virtual void norm_qkv_rope_append(const TensorView& x, const QkvWeights& w, float eps, const StepInputs& in,
                                    const KvLayer& kv, const TensorView& q, Workspace& ws);
  /// x += h Wᵀ.
  virtual void linear_add(const TensorView& h, WeightId w, const TensorView& x, Workspace& ws);
  /// h = swiglu(norm(x) Wgateᵀ, norm(x) Wupᵀ).
  virtual void norm_gate_up_swiglu(const TensorView& x, const GateUpWeights& w, float eps,
                                   const TensorView& h, Workspace& ws);
  /// logits = norm(x) Wᵀ.
  virtual void norm_head(const TensorView& x, WeightId norm, WeightId head, float eps,
                         const TensorView& logits, Workspace& ws);
};

}  // namespace chaski
