// GPT-2's byte-to-character alphabet, in which tokenizer.json and GGUF spell the bytes of tokens.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace chaski {

/// The bytes that `spelled` (UTF-8) stands for, or nothing where a character is outside the alphabet.
std::optional<std::string> bytes_from_alphabet(std::string_view spelled);

/// The same at the end of `bytes`; false, with some of them appended, where a character is outside.
bool append_bytes_from_alphabet(std::string_view spelled, std::string& bytes);

/// The way back: each byte as its character.
std::string alphabet_from_bytes(std::string_view bytes);

}  // namespace chaski
