#include "report/text_safety.h"

#include <fmt/format.h>

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

// What is not seen itself and changes or hides what is: fillers, zero-width characters, bidi controls, line
// separators, tags. Variation selectors stay, since emoji and Han characters need them.
constexpr std::array<CodeRange, 11> kInvisible{{{0x00AD, 0x00AD},
                                                {0x061C, 0x061C},
                                                {0x115F, 0x1160},
                                                {0x17B4, 0x17B5},
                                                {0x180E, 0x180E},
                                                {0x200B, 0x200F},
                                                {0x2028, 0x202E},
                                                {0x2060, 0x206F},
                                                {0xFEFF, 0xFEFF},
                                                {0xFFF9, 0xFFFB},
                                                {0xE0000, 0xE007F}}};

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

std::string visible_text(std::string_view text) {
  const std::string valid = replace_invalid_utf8(text);
  std::string out;
  out.reserve(valid.size());
  for (size_t at = 0; at < valid.size();) {
    const Utf8Char c = decode_utf8(valid, at);
    if (is_control(c.code) || is_in(c.code, kInvisible)) {
      out += fmt::format("‹U+{:04X}›", c.code);
    } else {
      out.append(valid, at, static_cast<size_t>(c.length));
    }
    at += static_cast<size_t>(c.length);
  }
  return out;
}

std::string_view clip_utf8(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return text;
  const std::string_view cut = text.substr(0, max_bytes);
  return cut.substr(0, cut.size() - incomplete_utf8_tail(cut));
}

std::string short_name(std::string_view text, int max_columns) {
  std::string line = visible_text(clip_utf8(text, 1000));
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return display_width(line) <= max_columns ? line : pad_right(line, max_columns);
}

std::string csv_cell(std::string_view text, CsvQuotes quotes) {
  const bool is_formula =
      !text.empty() && std::string_view("=+-@\t\r").find(text[0]) != std::string_view::npos;
  std::string cell = (is_formula ? "'" : "") + replace_invalid_utf8(text);
  const bool needs_quotes = cell.find_first_of(",;\"\r\n\t") != std::string::npos;
  if (!needs_quotes && quotes == CsvQuotes::kWhereNeeded) return cell;
  std::string quoted = "\"";
  for (const char c : cell) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + "\"";
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
      // Headings, lists and quotes begin a line; links and images need a bracket.
      const bool begins = out.find_first_not_of(' ') == std::string::npos;
      const std::string_view marks = begins ? "\\`*_[]|~#+->" : "\\`*_[]|~";
      if (marks.find(c) != std::string_view::npos) out += '\\';
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
