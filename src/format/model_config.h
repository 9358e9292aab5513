// The shape of a Llama-family model, in the field's own terms. Only format/ knows how Hugging Face and GGUF
// spell it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace chaski {

/// Llama 3.1's stretching of rotary frequencies. Source: docs/sources.md#rope-llama3.
struct RopeScaling {
  double factor = 1;
  double low_freq_factor = 1;
  double high_freq_factor = 4;
  int64_t original_context = 8192;
};

/// How a kind of file spells the fields of ModelConfig, for errors.
struct ConfigKeys {
  std::string_view n_layers = "layers";
  std::string_view hidden = "hidden size";
  std::string_view ffn = "feed-forward size";
  std::string_view n_heads = "attention heads";
  std::string_view n_kv_heads = "key-value heads";
  std::string_view head_dim = "head size";
  std::string_view vocab = "vocabulary";
  std::string_view max_context = "context length";
  std::string_view rms_eps = "norm epsilon";
  std::string_view rope_theta = "rope theta";
  std::string_view rope_scaling = "rope scaling";
  std::string_view rope_factors = "rope factors";
  std::string_view bos = "bos token";
  std::string_view eos = "eos token";
};

struct ModelConfig {
  int64_t n_layers = 0;
  int64_t hidden = 0;
  int64_t ffn = 0;
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t vocab = 0;
  int64_t max_context = 0;  ///< positions the model was made for
  double rms_eps = 1e-5;
  double rope_theta = 10000;
  std::optional<RopeScaling> rope_scaling;
  /// [head_dim / 2] divisors of the rotary frequencies, where the file gives them instead of the rule (GGUF).
  std::vector<float> rope_factors;
  bool tie_embeddings = false;
  bool is_synthetic = false;  ///< random weights, for speed only, whatever file they came from
  std::optional<int32_t> bos;
  std::vector<int32_t> eos;  ///< any of these ends an answer

  int64_t n_parameters() const;
  /// Throws Error(kCorrupt) naming `where` and the field, as `keys` spells it, where a size is out of range
  /// or does not divide.
  void validate(const std::string& where, const ConfigKeys& keys = {}) const;
};

}  // namespace chaski
