// Running whole steps: the batch to the device, llama_forward, the results back. A backend that can do better
// supplies a Runner of its own.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/llama.h"
#include "ops/batch.h"

namespace chaski {

/// A step's results on the host. The runner fills it; its vectors keep their capacity from step to step.
struct StepOutput {
  std::vector<int32_t> best;  ///< [n_outputs] best token per output, −1 where its logits are not finite
  std::vector<float> logits;  ///< [n outputs that want logits, vocab] in the order of Batch::outputs
};

/// How large steps may become; buffers are sized by this once.
struct RunnerLimits {
  int32_t max_rows = 256;
  int32_t max_sequences = 8;
  int32_t max_outputs = 8;
  int32_t pages_per_sequence = 0;
};

class Runner {
 public:
  virtual ~Runner() = default;
  virtual std::string_view name() const = 0;
  /// Run one step. Throws Error(kDevice) where the device fails; the cache's new slots are then undefined.
  virtual void run(const Batch& batch, StepOutput& output) = 0;
  /// Why no faster way of running is in use; empty where this is the fastest there is.
  virtual std::string why_not_faster() const = 0;
  virtual const RunnerLimits& limits() const = 0;
};

/// The device buffers a step reads and writes; shared by runners that replay each other's steps.
class StepBuffers {
 public:
  StepBuffers(Ops& ops, const LlamaModel& model, const RunnerLimits& limits);
  /// Copy the batch to the device and describe it. CHECKs its sizes and positions against the limits.
  StepInputs upload(const Batch& batch);
  StepResults results(int32_t n_outputs) const;
  /// Wait, and bring best ids and the wanted logits to the host.
  void download(const Batch& batch, StepOutput& output);

 private:
  void check(const Batch& batch) const;
  void describe_sequences(const Batch& batch);
  void fetch_logits(const Batch& batch, StepOutput& output);

  Ops& ops_;
  const LlamaModel& model_;
  RunnerLimits limits_;
  Buffer ints_, logits_, best_;
  std::vector<std::byte> packed_;  ///< the ints as they go to the device, the results as they come
  std::vector<float> largest_;
  std::vector<SequenceSpan> sequences_;
};

/// Calls llama_forward afresh in every step.
class EagerRunner : public Runner {
 public:
  /// All references must outlive the runner.
  EagerRunner(Ops& ops, const LlamaModel& model, const KvStorage& kv, const RunnerLimits& limits);
  std::string_view name() const override { return "eager"; }
  void run(const Batch& batch, StepOutput& output) override;
  std::string why_not_faster() const override { return ops_.why_not_capturable(); }
  const RunnerLimits& limits() const override { return limits_; }

 protected:
  Ops& ops_;
  const LlamaModel& model_;
  const KvStorage& kv_;
  RunnerLimits limits_;
  Workspace workspace_;
  StepBuffers buffers_;
};

/// Records a decode step once per number of rows and context bucket and replays it; every other step runs
/// eagerly.
class CapturedRunner : public EagerRunner {
 public:
  /// Throws Error(kUnsupported) with the ops' reason where they cannot be captured.
  CapturedRunner(Ops& ops, const LlamaModel& model, const KvStorage& kv, const RunnerLimits& limits);
  std::string_view name() const override { return "captured"; }
  void run(const Batch& batch, StepOutput& output) override;
  std::string why_not_faster() const override { return {}; }
  int64_t n_replays() const { return n_replays_; }

 private:
  /// By number of rows and context bucket.
  std::map<std::pair<int32_t, int64_t>, std::unique_ptr<CapturedGraph>> graphs_;
  int64_t n_replays_ = 0;
};

}  // namespace chaski
