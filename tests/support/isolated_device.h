// A device made to prove the seam between the program and its backends. It shares nothing with the CPU
// backend: memory that the host may not touch (a stray access faults), weights stored transposed, a cache
// geometry of its own, work that is deferred until someone waits for it, and ops that can be recorded and
// replayed.
#pragma once

#include <sys/mman.h>

#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/error.h"
#include "ops/scalar_ops.h"

namespace chaski::testing {

/// What happened while a step's work was pending. Where the device does all ops itself nothing is allocated
/// or copied to it, and the host waits once a step: when it reads the results.
struct StepTraffic {
  int64_t allocations = 0;
  int64_t copies_in = 0;
  int64_t waits = 0;
};

/// An arena without access rights but for the moments in which the device works on it.
class IsolatedMemory : public Memory {
 public:
  explicit IsolatedMemory(size_t capacity = size_t{1} << 30) : capacity_(capacity) {
    base_ = ::mmap(nullptr, capacity, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(base_ != MAP_FAILED, "no arena of {} bytes", capacity);
  }
  ~IsolatedMemory() override { ::munmap(base_, capacity_); }

  Buffer allocate(size_t bytes, std::string_view what) override {
    if (!pending_.empty()) ++traffic_.allocations;
    const size_t rounded = (bytes + 63) / 64 * 64;
    CHECK(used_ + rounded <= capacity_, "the arena is full at {}", what);
    void* data = static_cast<std::byte*>(base_) + used_;
    used_ += rounded;
    return Buffer(data, rounded, [](void*) {});
  }
  void copy_in(void* device, const void* host, size_t bytes) override {
    if (!pending_.empty()) ++traffic_.copies_in;
    synchronize();
    const Unlocked access(*this);
    std::copy_n(static_cast<const std::byte*>(host), bytes, static_cast<std::byte*>(device));
  }
  void copy_out(void* host, const void* device, size_t bytes) override {
    synchronize();
    const Unlocked access(*this);
    std::copy_n(static_cast<const std::byte*>(device), bytes, static_cast<std::byte*>(host));
  }
  bool is_host_accessible() const override { return false; }

  void defer(std::function<void()> work) { pending_.push_back(std::move(work)); }
  void synchronize() {
    if (!pending_.empty()) ++traffic_.waits;
    const Unlocked access(*this);
    while (!pending_.empty()) {
      pending_.front()();
      pending_.pop_front();
    }
  }
  const StepTraffic& traffic() const { return traffic_; }
  bool is_idle() const { return pending_.empty(); }

 private:
  struct Unlocked {
    explicit Unlocked(IsolatedMemory& memory) : memory_(memory) {
      if (memory_.depth_++ == 0) ::mprotect(memory_.base_, memory_.used_, PROT_READ | PROT_WRITE);
    }
    ~Unlocked() {
      if (--memory_.depth_ == 0) ::mprotect(memory_.base_, memory_.used_, PROT_NONE);
    }
    IsolatedMemory& memory_;
  };

  void* base_;
  size_t capacity_;
  size_t used_ = 0;
  int depth_ = 0;
  std::deque<std::function<void()>> pending_;
  StepTraffic traffic_;
};

class IsolatedOps : public Ops {
 public:
  std::string_view name() const override { return "isolated"; }
  Memory& memory() override { return memory_; }
  IsolatedMemory& isolated_memory() { return memory_; }
  void synchronize() override { memory_.synchronize(); }

  /// From now on this op counts as missing; a fused op that contains it is missing too.
  void switch_off(OpKind kind) { missing_.insert(kind); }
  OpSupport supports(const OpQuery& query) const override {
    for (const OpKind kind : parts_of(query.kind)) {
      if (missing_.count(kind) != 0) return {"switched off"};
    }
    return {};
  }
  /// Make `kind` give a wrong result on the `nth` call (from 0): its first element is off by one.
  void plant_fault(OpKind kind, int64_t nth) {
    fault_kind_ = kind;
    fault_at_ = nth;
  }

