#include "lab/scorer_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <limits>
#include <unordered_set>

#include "base/error.h"
#include "base/utf8.h"
#include "lab/simplified_characters.h"

namespace chaski {
namespace {

constexpr size_t kMaxMatches = 64;
constexpr size_t kMaxPeriod = 200;  // units: a repeated paragraph

bool is_han(uint32_t code) {
  return (code >= 0x4E00 && code <= 0x9FFF) || (code >= 0x3400 && code <= 0x4DBF) || code == 0x3007 ||
         (code >= 0xF900 && code <= 0xFAFF) || (code >= 0x20000 && code <= 0x3FFFF);
}

bool is_digit(uint32_t code) { return code >= '0' && code <= '9'; }

bool is_letter(uint32_t code) {
  if (code < 0x80) return (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(code));
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool is_latin(uint32_t code) { return code < 0x250 || (code >= 0x1E00 && code < 0x1F00); }

/// The codes that a character is folded to.
struct FoldedCodes {
  std::array<utf8proc_int32_t, 32> codes{};
  size_t n = 0;
};

FoldedCodes fold_code(uint32_t code) {
  FoldedCodes folded;
  folded.n = 1;
  if (code < 0x80) {
    folded.codes[0] = static_cast<int32_t>(code >= 'A' && code <= 'Z' ? code + 32 : code);
  } else if (code >= 0x4E00 && code <= 0x9FFF) {
    folded.codes[0] = static_cast<int32_t>(simplified(code));
  } else if (code == 0x2212) {
    folded.codes[0] = '-';
  } else if (code == 0x2019) {
    folded.codes[0] = '\'';
  } else {
    int boundary = 0;
    const auto n = utf8proc_decompose_char(
        static_cast<int32_t>(code), folded.codes.data(), static_cast<utf8proc_ssize_t>(folded.codes.size()),
        static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT | UTF8PROC_CASEFOLD |
                                       UTF8PROC_STRIPMARK | UTF8PROC_IGNORE),
        &boundary);
    folded.n = n < 0 || n > static_cast<utf8proc_ssize_t>(folded.codes.size()) ? 0 : static_cast<size_t>(n);
    for (size_t i = 0; i < folded.n; ++i) {
      folded.codes[i] = static_cast<int32_t>(simplified(static_cast<uint32_t>(folded.codes[i])));
    }
  }
  return folded;
}

/// The first code that the character at `at` is folded to; 0 at the end.
uint32_t folded_at(std::string_view text, size_t at) {
  const Utf8Char next = decode_utf8(text, at);
  if (next.length == 0) return 0;
  const FoldedCodes folded = fold_code(next.code);
  return folded.n == 0 ? 0 : static_cast<uint32_t>(folded.codes[0]);
}

bool is_thousands_separator(std::string_view text, size_t comma) {
  for (size_t i = 1; i <= 3; ++i) {
    if (!is_digit(folded_at(text, comma + i))) return false;
  }
  return !is_digit(folded_at(text, comma + 4));
}

/// Whether `word` is `base` with an ending of English.
bool is_inflected(std::string_view word, std::string_view base) {
  if (base.size() < 4 || !word.starts_with(base)) return false;
  const std::string_view ending = word.substr(base.size());
  return ending == "s" || ending == "es" || ending == "d" || ending == "ed" || ending == "ing";
}

/// Equal for equal units; for others but once in 2^64.
std::vector<uint64_t> hashes_of(const FoldedText& text) {
  std::vector<uint64_t> hashes(text.units().size());
  for (size_t i = 0; i < hashes.size(); ++i) hashes[i] = std::hash<std::string_view>{}(text.folded(i));
  return hashes;
}

}  // namespace

/// Goes through the text once, keeping the word under way.
class FoldedText::Folder {
 public:
  explicit Folder(FoldedText& out) : out_(out), text_(out.text_) {}

  void run() {
    out_.units_.reserve(text_.size() / 3);
    while (at_ < text_.size()) {
      const Utf8Char next = decode_utf8(text_, at_);
      CHECK(next.length > 0, "a text ended before its end");
      end_ = at_ + static_cast<size_t>(next.length);
      if (next.code == '\\' && skip_command()) continue;
      const FoldedCodes folded = fold_code(next.code);
      for (size_t i = 0; i < folded.n; ++i) take(static_cast<uint32_t>(folded.codes[i]));
      at_ = end_;
    }
    end_word();
  }

