#include "format/hf_config.h"

#include <algorithm>
#include <limits>

#include "base/error.h"
#include "base/json.h"

namespace chaski {
namespace {

constexpr size_t kMaxConfigBytes = 1u << 20;
constexpr size_t kMaxEosIds = 4096;

constexpr ConfigKeys kKeys = {.n_layers = "num_hidden_layers",
                              .hidden = "hidden_size",
                              .ffn = "intermediate_size",
                              .n_heads = "num_attention_heads",
                              .n_kv_heads = "num_key_value_heads",
                              .head_dim = "head_dim",
                              .vocab = "vocab_size",
                              .max_context = "max_position_embeddings",
                              .rms_eps = "rms_norm_eps",
                              .rope_theta = "rope_theta",
                              .rope_scaling = "rope_scaling",
                              .rope_factors = "rope_scaling",
                              .bos = "bos_token_id",
                              .eos = "eos_token_id"};

Json parse_config_text(std::string_view text, const std::string& where) {
  JsonLimits limits;
  limits.max_bytes = kMaxConfigBytes;
  limits.allow_nonfinite_literals = true;
  Json config = parse_json(text, where, limits);
  if (!config.is_object()) {
    throw Error(ErrorCode::kCorrupt, "read config",
                fmt::format("{}: expected a JSON object, found {}", where, config.type_name()));
  }
  return config;
}

[[noreturn]] void refuse(const std::string& where, const std::string& message) {
  throw Error(ErrorCode::kUnsupported, "read config", fmt::format("{}: {}", where, message));
}
[[noreturn]] void fail(const std::string& where, std::string_view field, const std::string& message) {
  throw Error(ErrorCode::kCorrupt, "read config", fmt::format("{}: field \"{}\": {}", where, field, message));
}

bool is_there(const Json& object, const char* key) {
  return object.contains(key) && !object.at(key).is_null();
}

void refuse_other_architectures(const Json& config, const std::string& where) {
  std::string architecture;
  if (is_there(config, "architectures")) {
    const Json& list = config.at("architectures");
    if (!list.is_array() || list.empty() || !list.front().is_string()) {
      fail(where, "architectures", "expected a list of names");
    }
    if (list.size() > 1) {
      refuse(where, fmt::format("architectures: expected one, found {}", list.size()));
    }
    architecture = list.front().get<std::string>();
  }
  const std::string model_type = get_string(config, "model_type", "", where);
  const bool is_llama = (architecture.empty() || architecture == "LlamaForCausalLM") &&
                        (model_type.empty() || model_type == "llama") &&
                        !(architecture.empty() && model_type.empty());
  if (is_llama) return;
  const std::string named =
      fmt::format("architecture \"{}\", model_type \"{}\"", printable(architecture), printable(model_type));
  if (is_there(config, "auto_map")) {
    refuse(where, named + ": needs repository code, not supported");
  }
  refuse(where, named + ": expected LlamaForCausalLM, llama");
}

void refuse_other_variants(const Json& config, const std::string& where) {
  const std::string activation = get_string(config, "hidden_act", "silu", where);
  if (activation != "silu")
    refuse(where, fmt::format("hidden_act \"{}\", expected \"silu\"", printable(activation)));
  for (const char* key : {"attention_bias", "mlp_bias"}) {
    if (get_bool(config, key, false, where)) refuse(where, fmt::format("{} true, expected false", key));
  }
  if (get_number(config, "partial_rotary_factor", 1, where) != 1) {
    refuse(where, "partial_rotary_factor is not 1");
  }
  if (is_there(config, "sliding_window") && get_bool(config, "use_sliding_window", true, where)) {
    refuse(where, "sliding_window: attention over a window is not supported, expected null");
  }
  if (is_there(config, "quantization_config")) {
    refuse(where, "quantization_config: weights quantized by Hugging Face tools, expected plain numbers");
  }
}

/// rope_scaling or rope_parameters, or null. Objects in it would be rules for each kind of layer.
const Json* rope_object(const Json& config, const char* key, const std::string& where) {
  if (!is_there(config, key)) return nullptr;
  const Json& rope = config.at(key);
  if (!rope.is_object()) fail(where, key, "expected an object");
  for (const auto& [name, value] : rope.items()) {
    if (!value.is_structured()) continue;
    refuse(where,
           fmt::format("{}.{}: expected a number or name, found {}; rotary rules for each kind of layer "
                       "are not supported",
                       key, printable(name), value.type_name()));
  }
  return &rope;
}

/// Every field of either object stands in the other, but for rope_theta, which old files keep outside.
void expect_same_rope(const Json& old_style, const Json& new_style, const std::string& where) {
  const auto field_of = [](const Json& rope, const std::string& name) {
    // `type` is the old name of `rope_type`.
    if (name == "rope_type" && !is_there(rope, "rope_type")) return rope.value("type", Json());
    return rope.value(name, Json());
  };
  for (const Json* rope : {&old_style, &new_style}) {
    for (const auto& [key, value] : rope->items()) {
      const std::string name = key == "type" ? "rope_type" : key;
      if (name == "rope_theta" && !is_there(old_style, "rope_theta")) continue;
      const Json in_old = field_of(old_style, name);
      const Json in_new = field_of(new_style, name);
      if (in_old == in_new) continue;
      fail(where, fmt::format("rope_parameters.{}", printable(name)),
           fmt::format("{} disagrees with {} in field \"rope_scaling\"", printable(to_json_text(in_new), 40),
                       printable(to_json_text(in_old), 40)));
    }
  }
}

/// The one object that tells about rotary frequencies: rope_scaling, or rope_parameters as transformers 5
/// writes it. Null where there is none.
const Json* rope_object(const Json& config, const std::string& where) {
  const Json* old_style = rope_object(config, "rope_scaling", where);
  const Json* new_style = rope_object(config, "rope_parameters", where);
  if (old_style != nullptr && new_style != nullptr) expect_same_rope(*old_style, *new_style, where);
  return new_style != nullptr ? new_style : old_style;
}

std::string rope_type(const Json& rope, const std::string& where) {
  const std::string type = get_string(rope, "rope_type", "", where);
  const std::string old_type = get_string(rope, "type", "", where);
  if (!type.empty() && !old_type.empty() && type != old_type) {
    fail(where, "rope_scaling",
         fmt::format("rope_type \"{}\" and type \"{}\" disagree", printable(type), printable(old_type)));
  }
  if (!type.empty() || !old_type.empty()) return type.empty() ? old_type : type;
  if (is_there(rope, "factor")) fail(where, "rope_scaling", "rope_type is missing");
  return "default";
}

void read_rope(const Json& json, const std::string& where, ModelConfig& config) {
  config.rope_theta = get_number(json, "rope_theta", 10000, where);
  const Json* rope = rope_object(json, where);
  if (rope == nullptr) return;
  config.rope_theta = get_number(*rope, "rope_theta", config.rope_theta, where);
  if (get_number(*rope, "partial_rotary_factor", 1, where) != 1)
    refuse(where, "partial_rotary_factor is not 1");
  const std::string type = rope_type(*rope, where);
  if (type == "default") return;
  if (type != "llama3") {
    refuse(where,
           fmt::format("rope_scaling type \"{}\", expected \"llama3\" or \"default\"", printable(type)));
  }
  RopeScaling scaling;
  scaling.factor = require_number(*rope, "factor", where);
  scaling.low_freq_factor = require_number(*rope, "low_freq_factor", where);
  scaling.high_freq_factor = require_number(*rope, "high_freq_factor", where);
  scaling.original_context = require_int(*rope, "original_max_position_embeddings", where);
  config.rope_scaling = scaling;
}

int32_t token_id(const Json& value, std::string_view field, const std::string& where, int64_t vocab) {
  const bool is_small =
      value.is_number_integer() &&
      (!value.is_number_unsigned() || value.get<uint64_t>() <= std::numeric_limits<int32_t>::max());
  const int64_t id = is_small ? value.get<int64_t>() : -1;
  if (id < 0 || id >= vocab) {
    fail(where, field,
         fmt::format("expected token ids of 0 to {}, found {}", vocab - 1,
                     printable(to_json_text(value), 40)));
  }
  return static_cast<int32_t>(id);
}

/// One id or a list of them, each id once.
std::vector<int32_t> eos_ids(const Json& value, const std::string& where, int64_t vocab) {
  constexpr std::string_view kField = "eos_token_id";
  std::vector<int32_t> ids;
  if (!value.is_array()) return {token_id(value, kField, where, vocab)};
  if (value.size() > kMaxEosIds) {
    fail(where, kField, fmt::format("expected at most {} ids, found {}", kMaxEosIds, value.size()));
  }
  for (const Json& element : value) {
    const int32_t id = token_id(element, kField, where, vocab);
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
  return ids;
}

void read_special_ids(const Json& json, const std::string& where, ModelConfig& config) {
  // Llama's defaults in transformers hold where a key is absent; null says that there is none.
  constexpr int32_t kDefaultBos = 1, kDefaultEos = 2;
  if (!json.contains("bos_token_id")) {
    config.bos = kDefaultBos;
  } else if (is_there(json, "bos_token_id")) {
    config.bos = token_id(json.at("bos_token_id"), "bos_token_id", where, config.vocab);
  }
  if (!json.contains("eos_token_id")) {
    config.eos = {kDefaultEos};
  } else if (is_there(json, "eos_token_id")) {
    config.eos = eos_ids(json.at("eos_token_id"), where, config.vocab);
  }
}

std::optional<double> advised_number(const Json& json, const char* key, const std::string& where, double low,
                                     double high) {
  if (!is_there(json, key)) return std::nullopt;
  const double value = require_number(json, key, where);
  if (!(value >= low && value <= high)) {
    fail(where, key, fmt::format("expected {} to {}, found {}", low, high, value));
  }
  return value;
}

}  // namespace

ModelConfig parse_hf_config(std::string_view text, const std::string& where) {
  const Json json = parse_config_text(text, where);
  refuse_other_architectures(json, where);
  refuse_other_variants(json, where);
  ModelConfig config;
  config.hidden = require_int(json, "hidden_size", where);
  config.ffn = require_int(json, "intermediate_size", where);
  config.n_layers = require_int(json, "num_hidden_layers", where);
  config.n_heads = require_int(json, "num_attention_heads", where);
  config.n_kv_heads = get_int(json, "num_key_value_heads", config.n_heads, where);
  const int64_t usual_head_dim = config.n_heads > 0 ? config.hidden / config.n_heads : 0;
  config.head_dim = get_int(json, "head_dim", usual_head_dim, where);
  config.vocab = require_int(json, "vocab_size", where);
  config.max_context = get_int(json, "max_position_embeddings", 2048, where);
  config.rms_eps = get_number(json, "rms_norm_eps", 1e-6, where);
  config.tie_embeddings = get_bool(json, "tie_word_embeddings", false, where);
  config.is_synthetic = get_bool(json, "chaski_synthetic", false, where);
  read_rope(json, where, config);
  config.validate(where, kKeys);
  read_special_ids(json, where, config);
  return config;
}

GenerationDefaults parse_generation_config(std::string_view text, const std::string& where,
                                           ModelConfig& config) {
  const Json json = parse_config_text(text, where);
  if (is_there(json, "eos_token_id")) config.eos = eos_ids(json.at("eos_token_id"), where, config.vocab);
  constexpr double kLargest = 1e6;
  GenerationDefaults defaults;
  defaults.temperature = advised_number(json, "temperature", where, 0, kLargest);
  defaults.top_p = advised_number(json, "top_p", where, 0, 1);
  defaults.min_p = advised_number(json, "min_p", where, 0, 1);
  if (is_there(json, "do_sample")) defaults.do_sample = get_bool(json, "do_sample", true, where);
  defaults.repetition_penalty = advised_number(json, "repetition_penalty", where, 1e-6, kLargest);
  if (is_there(json, "top_k")) {
    defaults.top_k = require_int(json, "top_k", where);
    if (*defaults.top_k < 0)
      fail(where, "top_k", fmt::format("expected 0 or more, found {}", *defaults.top_k));
  }
  return defaults;
}

}  // namespace chaski
