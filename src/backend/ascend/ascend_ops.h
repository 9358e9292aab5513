// Ops on an Ascend device: aclnn's operators on f16 or bf16 activations, about eleven launches a layer. The
// norms and the residual are in ascend_residual.cpp, products in ascend_linear.cpp, rotation and cache in
// ascend_rotary.cpp, attention in ascend_attention.cpp, captured steps in ascend_capture.cpp.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/ascend/ascend_weights.h"
#include "backend/ascend/executor_cache.h"
#include "backend/ascend/scratch_buffers.h"
#include "format/model_config.h"
#include "model/runner.h"
#include "ops/ops.h"

namespace chaski {

/// Tokens of a page of the cache: what FusedInferAttentionScore takes for one and for several queries.
inline constexpr int32_t kAscendPageTokens = 128;
/// Lengths of context are rounded up to these, so that steps are alike for as many tokens.
inline constexpr int64_t kAscendBucketTokens = 256;

struct AscendOpsOptions {
  DType activations = DType::kF16;  ///< f16 or bf16
  bool captures = true;             ///< where CANN can
};

class AscendOps : public Ops {
 public:
  /// `memory` must outlive this.
  AscendOps(AscendMemory& memory, const AscendOpsOptions& options);
  ~AscendOps() override;

  std::string_view name() const override { return "ascend"; }
  Memory& memory() override { return guarded_; }
  DType activation_dtype() const override { return activations_; }
  OpSupport supports(const OpQuery& query) const override;
  int64_t context_bucket(int64_t n_context) const override;
  void synchronize() override;

  /// From here on activations are of this type; only before the first weight. Tries each operator on it.
  void set_activations(DType activations);
  /// Heads that attention is asked about; for supports().
  void set_heads(const ModelConfig& config);
  /// Room for steps within these limits, so that none of them allocates.
  void reserve(const LlamaModel& model, const RunnerLimits& limits);

  WeightId add_weight(WeightSourcePtr source) override;
  const WeightSource& weight(WeightId id) const override { return weights_.source(id); }
  void adjoin(std::span<const WeightId> ids) override { weights_.adjoin(ids); }
  ascend::WeightTable& weights() { return weights_; }
  const ascend::WeightTable& weights() const { return weights_; }
  const AscendCounters& counters() const { return context_.counters(); }

  std::string why_not_capturable() const override;
  std::unique_ptr<CapturedGraph> capture(const std::function<void()>& step) override;

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

 private:
  /// The device's memory as the rest of the program sees it: what was put off or lies elsewhere is settled
  /// before bytes go in or out.
  class GuardedMemory : public Memory {
   public:
    GuardedMemory(AscendOps& ops, AscendMemory& memory) : ops_(ops), memory_(memory) {}
    Buffer allocate(size_t bytes, std::string_view what) override { return memory_.allocate(bytes, what); }
    void copy_in(void* device, const void* host, size_t bytes) override;
    void copy_out(void* host, const void* device, size_t bytes) override;
    bool is_host_accessible() const override { return false; }

   private:
    AscendOps& ops_;
    AscendMemory& memory_;
  };

  // Where views are (ascend_residual.cpp).

  /// The contents of `view`, which are at `at` for the time being.
  struct Moved {
    TensorView view;
    std::byte* at = nullptr;
  };
  /// x is still to become x + the product in Scratch::kProduct.
  struct Pending {
    TensorView x;
  };
  /// Where the contents of `view` are, what was put off being done.
  TensorView located(const TensorView& view);
  /// `view` is about to be written as a whole.
  void overwritten(const TensorView& view);
  /// All that overlaps these bytes goes to its own place.
  void settle(const void* data, int64_t bytes);
  void settle_pending();
  void settle_moved(const void* data, int64_t bytes);
  /// Whatever lies in this buffer goes to its own place.
  void vacate(ascend::Scratch purpose);
  void copy_on_device(void* to, const void* from, int64_t bytes);
  /// x where it is, and the other of its two places, where it will be.
  struct Turn {
    TensorView from, to;
  };
  Turn turn(const TensorView& x);
  /// Norm of x, in Scratch::kNormed.
  TensorView normed(const TensorView& x, WeightId gain, float eps);

