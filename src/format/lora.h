// LoRA adapters as PEFT saves them (adapter_config.json and adapter_model.safetensors), read and checked, and
// the model whose weights have one merged in. Pickled adapters are never loaded.
// Source: docs/sources.md#peft-lora.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "format/byte_source.h"
#include "format/checkpoint.h"

namespace chaski {

/// What one weight W [out, in] gets: W + scale · B · A.
struct LoraPair {
  WeightSourcePtr a;  ///< [rank, in]; f32, f16 or bf16
  WeightSourcePtr b;  ///< [out, rank]
  WeightSourcePtr w;  ///< [out, in], where the adapter brings its own, as PEFT's do for lm_head; else null
  float scale = 0;    ///< alpha / rank, or alpha / √rank
};

/// By name of the weight, as Hugging Face names it; never empty.
using LoraPairs = std::map<std::string, LoraPair, std::less<>>;

/// `adapter_config` is the text of adapter_config.json, `where` its name in errors. Throws Error(kCorrupt) or
/// Error(kUnsupported) naming file, field or tensor, expected and found; reads no number of a tensor.
LoraPairs read_lora(std::string_view adapter_config, const std::string& where, const ByteSourcePtr& tensors,
                    const ModelConfig& base);

/// `base` with the adapter of that folder merged in, in f32, row by row as rows are read. Adapted weights are
/// handed out as `merged` (f32, f16 or bf16; f16 and f32 ones stay so where bf16 is asked for), all else as
/// the base has it. Throws as `read_lora`, and Error(kNotFound) for a folder without an adapter.
std::shared_ptr<const Checkpoint> with_lora(std::shared_ptr<const Checkpoint> base,
                                            const std::filesystem::path& adapter, DType merged);

}  // namespace chaski
