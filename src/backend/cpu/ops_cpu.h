// Ops on the host's processor: weights in panels, kernels of one instruction set, work handed out over a
// thread pool. Attention is in attention_cpu.cpp. The same input gives the same bits whatever the number of
// threads and whatever other rows are in the batch.
#pragma once

#include <span>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/attention_cpu.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/pack_cache.h"
#include "backend/cpu/panel.h"
#include "base/threads.h"
#include "ops/ops.h"

namespace chaski {

class CpuOps : public Ops {
 public:
  /// All references must outlive this.
  CpuOps(Memory& memory, ThreadPool& pool, const cpu::KernelTable& kernels, Precision precision);

  std::string_view name() const override { return "cpu"; }
  Memory& memory() override { return memory_; }
  /// Reads and packs in parallel, with a staging of some hundred KiB per thread.
  WeightId add_weight(WeightSourcePtr source) override;
  const WeightSource& weight(WeightId id) const override { return *packed(id).source; }
  /// As Device's, with the files of packed weights in `cache_folder`.
  void begin_weights(const std::string& cache_folder, std::shared_ptr<const Checkpoint> checkpoint,
                     const OnBytes& on_bytes = {});
  std::vector<std::string> finish_weights();
  std::vector<std::string> keep_weights(const OnWait& on_wait);
  /// Throws Error(kCorrupt) where packed weights were damaged while they were in use.
  void synchronize() override;
  int64_t weight_bytes() const { return weight_bytes_; }
  HeldWeight held(WeightId id) const;
  /// How a weight is packed, or would be.
  cpu::PanelLayout layout_of(const WeightSource& source) const;

  void embed(WeightId table, const TensorView& token_ids, const TensorView& out) override;
  void rms_norm(const TensorView& x, WeightId gain, float eps, const TensorView& out) override;
  void linear(const TensorView& x, WeightId w, const TensorView& out) override;
  void rope_append(const TensorView& q, const TensorView& k, const TensorView& v, const StepInputs& in,
                   const KvLayer& kv) override {
    attention_.append(q, k, v, in, kv);
  }
  void attention(const TensorView& q, const StepInputs& in, const KvLayer& kv,
                 const TensorView& out) override {
    attention_.run(q, in, kv, out);
  }
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
  struct Packed {
    WeightSourcePtr source;
    cpu::PanelLayout layout;
    cpu::FastLinear linear;     ///< its kernel, and the form of activations that it takes
    Buffer panels;              ///< its own, or a part of a cache's
    std::vector<float> vector;  ///< the only row as f32, where there is but one: gains of norms
    const std::byte* data() const { return static_cast<const std::byte*>(panels.data()); }
  };
  /// One product over the staged activations.
  struct LinearJob {
    const Packed* w = nullptr;
    const Packed* up = nullptr;  ///< if set, out = swiglu(x wᵀ, x upᵀ)
    TensorView out;
    bool is_added = false;  ///< out += instead of out =
  };
  /// A block of activations in the forms that products want.
  struct Staged {
    cpu::ActivationRows f32, q8, q16;
    const cpu::ActivationRows& in(cpu::ActivationForm form) const;
  };

  const Packed& packed(WeightId id) const;
  const float* gain_of(WeightId id, int64_t width) const;
  LinearJob job(const TensorView& x, WeightId w, const TensorView& out, bool is_added = false) const;
  cpu::FastLinear kernel_for(const cpu::PanelLayout& layout) const;
  /// Run `work(begin, end, worker)` over [0, n) on the pool, without allocating.
  template <class Work>
  void parallel(int64_t n, int64_t grain, Work&& work);

  /// Whether numbers of matrices are rounded to the wide form.
  bool rounds_numbers() const {
    return precision_ == Precision::kFast && kernels_.linear_wide.kernel != nullptr;
  }
  void pack(const WeightSource& source, Packed& w);
  /// x, through the norm if there is a gain (into `normed`), in the forms that the jobs' kernels take.
  Staged stage(const TensorView& x, const float* gain, float eps, const TensorView& normed,
               std::span<const LinearJob> jobs);
  /// All jobs on [norm of] x, in row blocks that the staging holds.
  void norm_linear(const TensorView& x, const float* gain, float eps, const TensorView& normed,
                   std::span<const LinearJob> jobs);
  void run_jobs(std::span<const LinearJob> jobs, const Staged& x, int64_t n_rows);
  void run_panel(const LinearJob& job, int64_t panel, const Staged& x, int64_t first_row,
                 int64_t n_rows) const;

  Memory& memory_;
  ThreadPool& pool_;
  const cpu::KernelTable& kernels_;
  Precision precision_;
  std::vector<std::unique_ptr<cpu::PackCache>> caches_;  ///< the last one may be open
  bool is_caching_ = false;
  std::vector<Packed> weights_;
  int64_t weight_bytes_ = 0;
  Buffer f32_rows_, q8_rows_,
      q16_rows_;  ///< staged activations of one row block; grow with the widest weight
  cpu::Attention attention_;
};

template <class Work>
void CpuOps::parallel(int64_t n, int64_t grain, Work&& work) {
  pool_.parallel_for(n, grain, std::ref(work));
}

}  // namespace chaski