  /// Stored transposed, [n_cols, n_rows] in f32.
  WeightId add_weight(WeightSourcePtr source) override {
    const int64_t rows = source->n_rows();
    const int64_t cols = source->n_cols();
    const int64_t stride = row_bytes(source->dtype(), cols);
    std::vector<std::byte> stored(static_cast<size_t>(rows * stride));
    source->read_rows(0, rows, stored);
    std::vector<float> row(static_cast<size_t>(cols));
    std::vector<float> transposed(static_cast<size_t>(rows * cols));
    for (int64_t r = 0; r < rows; ++r) {
      format_of(source->dtype()).dequantize_row(stored.data() + r * stride, row.data(), cols);
      for (int64_t c = 0; c < cols; ++c)
        transposed[static_cast<size_t>(c * rows + r)] = row[static_cast<size_t>(c)];
    }
    Stored w{source, memory_.allocate(transposed.size() * 4, source->name())};
    memory_.copy_in(w.transposed.data(), transposed.data(), transposed.size() * 4);
    weights_.push_back(std::move(w));
    return {static_cast<int32_t>(weights_.size()) - 1};
  }
  const WeightSource& weight(WeightId id) const override {
    return *weights_.at(static_cast<size_t>(id.index)).source;
  }

  std::string why_not_capturable() const override { return missing_.empty() ? "" : "an op is switched off"; }
  std::unique_ptr<CapturedGraph> capture(const std::function<void()>& step) override {
    auto graph = std::make_unique<Graph>(memory_);
    recording_ = &graph->ops;
    step();
    recording_ = nullptr;
    return graph;
  }

  void embed(WeightId table, const TensorView& token_ids, const TensorView& out) override {
    run(OpKind::kEmbed, out, [this, table, token_ids, out] {
      const auto [data, rows, cols] = transposed(table);
      for (int64_t r = 0; r < out.n_rows(); ++r) {
        for (int64_t c = 0; c < cols; ++c) out.f32()[r * cols + c] = data[c * rows + token_ids.i32()[r]];
      }
    });
  }
  void rms_norm(const TensorView& x, WeightId gain, float eps, const TensorView& out) override {
    run(OpKind::kRmsNorm, out, [this, x, gain, eps, out] {
      const auto [data, rows, cols] = transposed(gain);
      for (int64_t r = 0; r < x.n_rows(); ++r) {
        double sum = 0;
        for (int64_t i = 0; i < cols; ++i) sum += double{x.f32()[r * cols + i]} * x.f32()[r * cols + i];
        const double scale = 1.0 / std::sqrt(sum / static_cast<double>(cols) + double{eps});
        for (int64_t i = 0; i < cols; ++i) {
          out.f32()[r * cols + i] = static_cast<float>(x.f32()[r * cols + i] * scale * data[i * rows]);
        }
      }
    });
  }
  void linear(const TensorView& x, WeightId w, const TensorView& out) override {
    run(OpKind::kLinear, out, [this, x, w, out] {
      const auto [data, rows, cols] = transposed(w);
      std::vector<double> sums(static_cast<size_t>(rows));
      for (int64_t r = 0; r < x.n_rows(); ++r) {
        std::fill(sums.begin(), sums.end(), 0.0);
        for (int64_t c = 0; c < cols; ++c) {
          const double value = x.f32()[r * cols + c];
          for (int64_t o = 0; o < rows; ++o) sums[static_cast<size_t>(o)] += value * data[c * rows + o];
        }
        for (int64_t o = 0; o < rows; ++o)
          out.f32()[r * rows + o] = static_cast<float>(sums[static_cast<size_t>(o)]);
      }
    });
  }
  void rope_append(const TensorView& q, const TensorView& k, const TensorView& v, const StepInputs& in,
                   const KvLayer& kv) override {
    run(OpKind::kRopeAppend, q, [this, q, k, v, in, kv] { scalar_.rope_append(q, k, v, in, kv); });
  }
  void attention(const TensorView& q, const StepInputs& in, const KvLayer& kv,
                 const TensorView& out) override {
    run(OpKind::kAttention, out, [this, q, in, kv, out] { scalar_.attention(q, in, kv, out); });
  }
  void swiglu(const TensorView& gate, const TensorView& up, const TensorView& out) override {
    run(OpKind::kSwiglu, out, [this, gate, up, out] { scalar_.swiglu(gate, up, out); });
  }
  void add(const TensorView& x, const TensorView& y, const TensorView& out) override {
    run(OpKind::kAdd, out, [this, x, y, out] { scalar_.add(x, y, out); });
  }
  void gather_rows(const TensorView& x, const TensorView& rows, const TensorView& out) override {
    run(OpKind::kGatherRows, out, [this, x, rows, out] { scalar_.gather_rows(x, rows, out); });
  }
  void argmax_rows(const TensorView& logits, const TensorView& best, const TensorView& largest) override {
    run(OpKind::kArgmaxRows, best,
        [this, logits, best, largest] { scalar_.argmax_rows(logits, best, largest); });
  }

