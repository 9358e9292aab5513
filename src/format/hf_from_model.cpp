#include "format/hf_from_model.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "format/gguf_from_model.h"

namespace chaski {
namespace {

/// A number that was f32 in a GGUF file as people write it: 1e-05 and not 9.999999747378752e-06.
double shortest(double value) {
  const auto narrow = static_cast<float>(value);
  return static_cast<double>(narrow) == value ? std::strtod(fmt::format("{}", narrow).c_str(), nullptr)
                                              : value;
}

std::string_view torch_name(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return "float16";
    case DType::kBF16:
      return "bfloat16";
    default:
      CHECK(dtype == DType::kF32, "config.json has no name for {}", name_of(dtype));
      return "float32";
  }
}

OrderedJson id_or_null(const std::optional<int32_t>& id) {
  return id ? OrderedJson(*id) : OrderedJson(nullptr);
}

/// One id, a list of several, or null.
OrderedJson eos_of(const ModelConfig& config) {
  if (config.eos.empty()) return nullptr;
  return config.eos.size() == 1 ? OrderedJson(config.eos.front()) : OrderedJson(config.eos);
}

OrderedJson rope_scaling_of(const ModelConfig& config) {
  std::optional<RopeScaling> scaling = config.rope_scaling;
  const auto is_one = [](float factor) { return factor == 1; };
  if (!std::all_of(config.rope_factors.begin(), config.rope_factors.end(), is_one)) {
    scaling = scaling_of_factors(config);
    if (!scaling) {
      throw Error(
          ErrorCode::kUnsupported, "write config",
          "the rotary factors of this model follow no rule that config.json can name, expected Llama 3's",
          "keep this model as GGUF");
    }
  }
  if (!scaling) return nullptr;
  return {{"rope_type", "llama3"},
          {"factor", scaling->factor},
          {"low_freq_factor", scaling->low_freq_factor},
          {"high_freq_factor", scaling->high_freq_factor},
          {"original_max_position_embeddings", scaling->original_context}};
}

}  // namespace

std::optional<RopeScaling> scaling_of_factors(const ModelConfig& config) {
  if (config.rope_factors.empty()) return std::nullopt;
  constexpr float kTolerance = 1e-4f;  // of converters that compute in other precisions
  ModelConfig rule = config;
  rule.rope_factors.clear();
  rule.rope_scaling = RopeScaling();
  // The slowest frequencies are stretched by the whole factor.
  rule.rope_scaling->factor = static_cast<double>(config.rope_factors.back());
  const std::vector<float> factors = rope_factors_of(rule);
  const bool is_same =
      std::equal(factors.begin(), factors.end(), config.rope_factors.begin(), config.rope_factors.end(),
                 [](float a, float b) { return std::fabs(a - b) <= kTolerance * std::fabs(b); });
  return is_same ? rule.rope_scaling : std::nullopt;
}

std::string hf_config_text(const ModelConfig& config, DType dtype) {
  OrderedJson json = {{"architectures", {"LlamaForCausalLM"}},
                      {"attention_bias", false},
                      {"attention_dropout", 0.0},
                      {"bos_token_id", id_or_null(config.bos)},
                      {"eos_token_id", eos_of(config)},
                      {"head_dim", config.head_dim},
                      {"hidden_act", "silu"},
                      {"hidden_size", config.hidden},
                      {"initializer_range", 0.02},
                      {"intermediate_size", config.ffn},
                      {"max_position_embeddings", config.max_context},
                      {"mlp_bias", false},
                      {"model_type", "llama"},
                      {"num_attention_heads", config.n_heads},
                      {"num_hidden_layers", config.n_layers},
                      {"num_key_value_heads", config.n_kv_heads},
                      {"pretraining_tp", 1},
                      {"rms_norm_eps", shortest(config.rms_eps)},
                      {"rope_scaling", rope_scaling_of(config)},
                      {"rope_theta", shortest(config.rope_theta)},
                      {"tie_word_embeddings", config.tie_embeddings},
                      {"torch_dtype", torch_name(dtype)},
                      {"use_cache", true},
                      {"vocab_size", config.vocab}};
  if (config.is_synthetic) json["chaski_synthetic"] = true;
  return to_json_text(json, 2) + "\n";
}

std::string hf_generation_config_text(const ModelConfig& config, const GenerationDefaults& advice) {
  OrderedJson json = {{"bos_token_id", id_or_null(config.bos)}, {"eos_token_id", eos_of(config)}};
  const auto set = [&](const char* key, const auto& value) {
    if (value) json[key] = *value;
  };
  set("do_sample", advice.do_sample);
  set("temperature", advice.temperature);
  set("top_k", advice.top_k);
  set("top_p", advice.top_p);
  set("min_p", advice.min_p);
  set("repetition_penalty", advice.repetition_penalty);
  return to_json_text(json, 2) + "\n";
}

}  // namespace chaski
