// The common ground of the decorators of Ops. Each op becomes one OpCall: what it reads and writes, and how
// to run it on any Ops with its operands swapped for others. A decorator says in dispatch() what to do with
// it.
#pragma once

#include <array>
#include <functional>
#include <set>
#include <span>
#include <vector>

#include "ops/ops.h"

namespace chaski {

/// The operands of one op, in the order its lambda expects them.
struct Operands {
  std::array<TensorView, 3> reads;
  std::array<TensorView, 2> writes;  ///< read before they are written where OpCall says so
  std::array<WeightId, 4> weights;
  StepInputs in;
  KvLayer kv;
};

struct OpCall {
  OpKind kind;
  Operands operands;
  int n_reads = 0;
  int n_writes = 0;
  int n_weights = 0;
  bool uses_step = false;       ///< `in` and `kv` matter
  bool writes_kv = false;       ///< the slots of this step's rows
  bool updates_writes = false;  ///< `writes` are also read
  std::function<void(Ops&, const Operands&, Workspace&)> invoke = {};

  /// The weights that matter to a device: all but the gain of a norm that stands before them.
  std::span<const WeightId> matrices() const {
    const std::span all(operands.weights.data(), static_cast<size_t>(n_weights));
    return n_weights > 1 ? all.subspan(1) : all;
  }
};

/// Forwards everything to `device`, each op through dispatch().
class DecoratedOps : public Ops {
 public:
  explicit DecoratedOps(Ops& device) : device_(device) {}

  Memory& memory() override { return device_.memory(); }
  WeightId add_weight(WeightSourcePtr source) override;
  const WeightSource& weight(WeightId id) const override;
  OpSupport supports(const OpQuery& query) const override { return device_.supports(query); }
  DType activation_dtype() const override { return device_.activation_dtype(); }
  void adjoin(std::span<const WeightId> ids) override { device_.adjoin(ids); }
  int64_t context_bucket(int64_t n_context) const override { return device_.context_bucket(n_context); }
  void synchronize() override { device_.synchronize(); }
  std::string why_not_capturable() const override;

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
  void norm_qkv_rope_append(const TensorView& x, const QkvWeights& w, float eps, const StepInputs& in,
                            const KvLayer& kv, const TensorView& q, Workspace& ws) override;
  void linear_add(const TensorView& h, WeightId w, const TensorView& x, Workspace& ws) override;
  void norm_gate_up_swiglu(const TensorView& x, const GateUpWeights& w, float eps, const TensorView& h,
                           Workspace& ws) override;
  void norm_head(const TensorView& x, WeightId norm, WeightId head, float eps, const TensorView& logits,
                 Workspace& ws) override;

 protected:
  /// Run `call`, whose temporaries come from `ws`.
  virtual void dispatch(const OpCall& call, Workspace& ws) = 0;
  /// Whether a fused op goes through dispatch as one; else its default body runs, primitive by primitive.
  virtual bool keeps_fused(const OpCall&) const { return true; }

  /// Whether the device can do `call` with every one of its weights.
  OpSupport device_support(const OpCall& call) const;
  /// What the device is asked about `call` with this one of its weights.
  OpQuery query_of(const OpCall& call, WeightId matrix) const;
  const std::vector<WeightSourcePtr>& sources() const { return sources_; }

  Ops& device_;

 private:
  void dispatch_primitive(const OpCall& call);

  std::vector<WeightSourcePtr> sources_;
  HostMemory host_memory_;
  Workspace no_workspace_{host_memory_, 0};  // primitives take none
};

/// Host copies of an op's operands, so that another Ops can run it there.
class HostMirror {
 public:
  HostMirror(Ops& device, Ops& host) : device_(device), host_(host) {}

  /// Copies what `call` reads to the host; the operands to run it there.
  const Operands& fetch(const OpCall& call, const std::vector<WeightSourcePtr>& sources);
  /// Copies what the host's run wrote back to the device.
  void store(const OpCall& call);
  /// Host copies of what the device's run of `call` wrote: the written views, then k and v of the pages
  /// written.
  std::vector<std::vector<float>> device_results(const OpCall& call);
  /// The same of the host's run.
  std::vector<std::vector<float>> host_results(const OpCall& call) const;
  /// Room for the temporaries of a fused op on the host.
  Workspace& workspace(const OpCall& call);
  int64_t bytes_moved() const { return bytes_moved_; }  ///< by the last fetch and store

 private:
  TensorView mirror(const TensorView& view, Buffer& buffer, bool copy);
  void mirror_step(const OpCall& call);
  std::set<int32_t> pages(const OpCall& call) const;
  void copy_pages(const OpCall& call, bool to_device);
  WeightId host_weight(WeightId id, const std::vector<WeightSourcePtr>& sources);

  Ops& device_;
  Ops& host_;
  Operands mapped_;
  std::array<Buffer, 3> reads_;
  std::array<Buffer, 2> writes_;
  std::array<Buffer, 6> ints_;
  Buffer rope_, k_, v_;
  KvLayout kv_layout_;  ///< of k_ and v_
  const void* rope_of_ = nullptr;
  std::vector<WeightId> host_ids_;  ///< by device id; −1 until first used
  std::unique_ptr<Workspace> workspace_;
  int64_t bytes_moved_ = 0;
};

}  // namespace chaski
