#include "format/gguf_from_model.h"

#include <cmath>
#include <numbers>

namespace chaski {
namespace {

void set_size(GgufMetadata& metadata, std::string_view key, int64_t value) {
  metadata.set_uint32(key, static_cast<uint32_t>(value));  // a validated config's sizes are small
}

void set_id(GgufMetadata& metadata, std::string_view key, std::optional<int32_t> id) {
  if (id) metadata.set_uint32(key, static_cast<uint32_t>(*id));
}

void set_number(GgufMetadata& metadata, std::string_view key, std::optional<double> value) {
  if (value) metadata.set_float32(key, static_cast<float>(*value));
}

}  // namespace

void set_shape_keys(GgufMetadata& metadata, const ModelConfig& config) {
  metadata.set_string("general.architecture", "llama");
  set_size(metadata, "llama.block_count", config.n_layers);
  set_size(metadata, "llama.context_length", config.max_context);
  set_size(metadata, "llama.embedding_length", config.hidden);
  set_size(metadata, "llama.feed_forward_length", config.ffn);
  set_size(metadata, "llama.attention.head_count", config.n_heads);
  set_size(metadata, "llama.attention.head_count_kv", config.n_kv_heads);
  if (config.head_dim != config.hidden / config.n_heads) {
    set_size(metadata, "llama.attention.key_length", config.head_dim);
    set_size(metadata, "llama.attention.value_length", config.head_dim);
  }
  set_size(metadata, "llama.rope.dimension_count", config.head_dim);
  set_size(metadata, "llama.vocab_size", config.vocab);
  metadata.set_float32("llama.rope.freq_base", static_cast<float>(config.rope_theta));
  metadata.set_float32("llama.attention.layer_norm_rms_epsilon", static_cast<float>(config.rms_eps));
  if (config.is_synthetic) metadata.set_bool("chaski.synthetic", true);
}

void set_tokenizer_keys(GgufMetadata& metadata, const TokenizerData& tokenizer,
                        const std::string& chat_template) {
  const auto set_text = [&](std::string_view key, const std::string& text) {
    if (!text.empty()) metadata.set_string(key, text);
  };
  const auto set_flag = [&](std::string_view key, std::optional<bool> flag) {
    if (flag) metadata.set_bool(key, *flag);
  };
  set_text("tokenizer.ggml.model", tokenizer.gguf_model);
  set_text("tokenizer.ggml.pre", tokenizer.gguf_pre);
  if (!tokenizer.tokens.empty()) metadata.set_strings("tokenizer.ggml.tokens", tokenizer.tokens);
  if (!tokenizer.scores.empty()) metadata.set_float32s("tokenizer.ggml.scores", tokenizer.scores);
  if (!tokenizer.token_types.empty()) metadata.set_int32s("tokenizer.ggml.token_type", tokenizer.token_types);
  if (!tokenizer.merges.empty()) metadata.set_strings("tokenizer.ggml.merges", tokenizer.merges);
  set_id(metadata, "tokenizer.ggml.bos_token_id", tokenizer.bos);
  set_id(metadata, "tokenizer.ggml.eos_token_id", tokenizer.eos);
  set_id(metadata, "tokenizer.ggml.eot_token_id", tokenizer.eot);
  set_id(metadata, "tokenizer.ggml.padding_token_id", tokenizer.pad);
  set_id(metadata, "tokenizer.ggml.unknown_token_id", tokenizer.unk);
  set_flag("tokenizer.ggml.add_bos_token", tokenizer.add_bos);
  set_flag("tokenizer.ggml.add_eos_token", tokenizer.add_eos);
  set_flag("tokenizer.ggml.add_space_prefix", tokenizer.add_space_prefix);
  set_text("tokenizer.chat_template", chat_template);
}

void set_sampling_keys(GgufMetadata& metadata, const GenerationDefaults& advice) {
  set_number(metadata, "general.sampling.temp", advice.temperature);
  set_number(metadata, "general.sampling.top_p", advice.top_p);
  set_number(metadata, "general.sampling.min_p", advice.min_p);
  set_number(metadata, "general.sampling.penalty_repeat", advice.repetition_penalty);
  if (advice.top_k) metadata.set_int32("general.sampling.top_k", static_cast<int32_t>(*advice.top_k));
}

std::vector<float> rope_factors_of(const ModelConfig& config) {
  if (!config.rope_factors.empty() || !config.rope_scaling) return config.rope_factors;
  const RopeScaling& scaling = *config.rope_scaling;
  // In f32, as converters compute them, so that files made from one config hold the same bits.
  const auto theta = static_cast<float>(config.rope_theta), dim = static_cast<float>(config.head_dim);
  const auto factor = static_cast<float>(scaling.factor), low = static_cast<float>(scaling.low_freq_factor),
             high = static_cast<float>(scaling.high_freq_factor),
             context = static_cast<float>(scaling.original_context);
  std::vector<float> factors;
  for (int64_t i = 0; i < config.head_dim; i += 2) {
    const float frequency = 1.0f / std::pow(theta, static_cast<float>(i) / dim);
    const float wavelength = static_cast<float>(2 * std::numbers::pi) / frequency;
    if (wavelength < context / high) {
      factors.push_back(1);
    } else if (wavelength > context / low) {
      factors.push_back(factor);
    } else {
      const float smooth = (context / wavelength - low) / (high - low);
      factors.push_back(1 / ((1 - smooth) / factor + smooth));
    }
  }
  return factors;
}

}  // namespace chaski
