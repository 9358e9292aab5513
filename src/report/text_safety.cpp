#include "report/text_safety.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/utf8.h"

namespace chaski {
namespace {

struct CodeRange {
  uint32_t first;
  uint32_t last;
};

// Blocks that terminals draw two columns wide. Source: Unicode Standard Annex 11, whole blocks.
constexpr std::array<CodeRange, 13> kWide{{{0x1100, 0x115F},
                                           {0x2E80, 0x303E},
                                           {0x3041, 0xA4CF},
                                           {0xA960, 0xA97F},
                                           {0xAC00, 0xD7A3},
                                           {0xF900, 0xFAFF},
                                           {0xFE30, 0xFE6F},
                                           {0xFF00, 0xFF60},
                                           {0xFFE0, 0xFFE6},
                                           {0x1F300, 0x1F64F},
                                           {0x1F680, 0x1F6FF},
                                           {0x1F900, 0x1FAFF},
                                           {0x20000, 0x3FFFD}}};
constexpr std::array<CodeRange, 5> kZeroWidth{
    {{0x0300, 0x036F}, {0x200B, 0x200F}, {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}}};

template <size_t N>
bool is_in(uint32_t code, const std::array<CodeRange, N>& ranges) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [code](const CodeRange& r) { return code >= r.first && code <= r.last; });
}

bool is_control(uint32_t code) {
  return (code < 0x20 && code != '\n' && code != '\t') || (code >= 0x7F && code < 0xA0);
}

int width_of(uint32_t code) { return is_in(code, kZeroWidth) ? 0 : is_in(code, kWide) ? 2 : 1; }

}  // namespace

std::string strip_controls(std::string_view text) {
  const std::string valid = replace_invalid_utf8(text);
  std::string out;
  out.reserve(valid.size());
  for (size_t at = 0; at < valid.size();) {
    const Utf8Char c = decode_utf8(valid, at);
    if (!is_control(c.code)) out.append(valid, at, static_cast<size_t>(c.length));
    at += static_cast<size_t>(c.length);
  }
  return out;
}

std::string markdown_inline(std::string_view text) {
  std::string out;
  for (const char c : strip_controls(text)) {
    if (c == '\n' || c == '\t') {
      out += ' ';
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else {
      if (std::string_view("\\`*_{}[]()#+-!|>~").find(c) != std::string_view::npos) out += '\\';
      out += c;
    }
  }
  return out;
}

std::string markdown_fence(std::string_view text) {
  const std::string shown = strip_controls(text);
  size_t longest = 0;
  size_t run = 0;
  for (const char c : shown) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  const std::string fence(std::max<size_t>(3, longest + 1), '`');
  return fence + "text\n" + shown + (shown.empty() || shown.back() != '\n' ? "\n" : "") + fence + "\n";
}

int display_width(std::string_view text) {
  int width = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    width += width_of(c.code);
    at += static_cast<size_t>(c.length);
  }
  return width;
}

std::string pad_right(std::string_view text, int width) {
  const int found = display_width(text);
  if (found <= width) return std::string(text) + std::string(static_cast<size_t>(width - found), ' ');
  std::string out;
  int used = 0;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = decode_utf8(text, at);
    const int wide = width_of(c.code);
    if (used + wide > width - 1) break;
    out.append(text.substr(at, static_cast<size_t>(c.length)));
    used += wide;
    at += static_cast<size_t>(c.length);
  }
  return out + "…" + std::string(static_cast<size_t>(std::max(0, width - 1 - used)), ' ');
}

std::string pad_left(std::string_view text, int width) {
  const int missing = std::max(0, width - display_width(text));
  return std::string(static_cast<size_t>(missing), ' ') + std::string(text);
}

}  // namespace chaski