 private:
  /// LaTeX's commands are nobody's language.
  bool skip_command() {
    size_t end = at_ + 1;
    while (end < text_.size() && (text_[end] | 0x20) >= 'a' && (text_[end] | 0x20) <= 'z') ++end;
    if (end == at_ + 1) return false;
    end_word();
    at_ = end;
    return true;
  }

  void take(uint32_t code) {
    if (is_han(code)) {
      end_word();
      begin_word(code, true);
      ++out_.n_han_;
      end_word();
    } else if (is_digit(code)) {
      if (kind_ != Kind::kNumber) end_word();
      if (kind_ == Kind::kNone)
        begin_word(code, false);
      else
        append(code);
      kind_ = Kind::kNumber;
    } else if (is_letter(code)) {
      if (kind_ == Kind::kNumber) end_word();
      if (kind_ == Kind::kNone)
        begin_word(code, false);
      else
        append(code);
      kind_ = Kind::kLetters;
      ++letters_since_dot_;
      if (!is_latin(code))
        ++out_.n_other_;
      else if (letters_since_dot_ == 2)
        ++out_.n_latin_;
    } else {
      punctuation(code);
    }
  }

  void punctuation(uint32_t code) {
    const uint32_t next = folded_at(text_, end_);
    if (kind_ == Kind::kNumber && code == '.' && is_digit(next)) return append(code);
    if (kind_ == Kind::kNumber && code == ',' && is_thousands_separator(text_, at_)) return;
    if (kind_ == Kind::kLetters && code == '\'' && is_letter(next)) return;
    if (kind_ == Kind::kLetters && (code == '+' || code == '#') && letters_since_dot_ <= 2)
      return append(code);
    if (kind_ == Kind::kLetters && code == '.' && letters_since_dot_ == 1) {  // an abbreviation
      letters_since_dot_ = 0;
      if (!is_letter(next)) end_word();
      return;
    }
    const bool was_in_word = kind_ != Kind::kNone;
    end_word();
    switch (code) {
      case '-':
        if (!was_in_word && is_digit(next)) begin_word(code, false), kind_ = Kind::kNumber;
        break;
      case '%':
        begin_word(code, false);
        end_word();
        break;
      case '\n':
      case '!':
      case '?':
      case 0x3002:  // 。
        end_sentence();
        break;
      case '.':
        if (next == 0 || next == ' ' || next == '\n' || next == '.' || next >= 0x80) end_sentence();
        break;
      case ',':
      case 0x3001:  // 、
      case ';':
      case ':':
      case '(':
      case ')':
      case '|':
      case 0x2014:  // —
        end_clause();
        break;
      default:
        break;
    }
  }

  enum class Kind { kNone, kLetters, kNumber };

  void begin_word(uint32_t code, bool han) {
    TextUnit unit;
    unit.begin = static_cast<uint32_t>(at_);
    unit.fold_begin = static_cast<uint32_t>(out_.folded_.size());
    unit.clause = clause_;
    unit.sentence = sentence_;
    unit.is_han = han;
    out_.units_.push_back(unit);
    letters_since_dot_ = 0;
    kind_ = Kind::kLetters;
    append(code);
  }
  void append(uint32_t code) {
    append_utf8(out_.folded_, code);
    out_.units_.back().end = static_cast<uint32_t>(end_);
    out_.units_.back().fold_end = static_cast<uint32_t>(out_.folded_.size());
  }
  void end_word() { kind_ = Kind::kNone; }
  void end_clause() {
    if (!out_.units_.empty() && out_.units_.back().clause == clause_) ++clause_;
  }
  void end_sentence() {
    end_clause();
    if (!out_.units_.empty() && out_.units_.back().sentence == sentence_) ++sentence_;
  }

