// Untrusted tokenizer files: tokenizer.json (with a config after a NUL byte), rank files and SentencePiece
// models. Either they are refused with an Error, or the tokenizer that comes out works. So that short inputs
// can be whole files, the byte 0x01 stands for the entries of 256 bytes and 0x02 for those of 256 byte
// tokens; of the input, 512 bytes are looked at.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/byte_alphabet.h"
#include "base/error.h"
#include "base/json.h"
#include "text/tokenizer.h"

namespace {

std::string json_bytes(bool are_byte_tokens) {
  std::string text;
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const std::string token =
        are_byte_tokens ? fmt::format("<0x{:02X}>", byte) : chaski::alphabet_from_bytes({&c, 1});
    text += chaski::to_json_text(chaski::Json(token)) + ":" + std::to_string(byte) + ",";
  }
  text.pop_back();
  return text;
}

std::string rank_bytes() {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t byte = 0; byte < 256; ++byte) {
    text += {kDigits[byte >> 2], kDigits[(byte & 3) << 4], '=', '=', ' '};
    text += std::to_string(byte) + "\n";
  }
  return text;
}

/// Pieces of a SentencePiece model: the byte tokens.
std::string model_bytes() {
  std::string text;
  for (int byte = 0; byte < 256; ++byte) text += fmt::format("\n\n\n\x06<0x{:02X}>\x18\x06", byte);
  return text;
}

std::string expand(std::string_view input, const std::string& first, const std::string& second) {
  std::string text;
  for (const char c : input) {
    if (text.size() > 16384) break;
    if (c == '\x01') {
      text += first;
    } else if (c == '\x02') {
      text += second;
    } else {
      text += c;
    }
  }
  return text;
}

chaski::Tokenizer load(std::string_view input) {
  static const std::string kAlphabet = json_bytes(false), kByteTokens = json_bytes(true),
                           kRanks = rank_bytes(), kPieces = model_bytes();
  if (input.starts_with('\n')) {
    // In a protobuf the two bytes are lengths and flags as well, so the pieces come first.
    const std::string model =
        input.starts_with("\n\x01\x02") ? kPieces + std::string(input.substr(3)) : std::string(input);
    return chaski::Tokenizer::from_sentencepiece(model, {}, "fuzz");
  }
  if (!input.starts_with('{')) {
    return chaski::Tokenizer::from_rank_file(expand(input, kRanks, {}), "fuzz");
  }
  const std::string text = expand(input, kAlphabet, kByteTokens);
  const size_t nul = std::min(text.find('\0'), text.size());
  return chaski::Tokenizer::from_tokenizer_json(text.substr(0, nul),
                                                nul < text.size() ? text.substr(nul + 1) : "", "fuzz");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), std::min<size_t>(size, 512));
  try {
    const chaski::Tokenizer tokenizer = load(bytes);
    const chaski::EncodeOptions options{.parse_special = true, .add_bos = true};
    for (const int32_t id : tokenizer.encode(bytes, options)) {
      if (id < 0 || id >= tokenizer.vocab_size()) std::abort();
    }
  } catch (const chaski::Error& e) {
    if (e.code() == chaski::ErrorCode::kInternal) std::abort();
  }
  return 0;
}
