// Text that remembers which of its bytes came from the caller, so that special-token text in a message stays
// plain text in the prompt. Everything a template does to text goes through append() and slice(); nothing
// here knows Jinja.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "text/plain_span.h"

namespace chaski::jinja {

/// UTF-8 bytes and the sorted, merged ranges of them that are the caller's ("marked").
class MarkedText {
 public:
  MarkedText() = default;
  explicit MarkedText(std::string bytes, bool is_marked = false);

  const std::string& bytes() const { return bytes_; }
  const std::vector<PlainSpan>& marks() const { return marks_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  /// The memory it takes: of the bytes and of the marks.
  size_t footprint() const { return bytes_.size() + marks_.size() * sizeof(PlainSpan); }

  void reserve(size_t n_bytes) { bytes_.reserve(n_bytes); }
  void append(std::string_view bytes, bool is_marked = false);
  void append(const MarkedText& other) { append(other, 0, other.size()); }
  void append(const MarkedText& other, size_t begin, size_t end);
  MarkedText slice(size_t begin, size_t end) const;
  bool is_marked_at(size_t at) const;
  /// Whether any byte is marked; then text made from it byte by unknown byte is marked as a whole.
  bool has_marks() const { return !marks_.empty(); }

 private:
  void mark(size_t begin, size_t end);

  std::string bytes_;
  std::vector<PlainSpan> marks_;
};

/// Whether Python's str.isspace() holds for the character, as strip() and split() use it.
bool is_python_space(uint32_t code);

/// The text without leading and trailing characters for which `is_stripped` holds (on code points).
template <typename Predicate>
MarkedText strip(const MarkedText& text, bool left, bool right, Predicate is_stripped);

/// Byte offsets of all characters of valid UTF-8, and the end.
std::vector<size_t> character_offsets(std::string_view text);
/// The byte offset of character `index`, at most the end.
size_t character_offset(std::string_view text, size_t index);

/// Where `part` is found in `text`, first at or after `from` or last of all, or npos; in linear time.
size_t find_first(std::string_view text, std::string_view part, size_t from = 0);
size_t find_last(std::string_view text, std::string_view part);

/// The code point at `at` of valid UTF-8, and its length in bytes.
struct CodePoint {
  uint32_t code;
  size_t length;
};
CodePoint code_point_at(std::string_view text, size_t at);

/// Unicode full case mapping of one character, appended as UTF-8 (Source: unicode-case).
enum class CaseMap { kLower, kUpper, kTitle };
void append_mapped(std::string& out, uint32_t code, CaseMap map);
bool has_case(uint32_t code);
bool is_printable(uint32_t code);  ///< str.isprintable(): what repr() shows as it is

/// str.lower(), str.upper(), str.capitalize() and str.title() with marks kept.
MarkedText lower(const MarkedText& text);
MarkedText upper(const MarkedText& text);
MarkedText capitalize(const MarkedText& text);
MarkedText title(const MarkedText& text);

template <typename Predicate>
MarkedText strip(const MarkedText& text, bool left, bool right, Predicate is_stripped) {
  const std::string& bytes = text.bytes();
  size_t begin = 0;
  size_t end = bytes.size();
  while (left && begin < end) {
    const CodePoint c = code_point_at(bytes, begin);
    if (!is_stripped(c.code)) break;
    begin += c.length;
  }
  while (right && begin < end) {
    size_t last = end - 1;
    while (last > begin && (static_cast<unsigned char>(bytes[last]) & 0xC0) == 0x80) --last;
    if (!is_stripped(code_point_at(bytes, last).code)) break;
    end = last;
  }
  return text.slice(begin, end);
}

}  // namespace chaski::jinja