 private:
  using Work = std::function<void()>;
  struct Stored {
    WeightSourcePtr source;
    Buffer transposed;
  };
  struct Graph : CapturedGraph {
    explicit Graph(IsolatedMemory& m) : memory(m) {}
    void replay() override {
      for (const Work& op : ops) memory.defer(op);
    }
    IsolatedMemory& memory;
    std::vector<Work> ops;
  };
  struct Matrix {
    const float* data;
    int64_t rows, cols;
  };

  static std::vector<OpKind> parts_of(OpKind kind) {
    switch (kind) {
      case OpKind::kNormQkvRopeAppend:
        return {kind, OpKind::kRmsNorm, OpKind::kLinear, OpKind::kRopeAppend};
      case OpKind::kLinearAdd:
        return {kind, OpKind::kLinear, OpKind::kAdd};
      case OpKind::kNormGateUpSwiglu:
        return {kind, OpKind::kRmsNorm, OpKind::kLinear, OpKind::kSwiglu};
      case OpKind::kNormHead:
        return {kind, OpKind::kRmsNorm, OpKind::kLinear};
      default:
        return {kind};
    }
  }
  Matrix transposed(WeightId id) const {
    const Stored& w = weights_.at(static_cast<size_t>(id.index));
    return {static_cast<const float*>(w.transposed.data()), w.source->n_rows(), w.source->n_cols()};
  }
  void run(OpKind kind, const TensorView& out, Work work) {
    CHECK(missing_.count(kind) == 0, "{} was called though it is switched off", name_of(kind));
    if (kind == fault_kind_ && fault_at_-- == 0) {
      work = [work, out] {
        work();
        out.f32()[0] += 1;
      };
    }
    if (recording_ != nullptr) {
      recording_->push_back(std::move(work));
    } else {
      memory_.defer(std::move(work));
    }
  }

  IsolatedMemory memory_;
  ScalarOps scalar_;  // its arithmetic, on this memory; it holds no weights
  std::vector<Stored> weights_;
  std::set<OpKind> missing_;
  OpKind fault_kind_ = OpKind::kEmbed;
  int64_t fault_at_ = -1;
  std::vector<Work>* recording_ = nullptr;
};

/// The device around IsolatedOps. Its keys lie [page][head][dim][token], its values [page][token][dim][head].
class IsolatedDevice : public Device {
 public:
  const DeviceInfo& info() const override { return info_; }
  Precision precision() const override { return Precision::kExact; }
  int n_threads() const override { return 1; }
  Ops& ops() override { return ops_; }
  IsolatedOps& isolated_ops() { return ops_; }
  int64_t weight_bytes() const override { return 0; }
  HeldWeight held(WeightId) const override { return {}; }

  KvLayout kv_layout(const ModelConfig& c) const override {
    constexpr int32_t kPageTokens = 7;
    const int64_t heads = c.n_kv_heads;
    const int64_t dim = c.head_dim;
    const int64_t page = kPageTokens * heads * dim;
    KvLayout layout;
    layout.dtype = DType::kF32;
    layout.page_tokens = kPageTokens;
    layout.n_kv_heads = static_cast<int32_t>(heads);
    layout.head_dim = static_cast<int32_t>(dim);
    layout.k = {page, 1, dim * kPageTokens, kPageTokens};
    layout.v = {page, dim * heads, 1, heads};
    return layout;
  }
  std::unique_ptr<Runner> make_runner(Ops& ops, const LlamaModel& model, const KvStorage& kv,
                                      const RunnerLimits& limits) override {
    if (captures && ops.why_not_capturable().empty())
      return std::make_unique<CapturedRunner>(ops, model, kv, limits);
    return std::make_unique<EagerRunner>(ops, model, kv, limits);
  }

  bool captures = false;

 private:
  DeviceInfo info_{"isolated", "a device for tests", "emulated", "scalar", true, ""};
  IsolatedOps ops_;
};

}  // namespace chaski::testing
