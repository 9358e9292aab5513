#include "format/describe.h"

#include <map>

#include "base/files.h"

namespace chaski {
namespace {

OrderedJson formats_of(const Checkpoint& checkpoint) {
  std::map<std::string_view, int64_t> counts;
  for (const std::string& name : checkpoint.names()) ++counts[name_of(checkpoint.find(name)->dtype())];
  OrderedJson formats = OrderedJson::object();
  for (const auto& [format, count] : counts) formats[std::string(format)] = count;
  return formats;
}

OrderedJson rope_scaling_of(const ModelConfig& config) {
  if (config.rope_scaling) {
    const RopeScaling& scaling = *config.rope_scaling;
    return {{"type", "llama3"},
            {"factor", scaling.factor},
            {"low_freq_factor", scaling.low_freq_factor},
            {"high_freq_factor", scaling.high_freq_factor},
            {"original_context", scaling.original_context}};
  }
  if (!config.rope_factors.empty()) return {{"type", "factors"}, {"count", config.rope_factors.size()}};
  return nullptr;
}

OrderedJson config_of(const ModelConfig& config) {
  return {{"n_layers", config.n_layers},
          {"hidden", config.hidden},
          {"ffn", config.ffn},
          {"n_heads", config.n_heads},
          {"n_kv_heads", config.n_kv_heads},
          {"head_dim", config.head_dim},
          {"vocab", config.vocab},
          {"max_context", config.max_context},
          {"rms_eps", config.rms_eps},
          {"rope_theta", config.rope_theta},
          {"rope_scaling", rope_scaling_of(config)},
          {"tie_embeddings", config.tie_embeddings},
          {"bos", config.bos ? OrderedJson(*config.bos) : OrderedJson(nullptr)},
          {"eos", config.eos}};
}

OrderedJson tokenizer_of(const Checkpoint& checkpoint) {
  const TokenizerData& data = checkpoint.tokenizer();
  if (!data.tokens.empty()) {
    return {{"kind", data.gguf_model},
            {"pre", data.gguf_pre},
            {"vocab", data.tokens.size()},
            {"merges", data.merges.size()}};
  }
  if (data.tokenizer_json.empty()) return nullptr;
  return {{"kind", "tokenizer.json"}, {"vocab", checkpoint.config().vocab}};
}

OrderedJson template_of(const std::string& text) {
  if (text.empty()) return nullptr;
  return {{"sha256", sha256_of(text)}, {"bytes", text.size()}};
}

}  // namespace

OrderedJson describe_checkpoint(const Checkpoint& checkpoint) {
  return {{"kind", checkpoint.kind()},
          {"path", checkpoint.path()},
          {"parameters", checkpoint.config().n_parameters()},
          {"bytes", checkpoint.weight_bytes()},
          {"formats", formats_of(checkpoint)},
          {"config", config_of(checkpoint.config())},
          {"tokenizer", tokenizer_of(checkpoint)},
          {"chat_template", template_of(checkpoint.chat_template())}};
}

}  // namespace chaski
