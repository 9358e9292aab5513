// See llama.h. The forward pass is the first function; loading and the rotary table follow.
#include "model/llama.h"

#include <array>
#include <cmath>
#include <numbers>

#include "base/error.h"

namespace chaski {

void llama_forward(const LlamaModel& model, const StepInputs& in, const KvStorage& kv, Ops& ops,
                   Workspace& ws, const StepResults& out) {
  const ModelConfig& c = model.config;
  const auto eps = static_cast<float>(c.rms_eps);
  const int64_t n = in.n_rows;
  CHECK(out.logits.shape == Shape({in.n_outputs, c.vocab}), "logits {} for {} outputs",
        out.logits.shape.to_string(), in.n_outputs);
  const Workspace::Scope scope(ws);
  const DType dtype = ops.activation_dtype();
  const TensorView x = ws.take(dtype, {n, c.hidden});                       // [n_rows, hidden], the residual
  const TensorView q = ws.take(dtype, {n, c.n_heads * c.head_dim});         // [n_rows, n_heads × head_dim]
  const TensorView attended = ws.take(dtype, {n, c.n_heads * c.head_dim});  // [n_rows, n_heads × head_dim]
  const TensorView h = ws.take(dtype, {n, c.ffn});                          // [n_rows, ffn]

  ops.embed(model.embed, in.token_ids, x);
  for (int64_t i = 0; i < c.n_layers; ++i) {
    const LlamaLayer& layer = model.layers[static_cast<size_t>(i)];
    ops.norm_qkv_rope_append(x, layer.qkv, eps, in, kv.layer(i), q, ws);
    ops.attention(q, in, kv.layer(i), attended);
    ops.linear_add(attended, layer.attn_out, x, ws);
    ops.norm_gate_up_swiglu(x, layer.ffn_in, eps, h, ws);
    ops.linear_add(h, layer.ffn_out, x, ws);
  }
  if (in.n_outputs == 0) return;
  const TensorView last = ws.take(dtype, {in.n_outputs, c.hidden});  // [n_outputs, hidden]
  ops.gather_rows(x, in.output_rows, last);
  ops.norm_head(last, model.final_norm, model.head, eps, out.logits, ws);
  ops.argmax_rows(out.logits, out.best, out.largest);
}

size_t llama_workspace_bytes(const ModelConfig& c, int64_t max_rows, int64_t max_outputs) {
  // Each view is rounded up to 64 bytes; 16 views at most are alive at once.
  const int64_t row = 4 * c.hidden + 2 * c.n_heads * c.head_dim + 2 * c.n_kv_heads * c.head_dim + 2 * c.ffn;
  const int64_t output = 2 * c.hidden;
  return static_cast<size_t>(4 * (max_rows * row + max_outputs * output) + 16 * 64);
}

LlamaModel load_llama(const Checkpoint& checkpoint, Ops& ops, int64_t context, const LoadProgress& progress,
                      const OnNonfinite& on_nonfinite) {
  LlamaModel model;
  model.config = checkpoint.config();
  const ModelConfig& c = model.config;
  const int64_t total = 9 * c.n_layers + (c.tie_embeddings ? 2 : 3);
  int64_t done = 0;
  const auto load = [&](const std::string& name, const Shape& shape) {
    const WeightId id = ops.add_weight(checked_finite(checkpoint.require(name, shape), on_nonfinite));
    if (progress) progress(++done, total);
    return id;
  };
  const int64_t q_width = c.n_heads * c.head_dim;
  const int64_t kv_width = c.n_kv_heads * c.head_dim;
  model.embed = load("model.embed_tokens.weight", {c.vocab, c.hidden});
  for (int64_t i = 0; i < c.n_layers; ++i) {
    const std::string prefix = fmt::format("model.layers.{}.", i);
    LlamaLayer layer;
    layer.qkv.norm = load(prefix + "input_layernorm.weight", {c.hidden});
    layer.qkv.q = load(prefix + "self_attn.q_proj.weight", {q_width, c.hidden});
    layer.qkv.k = load(prefix + "self_attn.k_proj.weight", {kv_width, c.hidden});
    layer.qkv.v = load(prefix + "self_attn.v_proj.weight", {kv_width, c.hidden});
    ops.adjoin(std::array{layer.qkv.q, layer.qkv.k, layer.qkv.v});
    layer.attn_out = load(prefix + "self_attn.o_proj.weight", {c.hidden, q_width});
    layer.ffn_in.norm = load(prefix + "post_attention_layernorm.weight", {c.hidden});
    layer.ffn_in.gate = load(prefix + "mlp.gate_proj.weight", {c.ffn, c.hidden});
    layer.ffn_in.up = load(prefix + "mlp.up_proj.weight", {c.ffn, c.hidden});
    ops.adjoin(std::array{layer.ffn_in.gate, layer.ffn_in.up});
    layer.ffn_out = load(prefix + "mlp.down_proj.weight", {c.hidden, c.ffn});
    model.layers.push_back(layer);
  }
  model.final_norm = load("model.norm.weight", {c.hidden});
  model.head = c.tie_embeddings ? model.embed : load("lm_head.weight", {c.vocab, c.hidden});

  const std::vector<float> table = rope_table(c, context);
  const size_t bytes = table.size() * sizeof(float);
  model.rope_buffer = ops.memory().allocate(bytes, "the rotary table");
  ops.memory().copy_in(model.rope_buffer.data(), table.data(), bytes);
  model.rope = {model.rope_buffer.data(), DType::kF32, {context, c.head_dim}};
  model.context = context;
  return model;
}

namespace {

/// Llama 3.1's rule: long wavelengths are stretched by `factor`, short ones stay, those between are blended.
double stretched(double frequency, const RopeScaling& s) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const double original = static_cast<double>(s.original_context);
  if (wavelength < original / s.high_freq_factor) return frequency;
  if (wavelength > original / s.low_freq_factor) return frequency / s.factor;
  const double smooth =
      (original / wavelength - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor);
  return (1 - smooth) * frequency / s.factor + smooth * frequency;
}

}  // namespace

std::vector<float> rope_table(const ModelConfig& config, int64_t n_positions) {
  const int64_t half = config.head_dim / 2;
  std::vector<double> frequencies;
  for (int64_t i = 0; i < half; ++i) {
    double frequency =
        std::pow(config.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(config.head_dim));
    if (!config.rope_factors.empty()) {
      frequency /= static_cast<double>(config.rope_factors[static_cast<size_t>(i)]);
    } else if (config.rope_scaling) {
      frequency = stretched(frequency, *config.rope_scaling);
    }
    frequencies.push_back(frequency);
  }
  std::vector<float> table;
  table.reserve(static_cast<size_t>(n_positions * config.head_dim));
  for (int64_t position = 0; position < n_positions; ++position) {
    const auto angle = [&](int64_t i) {
      return static_cast<double>(position) * frequencies[static_cast<size_t>(i)];
    };
    for (int64_t i = 0; i < half; ++i) table.push_back(static_cast<float>(std::cos(angle(i))));
    for (int64_t i = 0; i < half; ++i) table.push_back(static_cast<float>(std::sin(angle(i))));
  }
  return table;
}

}  // namespace chaski
