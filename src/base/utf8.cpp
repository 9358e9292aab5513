#include "base/utf8.h"

#include <algorithm>
#include <cstring>

namespace chaski {
namespace {

/// The range that the second byte of a sequence may have, by its lead byte; length 0 for bytes that lead
/// nothing.
struct Lead {
  int length;
  unsigned char low;
  unsigned char high;
};

Lead lead_of(unsigned char byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

Utf8Char decode_utf8(std::string_view text, size_t at) {
  if (at >= text.size()) return {};
  const auto first = static_cast<unsigned char>(text[at]);
  const Lead lead = lead_of(first);
  if (lead.length == 1) return {first, 1, true};
  if (lead.length == 0) return {0xFFFD, 1, false};
  uint32_t code = first & (0xFFu >> (lead.length + 1));
  for (int i = 1; i < lead.length; ++i) {
    if (at + static_cast<size_t>(i) >= text.size()) return {0xFFFD, i, false};
    const auto byte = static_cast<unsigned char>(text[at + static_cast<size_t>(i)]);
    const unsigned char low = i == 1 ? lead.low : 0x80;
    const unsigned char high = i == 1 ? lead.high : 0xBF;
    if (byte < low || byte > high) return {0xFFFD, i, false};
    code = code << 6 | (byte & 0x3Fu);
  }
  return {code, lead.length, true};
}

size_t count_code_points(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

bool is_valid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    // Eight bytes of ASCII at a time: most text is little else.
    uint64_t word = 0;
    while (at + 8 <= text.size() &&
           (std::memcpy(&word, text.data() + at, 8), (word & 0x8080808080808080u) == 0))
      at += 8;
    if (at == text.size()) break;
    // Characters of three bytes whose second byte may be any, which Chinese text is made of.
    while (at + 3 <= text.size()) {
      const auto byte = [&text, at](size_t i) { return static_cast<unsigned char>(text[at + i]); };
      const bool is_plain = byte(0) > 0xE0 && byte(0) < 0xED;
      if (!is_plain || (byte(1) & 0xC0) != 0x80 || (byte(2) & 0xC0) != 0x80) break;
      at += 3;
    }
    if (at == text.size()) break;
    const Utf8Char c = decode_utf8(text, at);
    if (!c.is_valid) return false;
    at += static_cast<size_t>(c.length);
  }
  return true;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    if (c.is_valid) {
      out.append(text.substr(at, static_cast<size_t>(c.length)));
    } else {
      out += "\xEF\xBF\xBD";
    }
    at += static_cast<size_t>(c.length);
  }
  return out;
}

void append_utf8(std::string& text, uint32_t code) {
  const auto put = [&text](uint32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

size_t incomplete_utf8_tail(std::string_view text) {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;
    const Utf8Char c = decode_utf8(text, text.size() - back);
    const bool ends_early =
        !c.is_valid && static_cast<size_t>(c.length) == back && byte >= 0xC2 && byte <= 0xF4;
    return ends_early ? back : 0;
  }
  return 0;
}

}  // namespace chaski
