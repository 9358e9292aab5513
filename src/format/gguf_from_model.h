// A model told in GGUF's keys: its shape, its tokenizer, its makers' advice. Reading them back is in
// gguf_checkpoint.h. Source: docs/sources.md#gguf.
#pragma once

#include <string>
#include <vector>

#include "format/checkpoint.h"
#include "format/gguf_writer.h"

namespace chaski {

/// general.architecture and the keys of llama.*.
void set_shape_keys(GgufMetadata& metadata, const ModelConfig& config);

/// tokenizer.*, from the GGUF side of `tokenizer` (its arrays, ids and flags); what is not there gets no key.
void set_tokenizer_keys(GgufMetadata& metadata, const TokenizerData& tokenizer,
                        const std::string& chat_template);

/// general.sampling.*, where the model's makers advise something.
void set_sampling_keys(GgufMetadata& metadata, const GenerationDefaults& advice);

/// [head_dim / 2] divisors of the rotary frequencies, by llama3's rule or as the file had them; empty where
/// there is no scaling. Source: docs/sources.md#rope-llama3.
std::vector<float> rope_factors_of(const ModelConfig& config);

}  // namespace chaski
