// The Llama family's forward pass and the weights it takes, for any device. No device is named here.
#pragma once

#include <functional>
#include <vector>

#include "format/checkpoint.h"
#include "ops/ops.h"
#include "tensor/finite.h"

namespace chaski {

struct LlamaLayer {
  QkvWeights qkv;  ///< norm [hidden]; q [n_heads × head_dim, hidden]; k, v [n_kv_heads × head_dim, hidden]
  WeightId attn_out;     ///< [hidden, n_heads × head_dim]
  GateUpWeights ffn_in;  ///< norm [hidden]; gate, up [ffn, hidden]
  WeightId ffn_out;      ///< [hidden, ffn]
};

/// A model's weights in an Ops' table, and its rotary table in that Ops' memory.
struct LlamaModel {
  ModelConfig config;
  WeightId embed;  ///< [vocab, hidden]
  std::vector<LlamaLayer> layers;
  WeightId final_norm;  ///< [hidden]
  WeightId head;        ///< [vocab, hidden]; the same id as `embed` where they are tied
  TensorView rope;      ///< f32 [context, head_dim]
  Buffer rope_buffer;
  int64_t context = 0;  ///< positions the rotary table covers
};

/// How far a load has come, in weights.
using LoadProgress = std::function<void(int64_t done, int64_t total)>;

/// Hand all weights of `checkpoint` to `ops` (shapes checked against the config) and make the rotary table
/// for `context` positions. Throws Error(kCorrupt) naming the weight, expected and found; also for a weight
/// with a number that is not finite, unless `on_nonfinite` hears of it.
LlamaModel load_llama(const Checkpoint& checkpoint, Ops& ops, int64_t context,
                      const LoadProgress& progress = {}, const OnNonfinite& on_nonfinite = {});

/// The rotary angles' cosines and sines, evaluated in float64: f32 [n_positions, head_dim], per row head_dim
/// / 2 cosines, then as many sines. Source: docs/sources.md#rope-llama3.
std::vector<float> rope_table(const ModelConfig& config, int64_t n_positions);

/// Where a step's results go, in the device's memory.
struct StepResults {
  TensorView logits;   ///< [n_outputs, vocab] in the ops' activation type
  TensorView best;     ///< i32 [n_outputs]
  TensorView largest;  ///< [n_outputs], the logits that `best` has
};

/// Bytes of workspace that llama_forward needs for up to so many rows and outputs.
size_t llama_workspace_bytes(const ModelConfig& config, int64_t max_rows, int64_t max_outputs);

/// One step of the model: embeds in.token_ids, appends to the cache, leaves the results of the rows that want
/// them.
void llama_forward(const LlamaModel& model, const StepInputs& in, const KvStorage& kv, Ops& ops,
                   Workspace& ws, const StepResults& out);

}  // namespace chaski
