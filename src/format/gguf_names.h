// How GGUF and Hugging Face name the same weight of a Llama model. What a name means is llama_layout.h's
// matter.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace chaski {

/// GGUF's tensor of divisors of the rotary frequencies; Hugging Face's files have a rule in their config.
inline constexpr std::string_view kGgufRopeFactors = "rope_freqs.weight";

/// "blk.3.attn_q.weight" as "model.layers.3.self_attn.q_proj.weight"; empty for what a Llama model of
/// `n_layers` layers does not have.
std::string hugging_face_name(std::string_view gguf, int64_t n_layers);

/// The way back; empty for what is no weight of a Llama model.
std::string gguf_name(std::string_view hugging_face);

}  // namespace chaski
