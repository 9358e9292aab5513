// What tests of the Ascend backend share: an emulated device, models of chosen shapes with random weights,
// steps put together by hand.
#pragma once

#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "backend/ascend/ascend_backend.h"
#include "backend/ascend/ascend_ops.h"
#include "engine/kv_cache.h"
#include "format/checkpoint.h"
#include "ops/lockstep_ops.h"
#include "ops/scalar_ops.h"
#include "support/ascend_emulator.h"

namespace chaski::tests {

inline bool profile_captures() { return emulated_profile() != "8.0"; }

/// An emulated card, opened.
class EmulatedDevice {
 public:
  explicit EmulatedDevice(const std::string& activations = "f16", const std::string& isa = "",
                          std::initializer_list<std::pair<std::string, std::string>> settings = {})
      : settings_(settings) {
    DeviceOptions options;
    options.activations = activations;
    options.isa = isa;
    device_ = AscendBackend(emulator_.api()).open(0, options);
  }
  Device& device() { return *device_; }
  AscendOps& ops() { return ascend_ops_of(*device_); }
  const AscendCounters& counters() { return ops().counters(); }
  Emulator& emulator() { return emulator_; }

 private:
  EmulatorSettings settings_;  // before the emulator, which reads them when it is initialised
  Emulator emulator_;
  std::unique_ptr<Device> device_;
};

/// A Llama of any shape whose numbers are random.
class RandomCheckpoint : public Checkpoint {
 public:
  RandomCheckpoint(const ModelConfig& config, DType matrices, DType vectors = DType::kF32)
      : matrices_(matrices), vectors_(vectors) {
    config_ = config;
    path_ = "random";
    kind_ = "synthetic";
    const int64_t q = config.n_heads * config.head_dim, kv = config.n_kv_heads * config.head_dim;
    add("model.embed_tokens.weight", {config.vocab, config.hidden}, 1);
    for (int64_t i = 0; i < config.n_layers; ++i) {
      const std::string prefix = fmt::format("model.layers.{}.", i);
      add(prefix + "input_layernorm.weight", {config.hidden});
      add(prefix + "self_attn.q_proj.weight", {q, config.hidden}, 3);
      add(prefix + "self_attn.k_proj.weight", {kv, config.hidden}, 3);
      add(prefix + "self_attn.v_proj.weight", {kv, config.hidden});
      add(prefix + "self_attn.o_proj.weight", {config.hidden, q});
      add(prefix + "post_attention_layernorm.weight", {config.hidden});
      add(prefix + "mlp.gate_proj.weight", {config.ffn, config.hidden});
      add(prefix + "mlp.up_proj.weight", {config.ffn, config.hidden});
      add(prefix + "mlp.down_proj.weight", {config.hidden, config.ffn});
    }
    add("model.norm.weight", {config.hidden});
    if (!config.tie_embeddings) add("lm_head.weight", {config.vocab, config.hidden});
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> all;
    for (const auto& [name, weight] : weights_) all.push_back(name);
    return all;
  }
  WeightSourcePtr find(std::string_view name) const override {
    const auto it = weights_.find(std::string(name));
    return it == weights_.end() ? nullptr : it->second;
  }
  std::string content_hash(const OnBytes&) const override { return "random"; }
  uint64_t weight_bytes() const override { return 0; }
  /// Another weight of this name.
  void replace(WeightSourcePtr weight) { weights_[weight->name()] = std::move(weight); }

 private:
  void add(const std::string& name, const Shape& shape, double size = 1) {
    std::mt19937 random(static_cast<uint32_t>(std::hash<std::string>()(name)));
    const bool is_vector = shape.rank() == 1;
    const double range = is_vector ? 0.2 : size * std::sqrt(3.0 / static_cast<double>(shape.last()));
    std::uniform_real_distribution<float> number(static_cast<float>(-range), static_cast<float>(range));
    std::vector<float> values(static_cast<size_t>(shape.n_elements()));
    for (float& value : values) value = number(random) + (is_vector ? 1.0f : 0.0f);
    weights_[name] = HostWeight::from_f32(name, shape, values, is_vector ? vectors_ : matrices_);
  }

