#include "text/split.h"

#include <vector>

namespace chaski {
namespace {

/// One byte per character up to U+10FFFF; text touches only the few pages of its own scripts.
std::vector<CharClass> make_classes() {
  std::vector<CharClass> classes(0x110000, CharClass::kOther);
  for (const CharRange& range : char_ranges()) {
    for (uint32_t code = range.first; code <= range.last; ++code) classes[code] = range.char_class;
  }
  return classes;
}

const CharClass* classes() {
  static const std::vector<CharClass> table = make_classes();
  return table.data();
}

/// The character at a place of valid UTF-8.
struct Char {
  uint32_t code;
  size_t end;  // where the next one begins
  CharClass char_class;
};

class Scanner {
 public:
  explicit Scanner(std::string_view text)
      : bytes_(reinterpret_cast<const unsigned char*>(text.data())),
        size_(text.size()),
        classes_(classes()) {}

  bool at_end(size_t at) const { return at >= size_; }
  unsigned char byte(size_t at) const { return at < size_ ? bytes_[at] : 0; }
  bool is_newline(size_t at) const { return at < size_ && (bytes_[at] == '\n' || bytes_[at] == '\r'); }

  /// `at` must be before the end.
  Char read(size_t at) const {
    uint32_t code = bytes_[at];
    if (code < 0x80) return {code, at + 1, classes_[code]};
    const auto tail = [this, at](size_t i) -> uint32_t { return bytes_[at + i] & 0x3Fu; };
    size_t length = 2;
    if (code < 0xE0) {
      code = (code & 0x1F) << 6 | tail(1);
    } else if (code < 0xF0) {
      code = (code & 0x0F) << 12 | tail(1) << 6 | tail(2);
      length = 3;
    } else {
      code = (code & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3);
      length = 4;
    }
    return {code, at + length, classes_[code]};
  }

  /// The end of the run from `at` of characters whose class `is_wanted` accepts, at most `max_chars` of them.
  template <typename Wanted>
  size_t run(size_t at, Wanted is_wanted, size_t max_chars = SIZE_MAX) const {
    for (; max_chars > 0 && !at_end(at); --max_chars) {
      const Char c = read(at);
      if (!is_wanted(c.char_class)) break;
      at = c.end;
    }
    return at;
  }

  /// The end of an English contraction that begins with the apostrophe at `at`, or `at` where there is none.
  size_t contraction(size_t at, bool ignore_case) const {
    const auto lower = [this, ignore_case](size_t i) -> unsigned char {
      const unsigned char c = byte(i);
      return ignore_case && c >= 'A' && c <= 'Z' ? static_cast<unsigned char>(c + 32) : c;
    };
    const unsigned char first = lower(at + 1);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
    const unsigned char second = lower(at + 2);
    if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
        (first == 'l' && second == 'l')) {
      return at + 3;
    }
    // The long s, U+017F, is an s to a pattern that ignores case.
    if (ignore_case && first == 0xC5 && second == 0xBF) return at + 3;
    return at;
  }

 private:
  const unsigned char* bytes_;
  size_t size_;
  const CharClass* classes_;
};

bool is_letter(CharClass c) { return c == CharClass::kLetter; }
bool is_number(CharClass c) { return c == CharClass::kNumber; }
bool is_space(CharClass c) { return c == CharClass::kSpace; }
bool is_mark(CharClass c) { return c == CharClass::kOther || c == CharClass::kLaterNumber; }
bool is_plain_mark(CharClass c) { return c == CharClass::kOther; }

/// The end of `\s+(?!\S)|\s+` from `at`: a run of white space without its last character, unless the text or,
/// for rules that cut before a number, the segment ends there.
size_t space_run(const Scanner& scan, size_t at, bool ends_at_number) {
  size_t last = at;
  size_t end = at;
  while (!scan.at_end(end)) {
    const Char c = scan.read(end);
    if (!is_space(c.char_class)) {
      const bool is_cut =
          ends_at_number && (is_number(c.char_class) || c.char_class == CharClass::kLaterNumber);
      return is_cut || last == at ? end : last;
    }
    last = end;
    end = c.end;
  }
  return end;
}

/// The end of a run of marks from `at` (one is there), and of the newlines right after it.
size_t marks_and_newlines(const Scanner& scan, size_t at) {
  size_t end = scan.run(at, is_mark);
  while (scan.is_newline(end)) ++end;
  return end;
}

/// `\s*[\r\n]+|\s+(?!\S)|\s+` from `at`, where white space is: to the last newline of the run if there is
/// one.
size_t space_or_newlines(const Scanner& scan, size_t at) {
  size_t after_newline = at;
  size_t last = at;
  size_t end = at;
  bool is_text_end = true;
  while (!scan.at_end(end)) {
    const Char c = scan.read(end);
    if (!is_space(c.char_class)) {
      is_text_end = false;
      break;
    }
    if (c.code == '\n' || c.code == '\r') after_newline = c.end;
    last = end;
    end = c.end;
  }
  if (after_newline != at) return after_newline;
  return is_text_end || last == at ? end : last;
}

size_t next_llama3(const Scanner& scan, size_t at) {
  const Char c = scan.read(at);
  if (is_letter(c.char_class)) return scan.run(c.end, is_letter);
  if (is_number(c.char_class)) return scan.run(c.end, is_number, 2);
  if (c.code == '\'') {
    if (const size_t end = scan.contraction(at, true); end != at) return end;
  }
  const bool is_newline = c.code == '\n' || c.code == '\r';
  if (!is_newline && !scan.at_end(c.end)) {
    const Char next = scan.read(c.end);
    if (is_letter(next.char_class)) return scan.run(next.end, is_letter);
    if (c.code == ' ' && is_mark(next.char_class)) return marks_and_newlines(scan, next.end);
  }
  return is_space(c.char_class) ? space_or_newlines(scan, at) : marks_and_newlines(scan, c.end);
}

/// The GPT-2 rule; with `isolates_numbers` each number is a segment of its own, between which the rule runs.
size_t next_gpt2(const Scanner& scan, size_t at, bool isolates_numbers) {
  const Char first = scan.read(at);
  const auto is_isolated = [isolates_numbers](CharClass c) {
    return isolates_numbers && (is_number(c) || c == CharClass::kLaterNumber);
  };
  if (is_isolated(first.char_class)) return first.end;
  if (first.code == '\'') {
    if (const size_t end = scan.contraction(at, false); end != at) return end;
  }
  Char c = first;
  if (first.code == ' ' && !scan.at_end(first.end)) {
    const Char next = scan.read(first.end);
    if (!is_space(next.char_class) && !is_isolated(next.char_class)) c = next;
  }
  if (is_letter(c.char_class)) return scan.run(c.end, is_letter);
  if (is_number(c.char_class)) return scan.run(c.end, is_number);
  if (is_space(c.char_class)) return space_run(scan, at, isolates_numbers);
  return isolates_numbers ? scan.run(c.end, is_plain_mark) : scan.run(c.end, is_mark);
}

}  // namespace

size_t next_split(SplitRule rule, std::string_view text, size_t at) {
  const Scanner scan(text);
  switch (rule) {
    case SplitRule::kLlama3:
      return next_llama3(scan, at);
    case SplitRule::kSmolLm:
      return next_gpt2(scan, at, true);
    case SplitRule::kGpt2:
      return next_gpt2(scan, at, false);
  }
  return text.size();
}

CharClass char_class(uint32_t code) { return code < 0x110000 ? classes()[code] : CharClass::kOther; }

}  // namespace chaski
