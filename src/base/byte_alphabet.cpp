#include "base/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "base/utf8.h"

namespace chaski {
namespace {

/// Bytes that show as themselves; the others get the characters from U+0100 on, in order.
constexpr bool is_shown(int byte) { return (byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173); }

constexpr std::array<uint16_t, 256> make_alphabet() {
  std::array<uint16_t, 256> alphabet{};
  uint16_t next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    alphabet[static_cast<size_t>(byte)] = is_shown(byte) ? static_cast<uint16_t>(byte) : next++;
  }
  return alphabet;
}

constexpr std::array<uint16_t, 256> kAlphabet = make_alphabet();
constexpr size_t kEnd = 324;  // one past the last character of the alphabet

constexpr std::array<int16_t, kEnd> make_bytes() {
  std::array<int16_t, kEnd> bytes{};
  for (int16_t& byte : bytes) byte = -1;
  for (size_t byte = 0; byte < 256; ++byte) bytes[kAlphabet[byte]] = static_cast<int16_t>(byte);
  return bytes;
}

constexpr std::array<int16_t, kEnd> kBytes = make_bytes();

}  // namespace

std::optional<std::string> bytes_from_alphabet(std::string_view spelled) {
  std::string bytes;
  bytes.reserve(spelled.size());
  for (size_t at = 0; at < spelled.size();) {
    const Utf8Char c = decode_utf8(spelled, at);
    if (!c.is_valid || c.code >= kEnd || kBytes[c.code] < 0) return std::nullopt;
    bytes += static_cast<char>(kBytes[c.code]);
    at += static_cast<size_t>(c.length);
  }
  return bytes;
}

std::string alphabet_from_bytes(std::string_view bytes) {
  std::string spelled;
  for (const char c : bytes) append_utf8(spelled, kAlphabet[static_cast<unsigned char>(c)]);
  return spelled;
}

}  // namespace chaski
