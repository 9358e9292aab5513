#include "format/llama_layout.h"

#include <fmt/format.h>

#include "format/checkpoint.h"

namespace chaski {

std::vector<ExpectedWeight> expected_weights(const ModelConfig& c) {
  const int64_t q_rows = c.n_heads * c.head_dim;
  const int64_t kv_rows = c.n_kv_heads * c.head_dim;
  std::vector<ExpectedWeight> weights;
  weights.push_back({"model.embed_tokens.weight", {c.vocab, c.hidden}});
  for (int64_t i = 0; i < c.n_layers; ++i) {
    const auto add = [&](std::string_view part, Shape shape) {
      weights.push_back({fmt::format("model.layers.{}.{}.weight", i, part), shape});
    };
    add("input_layernorm", {c.hidden});
    add("self_attn.q_proj", {q_rows, c.hidden});
    add("self_attn.k_proj", {kv_rows, c.hidden});
    add("self_attn.v_proj", {kv_rows, c.hidden});
    add("self_attn.o_proj", {c.hidden, q_rows});
    add("post_attention_layernorm", {c.hidden});
    add("mlp.gate_proj", {c.ffn, c.hidden});
    add("mlp.up_proj", {c.ffn, c.hidden});
    add("mlp.down_proj", {c.hidden, c.ffn});
  }
  weights.push_back({"model.norm.weight", {c.hidden}});
  if (!c.tie_embeddings) weights.push_back({"lm_head.weight", {c.vocab, c.hidden}});
  return weights;
}

void check_weights(const Checkpoint& checkpoint) {
  for (const ExpectedWeight& weight : expected_weights(checkpoint.config())) {
    checkpoint.require(weight.name, weight.shape);
  }
}

}  // namespace chaski
