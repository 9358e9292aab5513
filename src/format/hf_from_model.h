// A model told in the files of a Hugging Face folder: config.json and generation_config.json. Reading them
// back is in hf_config.h; the tokenizer's files are another folder's matter, since they are made by its
// rules.
#pragma once

#include <string>

#include "format/checkpoint.h"

namespace chaski {

/// The text of config.json as LlamaForCausalLM has it, for weights of `dtype` (f32, f16 or bf16). Throws
/// Error(kUnsupported) where rotary factors follow no rule that config.json can name.
std::string hf_config_text(const ModelConfig& config, DType dtype);

/// The text of generation_config.json.
std::string hf_generation_config_text(const ModelConfig& config, const GenerationDefaults& advice);

/// Llama 3's scaling that gives these factors, or nothing: low 1, high 4, of 8192 positions, as all Llama 3
/// models have it.
std::optional<RopeScaling> scaling_of_factors(const ModelConfig& config);

}  // namespace chaski