  FoldedText& out_;
  std::string_view text_;
  size_t at_ = 0, end_ = 0;  // the character under way
  Kind kind_ = Kind::kNone;
  int letters_since_dot_ = 0;
  uint32_t clause_ = 0, sentence_ = 0;
};

FoldedText::FoldedText(std::string_view text) : text_(text) {
  CHECK(text.size() < std::numeric_limits<uint32_t>::max() / 8, "a text of {} bytes", text.size());
  Folder(*this).run();
}

std::string_view FoldedText::folded(size_t unit) const {
  const TextUnit& at = units_[unit];
  return std::string_view(folded_).substr(at.fold_begin, at.fold_end - at.fold_begin);
}

bool FoldedText::starts_at(const Phrase& phrase, size_t unit) const {
  if (phrase.empty() || phrase.size() > units_.size() - std::min(unit, units_.size())) return false;
  for (size_t i = 0; i < phrase.size(); ++i) {
    const std::string_view word = folded(unit + i);
    if (word != phrase[i] && !is_inflected(word, phrase[i])) return false;
  }
  return true;
}

std::vector<TextMatch> FoldedText::find(const Phrase& phrase) const {
  std::vector<TextMatch> matches;
  for (size_t i = 0; i + phrase.size() <= units_.size() && matches.size() < kMaxMatches; ++i) {
    if (starts_at(phrase, i)) matches.push_back({i, i + phrase.size()});
  }
  return matches;
}

std::string FoldedText::quote(TextMatch match) const {
  if (match.begin >= match.end || match.end > units_.size()) return {};
  constexpr size_t kAround = 6;  // units
  const size_t first = match.begin - std::min(match.begin, kAround);
  const size_t last = std::min(match.end + kAround, units_.size()) - 1;
  return one_line(text_.substr(units_[first].begin, units_[last].end - units_[first].begin));
}

Phrase fold_phrase(std::string_view text) {
  const std::string valid = replace_invalid_utf8(text);
  const FoldedText folded(valid);
  Phrase phrase;
  for (size_t i = 0; i < folded.units().size(); ++i) phrase.emplace_back(folded.folded(i));
  return phrase;
}

std::vector<Phrase> fold_phrases(std::span<const std::string> texts) {
  std::vector<Phrase> phrases;
  for (const std::string& text : texts) phrases.push_back(fold_phrase(text));
  return phrases;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && static_cast<unsigned char>(text.front()) <= ' ') text.remove_prefix(1);
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.remove_suffix(1);
  return text;
}

std::string one_line(std::string_view text, size_t limit) {
  std::string line;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char next = decode_utf8(text, at);
    if (line.size() + static_cast<size_t>(next.length) > limit) return line + "…";
    const bool is_space = next.code <= 0x20 || next.code == 0x7F;
    if (is_space) {
      if (!line.empty() && line.back() != ' ') line += ' ';
    } else {
      append_utf8(line, next.is_valid ? next.code : 0xFFFD);
    }
    at += static_cast<size_t>(next.length);
  }
  while (line.ends_with(' ')) line.pop_back();
  return line;
}

double distinct_4gram_ratio(const FoldedText& text) {
  const std::vector<uint64_t> words = hashes_of(text);
  if (words.size() < 4) return 1;
  std::unordered_set<uint64_t> seen;
  seen.reserve(words.size());
  for (size_t i = 0; i + 4 <= words.size(); ++i) {
    uint64_t gram = 0;
    for (size_t k = 0; k < 4; ++k) gram = (gram ^ words[i + k]) * 0x9E3779B97F4A7C15u + (gram >> 29);
    seen.insert(gram);
  }
  return static_cast<double>(seen.size()) / static_cast<double>(words.size() - 3);
}

TextMatch find_cycle(const FoldedText& text, size_t min_units) {
  const std::vector<uint64_t> words = hashes_of(text);
  const size_t n = words.size();
  TextMatch best;
  for (size_t period = 1; period <= kMaxPeriod && 3 * period <= n; ++period) {
    size_t begin = 0;  // where the stretch that repeats with this period began
    for (size_t i = period; i <= n; ++i) {
      if (i < n && words[i] == words[i - period]) continue;
      const size_t length = i - begin;
      if (length >= std::max(3 * period, min_units) && length > best.end - best.begin) best = {begin, i};
      begin = i + 1 - period;
    }
  }
  return best;
}

}  // namespace chaski
