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
  if (!append_bytes_from_alphabet(spelled, bytes)) return std::nullopt;
  return bytes;
}

bool append_bytes_from_alphabet(std::string_view spelled, std::string& bytes) {
  for (size_t at = 0; at < spelled.size(); ++at) {
    size_t code = static_cast<unsigned char>(spelled[at]);
    if (code >= 0x80) {  // the alphabet's characters have two bytes at most
      const size_t tail = ++at < spelled.size() ? static_cast<unsigned char>(spelled[at]) : 0u;
      if (code < 0xC2 || code > 0xC5 || (tail & 0xC0) != 0x80) return false;
      code = (code & 0x1F) << 6 | (tail & 0x3F);
    }
    if (code >= kEnd || kBytes[code] < 0) return false;
    bytes += static_cast<char>(kBytes[code]);
  }
  return true;
}

std::string alphabet_from_bytes(std::string_view bytes) {
  std::string spelled;
  for (const char c : bytes) append_utf8(spelled, kAlphabet[static_cast<unsigned char>(c)]);
  return spelled;
}

}  // namespace chaski