  DType matrices_, vectors_;
  std::map<std::string, WeightSourcePtr> weights_;
};

inline ModelConfig small_llama(int64_t head_dim, int64_t n_layers = 2) {
  ModelConfig c;
  c.n_layers = n_layers;
  c.hidden = 256;
  c.ffn = 256;
  c.n_heads = 4;
  c.n_kv_heads = 2;
  c.head_dim = head_dim;
  c.vocab = 300;
  c.max_context = 512;
  c.rope_theta = 500000;
  c.tie_embeddings = true;
  return c;
}

/// Rows [first, first + n) of a sequence in a step.
struct Part {
  int32_t sequence = 0, first = 0, n = 1;
  int32_t n_outputs = 1;  ///< of its last rows
  bool wants_logits = false;
};

/// A model on a device with room for four sequences, and steps over them. The pages of sequences lie in the
/// cache in no order.
class Steps {
 public:
  static constexpr int32_t kSequences = 4;

  Steps(Device& device, Ops& ops, const Checkpoint& checkpoint, bool makes_runner = false,
        int64_t context = 384)
      : model_(load_llama(checkpoint, ops, context)),
        layout_(device.kv_layout(model_.config)),
        width_(static_cast<int32_t>(pages_for(context, layout_.page_tokens))),
        kv_(ops.memory(), layout_, model_.config.n_layers, kSequences * width_) {
    limits_.max_rows = 300;
    limits_.max_sequences = kSequences;
    limits_.max_outputs = 16;
    limits_.pages_per_sequence = width_;
    if (makes_runner) {
      runner_ = device.make_runner(ops, model_, kv_, limits_);
    } else {
      runner_ = std::make_unique<EagerRunner>(ops, model_, kv_, limits_);
    }
  }

  Batch batch(const std::vector<Part>& parts, Phase phase) const {
    Batch batch;
    batch.phase = phase;
    for (const Part& part : parts) {
      for (int32_t i = part.first; i < part.first + part.n; ++i) {
        const bool is_output = i >= part.first + part.n - part.n_outputs;
        if (is_output) batch.outputs.push_back({batch.n_rows(), part.wants_logits});
        batch.token_ids.push_back(
            static_cast<int32_t>((i * 7919 + part.sequence * 104729 + 13) % model_.config.vocab));
        batch.positions.push_back(i);
        batch.sequence_of_row.push_back(batch.n_sequences);
        batch.slots.push_back(page(part.sequence, i / layout_.page_tokens) * layout_.page_tokens +
                              i % layout_.page_tokens);
      }
      for (int32_t p = 0; p < width_; ++p)
        batch.page_table.push_back(p * layout_.page_tokens < part.first + part.n ? page(part.sequence, p)
                                                                                 : 0);
      ++batch.n_sequences;
    }
    batch.pages_per_sequence = width_;
    return batch;
  }
  StepOutput run(const std::vector<Part>& parts, Phase phase) {
    StepOutput output;
    runner_->run(batch(parts, phase), output);
    return output;
  }
  const LlamaModel& model() const { return model_; }
  const KvStorage& kv() const { return kv_; }
  Runner& runner() { return *runner_; }

 private:
  int32_t page(int32_t sequence, int32_t index) const {
    return index * kSequences + (sequence + 1) % kSequences;
  }

  LlamaModel model_;
  KvLayout layout_;
  int32_t width_;
  KvStorage kv_;
  RunnerLimits limits_;
  std::unique_ptr<Runner> runner_;
};

/// What one operator may differ by from the oracle that rounds where it does: a few roundings of a row's
/// largest number.
inline LockstepBounds ascend_bounds(DType activations) {
  return activations == DType::kF16 ? LockstepBounds{1e-4, 4e-3} : LockstepBounds{1e-3, 3e-2};
}

}  // namespace chaski::tests
