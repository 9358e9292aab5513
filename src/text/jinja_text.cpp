// Marked text, and the character facts of Python's str: white space, case (tables in jinja_unicode.cpp).
#include "text/jinja_text.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"

namespace chaski::jinja {

MarkedText::MarkedText(std::string bytes, bool is_marked) : bytes_(std::move(bytes)) {
  if (is_marked) mark(0, bytes_.size());
}

void MarkedText::mark(size_t begin, size_t end) {
  if (begin == end) return;
  if (!marks_.empty() && marks_.back().end == begin) {
    marks_.back().end = end;
  } else {
    marks_.push_back({begin, end});
  }
}

void MarkedText::append(std::string_view bytes, bool is_marked) {
  const size_t begin = bytes_.size();
  bytes_.append(bytes);
  if (is_marked) mark(begin, bytes_.size());
}

void MarkedText::append(const MarkedText& other, size_t begin, size_t end) {
  CHECK(begin <= end && end <= other.size() && this != &other, "slice {}..{} of {} bytes", begin, end,
        other.size());
  const size_t base = bytes_.size();
  bytes_.append(other.bytes_, begin, end - begin);
  auto span = std::upper_bound(other.marks_.begin(), other.marks_.end(), begin,
                               [](size_t at, const PlainSpan& s) { return at < s.end; });
  for (; span != other.marks_.end() && span->begin < end; ++span) {
    mark(base + std::max(span->begin, begin) - begin, base + std::min(span->end, end) - begin);
  }
}

MarkedText MarkedText::slice(size_t begin, size_t end) const {
  MarkedText result;
  result.append(*this, begin, end);
  return result;
}

bool MarkedText::is_marked_at(size_t at) const {
  const auto span = std::upper_bound(marks_.begin(), marks_.end(), at,
                                     [](size_t position, const PlainSpan& s) { return position < s.end; });
  return span != marks_.end() && span->begin <= at;
}

bool is_python_space(uint32_t code) {
  if (code < 0x80) return code == ' ' || (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x1F);
  return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
         code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

CodePoint code_point_at(std::string_view text, size_t at) {
  const auto byte = static_cast<unsigned char>(text[at]);
  if (byte < 0x80) return {byte, 1};
  const Utf8Char c = decode_utf8(text, at);
  return {c.is_valid ? c.code : 0xFFFD, static_cast<size_t>(std::max(c.length, 1))};
}

std::vector<size_t> character_offsets(std::string_view text) {
  std::vector<size_t> offsets;
  offsets.reserve(text.size() + 1);
  for (size_t at = 0; at < text.size(); ++at) {
    if ((static_cast<unsigned char>(text[at]) & 0xC0) != 0x80) offsets.push_back(at);
  }
  offsets.push_back(text.size());
  return offsets;
}

size_t character_offset(std::string_view text, size_t index) {
  size_t at = 0;
  for (; at < text.size(); ++at) {
    if ((static_cast<unsigned char>(text[at]) & 0xC0) != 0x80 && index-- == 0) break;
  }
  return at;
}

namespace {

constexpr uint32_t kSigma = 0x3A3;

bool is_case_ignorable(uint32_t code) {
  return code == '\'' || code == '.' || code == ':' || code == '^' || code == '`' || code == 0xAD ||
         code == 0xB7 || code == 0x2019 || (code >= 0x300 && code <= 0x36F);
}

// A capital sigma at the end of a word becomes the final form: a cased letter before it and none after it.
bool is_final_sigma(std::string_view text, size_t at) {
  bool cased_before = false;
  for (size_t i = at; i > 0;) {
    do {
      --i;
    } while (i > 0 && (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80);
    const uint32_t code = code_point_at(text, i).code;
    if (is_case_ignorable(code)) continue;
    cased_before = has_case(code);
    break;
  }
  if (!cased_before) return false;
  for (size_t i = at + 2; i < text.size();) {
    const CodePoint c = code_point_at(text, i);
    if (!is_case_ignorable(c.code)) return !has_case(c.code);
    i += c.length;
  }
  return true;
}

// Map each character by `choose(code, at)`.
template <typename Choose>
MarkedText map_case(const MarkedText& text, Choose choose) {
  MarkedText result;
  result.reserve(text.size());
  const std::string& bytes = text.bytes();
  std::string mapped;
  for (size_t at = 0; at < bytes.size();) {
    const CodePoint c = code_point_at(bytes, at);
    mapped.clear();
    const CaseMap map = choose(c.code);
    if (c.code == kSigma && map == CaseMap::kLower) {
      append_utf8(mapped, is_final_sigma(bytes, at) ? 0x3C2 : 0x3C3);
    } else {
      append_mapped(mapped, c.code, map);
    }
    result.append(mapped, text.is_marked_at(at));
    at += c.length;
  }
  return result;
}

}  // namespace

MarkedText lower(const MarkedText& text) {
  return map_case(text, [](uint32_t) { return CaseMap::kLower; });
}

MarkedText upper(const MarkedText& text) {
  return map_case(text, [](uint32_t) { return CaseMap::kUpper; });
}

MarkedText capitalize(const MarkedText& text) {
  bool is_first = true;
  return map_case(text, [&](uint32_t) {
    const CaseMap map = is_first ? CaseMap::kTitle : CaseMap::kLower;
    is_first = false;
    return map;
  });
}

MarkedText title(const MarkedText& text) {
  bool after_cased = false;
  return map_case(text, [&](uint32_t code) {
    const CaseMap map = after_cased ? CaseMap::kLower : CaseMap::kTitle;
    after_cased = has_case(code);
    return map;
  });
}

}  // namespace chaski::jinja
