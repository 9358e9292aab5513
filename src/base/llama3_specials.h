// The special tokens of Llama 3's text models, which the rank file leaves out.
#pragma once

#include <string>
#include <vector>

namespace chaski {

inline constexpr int kLlama3Specials = 256;

/// The special tokens of Llama 3.1 and 3.2 text models, in the order of their ids after the ranks.
std::vector<std::string> llama3_specials();

}  // namespace chaski
