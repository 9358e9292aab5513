// The scanners of the split rules: each step is a hand-written match of the pattern that split.h names.
#include "text/split_steps.h"

#include <algorithm>

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

  /// The end of the run from `at` of characters that `is_wanted` accepts.
  template <typename Wanted>
  size_t run_of(size_t at, Wanted is_wanted) const {
    while (!at_end(at)) {
      const Char c = read(at);
      if (!is_wanted(c)) break;
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

bool is_letter(CharClass c) { return c <= CharClass::kLetter; }
bool is_number(CharClass c) { return c == CharClass::kNumber; }
bool is_numeric(CharClass c) { return c == CharClass::kNumber || c == CharClass::kLaterNumber; }
bool is_space(CharClass c) { return c == CharClass::kSpace; }
bool is_mark(CharClass c) { return c == CharClass::kMark; }
bool is_punctuation(CharClass c) { return c == CharClass::kPunctuation; }
/// `[^\s\p{L}\p{N}]`.
bool is_sign(CharClass c) { return c >= CharClass::kMark; }
/// `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]` and `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`.
bool may_be_upper(CharClass c) { return (is_letter(c) && c != CharClass::kLower) || is_mark(c); }
bool may_be_lower(CharClass c) { return (is_letter(c) && c != CharClass::kUpper) || is_mark(c); }
bool is_letter_or_mark(CharClass c) { return is_letter(c) || is_mark(c); }
bool is_punctuation_or_symbol(CharClass c) { return is_punctuation(c) || c == CharClass::kSymbol; }

bool is_ascii_letter(uint32_t code) { return (code | 0x20) >= 'a' && (code | 0x20) <= 'z'; }

/// The end of `\s+(?!\S)|\s+` from `at`: a run of white space without its last character, unless the text
/// ends there.
size_t space_run(const Scanner& scan, size_t at) {
  size_t last = at;
  size_t end = at;
  while (!scan.at_end(end)) {
    const Char c = scan.read(end);
    if (!is_space(c.char_class)) return last == at ? end : last;
    last = end;
    end = c.end;
  }
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

/// What may follow a run of marks in its piece.
enum class Tail { kNone, kNewlines, kNewlinesAndSlashes };

/// The end of a run of marks, of which one was read up to `at`, and of its tail.
size_t signs_and_tail(const Scanner& scan, size_t at, Tail tail) {
  size_t end = scan.run(at, is_sign);
  if (tail == Tail::kNone) return end;
  while (scan.is_newline(end) || (tail == Tail::kNewlinesAndSlashes && scan.byte(end) == '/')) ++end;
  return end;
}

/// How the descendants of Llama 3's rule differ from each other.
struct WordForm {
  size_t max_numbers = 1;  // in a piece
  bool has_contractions = true;
  Tail tail = Tail::kNewlines;
};

size_t next_word(const Scanner& scan, size_t at, const WordForm& form) {
  const Char c = scan.read(at);
  if (is_letter(c.char_class)) return scan.run(c.end, is_letter);
  if (is_number(c.char_class)) return scan.run(c.end, is_number, form.max_numbers - 1);
  if (c.code == '\'' && form.has_contractions) {
    if (const size_t end = scan.contraction(at, true); end != at) return end;
  }
  const bool is_newline = c.code == '\n' || c.code == '\r';
  if (!is_newline && !scan.at_end(c.end)) {
    const Char next = scan.read(c.end);
    if (is_letter(next.char_class)) return scan.run(next.end, is_letter);
    if (c.code == ' ' && is_sign(next.char_class)) return signs_and_tail(scan, next.end, form.tail);
  }
  return is_space(c.char_class) ? space_or_newlines(scan, at) : signs_and_tail(scan, c.end, form.tail);
}

size_t next_gpt2_word(const Scanner& scan, size_t at) {
  const Char first = scan.read(at);
  if (first.code == '\'') {
    if (const size_t end = scan.contraction(at, false); end != at) return end;
  }
  Char c = first;
  if (first.code == ' ' && !scan.at_end(first.end)) {
    const Char next = scan.read(first.end);
    if (!is_space(next.char_class)) c = next;
  }
  if (is_letter(c.char_class)) return scan.run(c.end, is_letter);
  if (is_number(c.char_class)) return scan.run(c.end, is_number);
  if (is_space(c.char_class)) return space_run(scan, at);
  return scan.run(c.end, is_sign);
}

/// With U = may_be_upper and L = may_be_lower: the end of `U*L+` from `at`, or `at`. The run of U gives back
/// what it took up to its last character that is L too.
size_t ends_lower(const Scanner& scan, size_t at) {
  size_t end = at;
  size_t after_both = at;  // the end of the last character of the run that is of both
  while (!scan.at_end(end)) {
    const Char c = scan.read(end);
    if (!may_be_upper(c.char_class)) {
      if (c.char_class == CharClass::kLower) return scan.run(c.end, may_be_lower);
      break;
    }
    end = c.end;
    if (may_be_lower(c.char_class)) after_both = end;
  }
  return after_both;
}

/// `U+L*` from `at`, or `at`.
size_t begins_upper(const Scanner& scan, size_t at) {
  const size_t end = scan.run(at, may_be_upper);
  return end == at ? at : scan.run(end, may_be_lower);
}

/// Words by case: `[^\r\n\p{L}\p{N}]?U*L+`, then `[^\r\n\p{L}\p{N}]?U+L*`, then numbers, marks and spaces.
size_t next_cased_word(const Scanner& scan, size_t at, size_t max_numbers, bool has_contractions) {
  const Char c = scan.read(at);
  const bool is_newline = c.code == '\n' || c.code == '\r';
  const bool may_lead = !is_newline && !is_letter(c.char_class) && !is_number(c.char_class);
  for (const auto match : {ends_lower, begins_upper}) {
    size_t end = may_lead ? match(scan, c.end) : c.end;
    if (end == c.end) {
      end = match(scan, at);
      if (end == at) continue;
    }
    return has_contractions && scan.byte(end) == '\'' ? scan.contraction(end, true) : end;
  }
  if (is_number(c.char_class)) return scan.run(c.end, is_number, max_numbers - 1);
  if (c.code == ' ' && !scan.at_end(c.end)) {
    const Char next = scan.read(c.end);
    if (is_sign(next.char_class)) return signs_and_tail(scan, next.end, Tail::kNewlinesAndSlashes);
  }
  if (is_space(c.char_class)) return space_or_newlines(scan, at);
  return signs_and_tail(scan, c.end, Tail::kNewlinesAndSlashes);
}

// The matches of isolating steps: the end of the match at `at`, or `at` where there is none, which is found
// out in constant time, so that looking for the next match is linear.

/// `\s?X+` for characters that `is_wanted` accepts.
template <typename Wanted>
size_t match_after_space(const Scanner& scan, size_t at, Wanted is_wanted) {
  const Char c = scan.read(at);
  if (is_space(c.char_class) && !scan.at_end(c.end)) {
    const size_t end = scan.run_of(c.end, is_wanted);
    if (end != c.end) return end;
  }
  return scan.run_of(at, is_wanted);
}

/// `[!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*` and white space.
size_t match_deepseek3(const Scanner& scan, size_t at) {
  const Char c = scan.read(at);
  const bool is_ascii_mark = c.code < 0x80 && is_punctuation_or_symbol(c.char_class);
  if (is_ascii_mark && is_ascii_letter(scan.byte(c.end))) {
    return scan.run_of(c.end, [](const Char& x) { return is_ascii_letter(x.code); });
  }
  const bool is_newline = c.code == '\n' || c.code == '\r';
  if (!is_newline && !is_letter(c.char_class) && !is_punctuation_or_symbol(c.char_class)) {
    if (const size_t end = scan.run(c.end, is_letter_or_mark); end != c.end) return end;
  }
  if (is_letter_or_mark(c.char_class)) return scan.run(c.end, is_letter_or_mark);
  const size_t begin = c.code == ' ' ? c.end : at;
  if (size_t end = scan.run(begin, is_punctuation_or_symbol); end != begin) {
    while (scan.is_newline(end)) ++end;
    return end;
  }
  return is_space(c.char_class) ? space_or_newlines(scan, at) : at;
}

/// ` ?[^(\s|.,!?…。，、।۔،)]+`.
size_t match_bloom(const Scanner& scan, size_t at) {
  const auto is_wanted = [](const Char& c) {
    constexpr std::u32string_view kCut = U"(|.,!?\u2026\u3002\uFF0C\u3001\u0964\u06D4\u060C)";
    return !is_space(c.char_class) && kCut.find(static_cast<char32_t>(c.code)) == kCut.npos;
  };
  const size_t begin = scan.byte(at) == ' ' ? at + 1 : at;
  const size_t end = scan.run_of(begin, is_wanted);
  return end == begin ? at : end;
}

struct CodeRange {
  uint32_t first;
  uint32_t last;
};

bool is_in(std::span<const CodeRange> ranges, uint32_t code) {
  const auto it =
      std::upper_bound(ranges.begin(), ranges.end(), code,
                       [](uint32_t value, const CodeRange& range) { return value < range.first; });
  return it != ranges.begin() && code <= std::prev(it)->last;
}

// The letters that the pattern of DeepSeek LLM lists.
// clang-format off
constexpr CodeRange kCasedLetterRanges[] = {
    {0x41, 0x5A}, {0x61, 0x7A}, {0xB5, 0xB5}, {0xC0, 0xD6}, {0xD8, 0xF6}, {0xF8, 0x1BA}, {0x1BC, 0x1BF},
    {0x1C4, 0x293}, {0x295, 0x2AF}, {0x370, 0x373}, {0x376, 0x377}, {0x37B, 0x37D}, {0x37F, 0x37F},
    {0x386, 0x386}, {0x388, 0x38A}, {0x38C, 0x38C}, {0x38E, 0x3A1}, {0x3A3, 0x3F5}, {0x3F7, 0x481},
    {0x48A, 0x52F}, {0x531, 0x556}, {0x10A0, 0x10C5}, {0x13A0, 0x13F5}, {0x13F8, 0x13FD}, {0x1C90, 0x1CBA},
    {0x1CBD, 0x1CBF}, {0x1D00, 0x1D2B}, {0x1D6B, 0x1D77}, {0x1D79, 0x1D9A}, {0x1E00, 0x1F15},
    {0x1F18, 0x1F1D}, {0x1F20, 0x1F45}, {0x1F48, 0x1F4D}, {0x1F50, 0x1F57}, {0x1F59, 0x1F59},
    {0x1F5B, 0x1F5B}, {0x1F5D, 0x1F5D}, {0x1F5F, 0x1F7D}, {0x1F80, 0x1FB4}, {0x1FB6, 0x1FBC},
    {0x1FBE, 0x1FBE}, {0x1FC2, 0x1FC4}, {0x1FC6, 0x1FCC}, {0x1FD0, 0x1FD3}, {0x1FD6, 0x1FDB},
    {0x1FE0, 0x1FEC}, {0x1FF2, 0x1FF4}, {0x1FF6, 0x1FFC}, {0x2102, 0x2102}, {0x2107, 0x2107},
    {0x210A, 0x2113}, {0x2115, 0x2115}, {0x2119, 0x211D}, {0x2124, 0x2124}, {0x2126, 0x2126},
    {0x2128, 0x2128}, {0x212A, 0x212D}, {0x212F, 0x2134}, {0x2139, 0x2139}, {0x213C, 0x213F},
    {0x2145, 0x2149}, {0x214E, 0x214E}, {0x2183, 0x2184}, {0x2C00, 0x2C7B}, {0x2C7E, 0x2CE4},
    {0x2CEB, 0x2CEE}, {0x2CF2, 0x2CF3}, {0xA640, 0xA66D}, {0xA680, 0xA69B}, {0xA722, 0xA76F},
    {0xA771, 0xA787}, {0xA78B, 0xA78E}, {0xAB70, 0xABBF}, {0xFB00, 0xFB06}, {0xFB13, 0xFB17},
    {0xFF21, 0xFF3A}, {0xFF41, 0xFF5A}, {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB},
    {0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2}, {0x118A0, 0x118DF}, {0x1E900, 0x1E943},
};
// clang-format on
constexpr CodeRange kAsciiWideMarkRanges[] = {{0x21, 0x2F},     {0x3A, 0x7E},     {0x2018, 0x201F},
                                              {0x3000, 0x3002}, {0xFF01, 0xFF0F}, {0xFF1A, 0xFF5E}};
constexpr CodeRange kHanHangulRanges[] = {{0x800, 0x9FA5}, {0xAC00, 0xD7FF}};
constexpr CodeRange kHanKanaRanges[] = {{0x3040, 0x30FF}, {0x4E00, 0x9FA5}};

/// The end of the piece at `at`: the match there, or what lies before the next one.
template <typename Match>
size_t isolate(const Scanner& scan, size_t at, Match match) {
  if (const size_t end = match(scan, at); end != at) return end;
  do {
    at = scan.read(at).end;
  } while (!scan.at_end(at) && match(scan, at) == at);
  return at;
}

template <typename Wanted>
size_t isolate_runs(const Scanner& scan, size_t at, Wanted is_wanted, size_t max_chars = SIZE_MAX) {
  const size_t end = scan.run(at, is_wanted, max_chars);
  return end != at ? end : scan.run(at, [is_wanted](CharClass c) { return !is_wanted(c); });
}

size_t isolate_codes(const Scanner& scan, size_t at, std::span<const CodeRange> ranges, bool takes_space) {
  return isolate(scan, at, [ranges, takes_space](const Scanner& s, size_t begin) {
    const auto is_wanted = [ranges](const Char& c) { return is_in(ranges, c.code); };
    return takes_space ? match_after_space(s, begin, is_wanted) : s.run_of(begin, is_wanted);
  });
}

size_t isolate_classes_after_space(const Scanner& scan, size_t at, bool (*is_wanted)(CharClass)) {
  return isolate(scan, at, [is_wanted](const Scanner& s, size_t begin) {
    return match_after_space(s, begin, [is_wanted](const Char& c) { return is_wanted(c.char_class); });
  });
}

size_t isolate_three_digits(const Scanner& scan, size_t at) {
  return isolate(scan, at, [](const Scanner& s, size_t begin) {
    const auto is_digit = [&s](size_t i) { return s.byte(i) >= '0' && s.byte(i) <= '9'; };
    return is_digit(begin) && is_digit(begin + 1) && is_digit(begin + 2) ? begin + 3 : begin;
  });
}

size_t isolate_default_marks(const Scanner& scan, size_t at) {
  const auto is_wanted = [](const Char& c) {
    constexpr std::string_view kSymbols = "$+<=>^~|";
    return is_punctuation(c.char_class) ||
           (c.code < 0x80 && kSymbols.find(static_cast<char>(c.code)) != kSymbols.npos);
  };
  const size_t end = scan.run_of(at, is_wanted);
  return end != at ? end : scan.run_of(at, [&](const Char& c) { return !is_wanted(c); });
}

size_t isolate_newline(const Scanner& scan, size_t at) {
  if (scan.is_newline(at)) return at + 1;
  while (!scan.at_end(at) && !scan.is_newline(at)) ++at;
  return at;
}

size_t isolate_trailing_space(const Scanner& scan, std::string_view text, size_t at) {
  size_t begin = text.size();
  while (begin > at) {
    size_t lead = begin - 1;
    while ((scan.byte(lead) & 0xC0) == 0x80) --lead;
    if (!is_space(scan.read(lead).char_class)) break;
    begin = lead;
  }
  return begin == at ? text.size() : begin;
}

}  // namespace

size_t end_of_piece(SplitStep step, std::string_view text, size_t at) {
  const Scanner scan(text);
  switch (step) {
    case SplitStep::kGpt2Words:
      return next_gpt2_word(scan, at);
    case SplitStep::kLlama3Words:
      return next_word(scan, at, {.max_numbers = 3});
    case SplitStep::kQwen2Words:
      return next_word(scan, at, {});
    case SplitStep::kNumberRunWords:
      return next_word(scan, at, {.max_numbers = SIZE_MAX});
    case SplitStep::kUncontractedWords:
      return next_word(scan, at, {.has_contractions = false});
    case SplitStep::kSeedCoderWords:
      return next_word(scan, at, {.tail = Tail::kNone});
    case SplitStep::kTekkenWords:
      return next_cased_word(scan, at, 1, false);
    case SplitStep::kGpt4oWords:
      return next_cased_word(scan, at, 3, true);
    case SplitStep::kBloomWords:
      return isolate(scan, at, match_bloom);
    case SplitStep::kDeepSeek3Words:
      return isolate(scan, at, match_deepseek3);
    case SplitStep::kDigits:
      return isolate_runs(scan, at, is_numeric, 1);
    case SplitStep::kNumber:
      return isolate_runs(scan, at, is_number, 1);
    case SplitStep::kThreeNumbers:
      return isolate_runs(scan, at, is_number, 3);
    case SplitStep::kNumberRuns:
      return isolate_runs(scan, at, is_number);
    case SplitStep::kThreeDigits:
      return isolate_three_digits(scan, at);
    case SplitStep::kNewline:
      return isolate_newline(scan, at);
    case SplitStep::kTrailingSpace:
      return isolate_trailing_space(scan, text, at);
    case SplitStep::kLetters:
      return isolate_classes_after_space(scan, at, is_letter);
    case SplitStep::kPunctuation:
      return isolate_classes_after_space(scan, at, is_punctuation);
    case SplitStep::kDefaultMarks:
      return isolate_default_marks(scan, at);
    case SplitStep::kCasedLetters:
      return isolate_codes(scan, at, kCasedLetterRanges, true);
    case SplitStep::kAsciiWideMarks:
      return isolate_codes(scan, at, kAsciiWideMarkRanges, true);
    case SplitStep::kHanHangul:
      return isolate_codes(scan, at, kHanHangulRanges, false);
    case SplitStep::kHanKana:
      return isolate_codes(scan, at, kHanKanaRanges, false);
    case SplitStep::kBeforeSpaces:
      return std::min(text.find(' ', std::min(text.find_first_not_of(' ', at), text.size())), text.size());
    case SplitStep::kBeforeEachSpace:
      return std::min(text.find(' ', at + 1), text.size());
  }
  return text.size();
}

CharClass char_class(uint32_t code) { return code < 0x110000 ? classes()[code] : CharClass::kOther; }

}  // namespace chaski