  // Products (ascend_linear.cpp).

  void multiply(const TensorView& x, const ascend::DeviceMatrix& w, const TensorView& out);
  void multiply_part(const TensorView& x, const ascend::DeviceMatrix& w, const TensorArg& out);

  // Rotation and cache (ascend_rotary.cpp).

  struct RotaryTables {
    Buffer cos, sin;
    int64_t n_positions = 0;
  };
  const RotaryTables& rotary_tables(const TensorView& rope);
  void upload_rotary_tables(const TensorView& rope);
  void prepare_rotation(const StepInputs& in, int64_t n_heads, int64_t n_kv_heads);
  /// Rotate heads [first_head, first_head + n_heads) of those that prepare_rotation() laid out.
  void rotate(const std::byte* from, std::byte* to, const StepInputs& in, int64_t first_head,
              int64_t n_heads);
  void append(const std::byte* rows, void* cache, const StepInputs& in, const KvLayer& kv);
  void check_layout(const KvLayer& kv) const;

  // Attention (ascend_attention.cpp).

  /// One call of FusedInferAttentionScore: a query of each of several sequences, or all of one sequence.
  struct AttentionCall {
    int64_t first_row = 0, n_rows = 0, first_sequence = 0, n_sequences = 0;
    bool is_decode = false;
    std::vector<int64_t> query_lengths, kv_lengths;
    TensorArg pages;  ///< i32 [n_sequences, pages of the longest]
    TensorArg mask;   ///< of several queries
    TensorArg shift;  ///< of one: what is added to the scores, [n_sequences, heads, 1, places]
  };
  struct AttentionHeads {
    int64_t n_heads = 0, n_kv_heads = 0, head_dim = 0;
  };
  /// q and out [n_sequences, queries, heads × head_dim]; k and v [pages, tokens, kv heads × head_dim].
  void attend(const AttentionCall& one, const TensorArg& q, const TensorArg& k, const TensorArg& v,
              const TensorArg& out, const AttentionHeads& heads);
  void plan_attention(const StepInputs& in, int64_t n_pages);
  void prepare_attention(const StepInputs& in, int64_t n_pages, int64_t n_heads);
  void prepare_pages(const StepInputs& in);
  void prepare_masks(const StepInputs& in, int64_t n_heads);
  void* causal_mask();
  void* iota(int64_t n);

  // Which operators there are (ascend_support.cpp).

  /// Run every operator once on a few numbers; what declines is not used.
  void try_operators();
  /// Why not, where it declines.
  template <typename Run>
  std::string try_operator(AclnnOp op, Run&& run);
  const std::string& fault_of(AclnnOp op) const { return faults_[static_cast<size_t>(op)]; }

  template <AclnnOp op, typename... Given>
  void call(const Given&... given) {
    executors_.call<op>(given...);
  }
  std::byte* scratch(ascend::Scratch purpose, int64_t bytes) { return scratch_.room(purpose, bytes); }
  /// Row-major numbers of the activations' type.
  TensorArg numbers(const void* data, std::initializer_list<int64_t> dims) const;

  AscendMemory& memory_;
  AscendContext& context_;
  GuardedMemory guarded_;
  AscendOpsOptions options_;
  DType activations_;
  bool is_tried_ = false;
  ExecutorCache executors_;
  ascend::WeightTable weights_;
  ascend::ScratchBuffers scratch_;
  std::array<std::string, kAclnnOpCount> faults_;  ///< why an operator cannot be used
  ascend::QuantisedForms forms_;
  std::string heads_fault_;  ///< why attention cannot be done
  bool is_capturing_ = false;

  std::vector<Moved> moved_;
  std::optional<Pending> pending_;
  std::map<const void*, RotaryTables> rotary_tables_;  ///< by the f32 table they were made of
  int64_t iota_size_ = 0;
  bool has_causal_mask_ = false;
  // Of the step in hand, forgotten when another begins.
  bool has_rotation_ = false, has_attention_ = false;
  std::vector<AttentionCall> calls_;

  friend class AscendGraph;
};

}  // namespace chaski
