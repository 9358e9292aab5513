#include "format/gguf_names.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace chaski {
namespace {

struct NamePair {
  std::string_view gguf, hugging_face;
};
constexpr std::array<NamePair, 9> kLayerNames{{
    {"attn_norm", "input_layernorm"},
    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"},
    {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},
    {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
}};
constexpr std::array<NamePair, 3> kOuterNames{{
    {"token_embd.weight", "model.embed_tokens.weight"},
    {"output_norm.weight", "model.norm.weight"},
    {"output.weight", "lm_head.weight"},
}};

}  // namespace

std::string hugging_face_name(std::string_view gguf, int64_t n_layers) {
  std::string_view name = gguf;
  for (const NamePair& pair : kOuterNames) {
    if (name == pair.gguf) return std::string(pair.hugging_face);
  }
  constexpr std::string_view kBlock = "blk.", kWeight = ".weight";
  if (name.substr(0, kBlock.size()) != kBlock) return {};
  name.remove_prefix(kBlock.size());
  int64_t layer = -1;
  const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), layer);
  const std::string_view digits = name.substr(0, static_cast<size_t>(end - name.data()));
  if (problem != std::errc{} || layer < 0 || layer >= n_layers || digits != std::to_string(layer)) return {};
  name.remove_prefix(digits.size());
  for (const NamePair& pair : kLayerNames) {
    if (name.size() == 1 + pair.gguf.size() + kWeight.size() &&
        name.substr(1, pair.gguf.size()) == pair.gguf && name[0] == '.' &&
        name.substr(1 + pair.gguf.size()) == kWeight) {
      return fmt::format("model.layers.{}.{}.weight", layer, pair.hugging_face);
    }
  }
  return {};
}

std::string gguf_name(std::string_view hugging_face) {
  const std::string_view name = hugging_face;
  for (const NamePair& pair : kOuterNames) {
    if (name == pair.hugging_face) return std::string(pair.gguf);
  }
  constexpr std::string_view kLayers = "model.layers.", kWeight = ".weight";
  const size_t dot = name.find('.', kLayers.size());
  if (!name.starts_with(kLayers) || !name.ends_with(kWeight) || dot == std::string_view::npos) return {};
  for (const NamePair& pair : kLayerNames) {
    if (name.substr(dot + 1) == fmt::format("{}{}", pair.hugging_face, kWeight)) {
      return fmt::format("blk.{}.{}{}", name.substr(kLayers.size(), dot - kLayers.size()), pair.gguf,
                         kWeight);
    }
  }
  return {};
}

}  // namespace chaski
