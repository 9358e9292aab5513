// Hugging Face's config.json and generation_config.json as our ModelConfig, with transformers' defaults. Only
// plain Llama; nothing a repository brings is executed.
#pragma once

#include <string>
#include <string_view>

#include "format/checkpoint.h"
#include "format/model_config.h"

namespace chaski {

/// A validated config from config.json's text. Throws Error(kCorrupt) naming `where` and the field, or
/// Error(kUnsupported) for other architectures, scalings, activations and biases.
ModelConfig parse_hf_config(std::string_view text, const std::string& where);

/// What generation_config.json advises; its eos ids replace those of `config`, as transformers does.
GenerationDefaults parse_generation_config(std::string_view text, const std::string& where,
                                           ModelConfig& config);

}  // namespace chaski
