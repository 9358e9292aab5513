#include "lab/scorer_markup.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/utf8.h"
#include "lab/ascii.h"
#include "lab/scorer_text.h"

namespace chaski {
namespace {

constexpr size_t kMaxSpecialBytes = 40;  // of "<|…|>"
constexpr size_t kMaxTagBytes = 400;
constexpr size_t kMaxFilledBytes = 40;  // of what "…" stands for in a placeholder
constexpr std::string_view kFilled = "…";

/// Bytes of the placeholder at the beginning of the text, 0 for none. "…" in the pattern stands for some
/// words, so that "{{…}}" is "{{ name }}" and not what closes LaTeX's groups or Python's dicts.
size_t placeholder_at(std::string_view text, std::string_view pattern) {
  const size_t gap = pattern.find(kFilled);
  if (gap == std::string_view::npos) {
    const bool goes_on = is_ascii_letter(pattern.back()) && text.size() > pattern.size() &&
                         is_ascii_letter(text[pattern.size()]);
    return text.starts_with(pattern) && !goes_on ? pattern.size() : 0;
  }
  const std::string_view close = pattern.substr(gap + kFilled.size());
  if (!text.starts_with(pattern.substr(0, gap))) return 0;
  const size_t begin = gap, last = std::min(text.size(), begin + kMaxFilledBytes);
  size_t end = begin;
  while (end < last && (is_ascii_letter(text[end]) || is_ascii_digit(text[end]) || text[end] == ' ' ||
                        text[end] == '_' || text[end] == '\'' || (text[end] & 0x80) != 0)) {
    ++end;
  }
  const bool has_words = end > begin && !trimmed(text.substr(begin, end - begin)).empty();
  return has_words && text.substr(end).starts_with(close) ? end + close.size() : 0;
}

/// Whether what stands there is part of a formula, of code between backticks, or of a longer word.
bool is_inside(std::string_view line, size_t at) {
  if (at > 0) {
    const bool is_quoted = at > 1 && (line[at - 1] == '"' || line[at - 1] == '\'');
    const char before = line[at - (is_quoted ? 2 : 1)];  // of f"{{x}}" the f
    constexpr std::string_view kGlue = "\\^_{}[";
    if (is_ascii_letter(before) || is_ascii_digit(before) || kGlue.find(before) != std::string_view::npos)
      return true;
  }
  const std::string_view head = line.substr(0, at);
  for (const char mark : {'`', '$'}) {
    const bool is_open = std::count(head.begin(), head.end(), mark) % 2 != 0;
    if (is_open && line.find(mark, at) != std::string_view::npos) return true;
  }
  const auto is_between = [&](std::string_view open, std::string_view close) {
    const size_t begin = head.rfind(open);
    return begin != std::string_view::npos && head.find(close, begin) == std::string_view::npos;
  };
  return is_between("\\(", "\\)") || is_between("\\[", "\\]");
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

class Splitter {
 public:
  Splitter(std::string_view prompt, const Rubric& rubric) : rubric_(rubric) {
    const std::string asked = lower(prompt);
    const auto& topics = rubric.words.at("markup_topics");
    wants_markup_ = std::any_of(topics.begin(), topics.end(), [&](const std::string& topic) {
      return asked.find(topic) != std::string::npos;
    });
  }

  AnswerParts run(std::string_view answer) {
    const std::string_view begin = trimmed(answer);
    if (begin.starts_with('>')) {
      const size_t end = std::min(begin.find_first_not_of("> "), begin.size());
      note(begin.substr(0, std::min<size_t>(end, 8)));
      answer = begin.substr(end);
    }
    while (!answer.empty()) {
      const size_t end = answer.find('\n');
      line(answer.substr(0, end));
      if (end == std::string_view::npos) break;
      answer.remove_prefix(end + 1);
    }
    const double share =
        n_bytes_ == 0 ? 0 : static_cast<double>(n_tag_bytes_) / static_cast<double>(n_bytes_);
    parts_.is_page = has_page_ || (n_tag_bytes_ > 0 && share > rubric_.limits.at("markup_page_share"));
    parts_.is_finished = is_finished();
    return std::move(parts_);
  }

 private:
  void note(std::string_view noise) {
    if (!parts_.noise.empty()) return;
    parts_.noise = one_line(noise);
    if (parts_.noise.empty()) parts_.noise = printable(noise);  // a control character
  }

  void line(std::string_view line) {
    const std::string_view text = trimmed(line);
    if (text.starts_with("```") || text.starts_with("~~~")) return fence(text);
    if (is_in_code_) {
      parts_.blocks.back().code.append(line).push_back('\n');
      parts_.text.append(line).push_back('\n');
      return;
    }
    n_bytes_ += text.size();
    const size_t marks = std::min(text.find_first_not_of('#'), text.size());
    if (marks >= 1 && marks <= 6 && marks < text.size() && text[marks] == ' ') parts_.has_heading = true;
    const std::string clean = without_noise(without_header(text, line));
    parts_.text.append(clean).push_back('\n');
    parts_.prose.append(clean).push_back('\n');
  }

  void fence(std::string_view text) {
    const std::string_view rest = trimmed(text.substr(3));
    if (is_in_code_) {
      is_in_code_ = false;
    } else if (const size_t end = rest.find("```"); end != std::string_view::npos) {  // all on one line
      parts_.text.append(rest.substr(0, end)).push_back('\n');
      parts_.prose.append(rest.substr(0, end)).push_back('\n');
    } else {
      is_in_code_ = true;
      parts_.blocks.push_back({lower(rest.substr(0, std::min<size_t>(rest.find(' '), 20))), {}});
    }
    parts_.prose.push_back('\n');
  }

  /// A line that opens somebody's turn.
  std::string_view without_header(std::string_view text, std::string_view line) {
    const std::string begin = lower(text.substr(0, 40));
    for (const std::string& header : rubric_.words.at("role_headers")) {
      if (!begin.starts_with(header)) continue;
      note(text.substr(0, header.size()));
      return text.substr(header.size());
    }
    if (begin == "assistant" || begin == "user" || begin == "system") {
      note(text);
      return {};
    }
    return line;
  }

  std::string without_noise(std::string_view line) {
    std::string out;
    for (size_t at = 0; at < line.size();) {
      const size_t size = noise_at(line, at);
      if (size > 0) {
        note(line.substr(at, size));
        out += ' ';
        at += size;
      } else {
        out += line[at++];
      }
    }
    return out;
  }

  /// Bytes of the noise that begins there, 0 for none.
  size_t noise_at(std::string_view line, size_t at) {
    const unsigned char first = static_cast<unsigned char>(line[at]);
    const std::string_view rest = line.substr(at);
    if ((first < ' ' && first != '\t' && first != '\r') || first == 0x7F) return 1;
    if (rest.starts_with("\xEF\xBF\xBD")) return 3;  // U+FFFD
    if (rest.starts_with("<|")) {
      const size_t end = rest.substr(0, kMaxSpecialBytes).find("|>");
      if (end != std::string_view::npos) return end + 2;
    }
    if (first != '<' && first != '[' && first != '{' && !is_ascii_letter(line[at])) return 0;
    for (const std::string& token : rubric_.words.at("special_tokens")) {
      if (rest.starts_with(token)) return token.size();
    }
    for (const std::string& placeholder : rubric_.words.at("placeholders")) {
      const size_t size = placeholder_at(rest, placeholder);
      if (size == 0 || is_inside(line, at)) continue;
      note(rest.substr(0, size));  // its words stay: they may be the answer
      return 0;
    }
    return first == '<' && !wants_markup_ ? tag_at(rest) : 0;
  }

  /// Behind a tag's name: its end, or an attribute with a value; "a <b and c> d" has neither.
  static bool ends_as_tag(std::string_view rest) {
    const size_t begin = std::min(rest.find_first_not_of(" /"), rest.size());
    if (rest.substr(begin).starts_with('>')) return true;
    if (begin == 0) return false;
    size_t end = begin;
    while (end < rest.size() && (is_ascii_letter(rest[end]) || rest[end] == '-')) ++end;
    return end > begin && rest.substr(end).starts_with('=') && !rest.substr(end).starts_with("==");
  }

  /// "<div class=…>", "</p>", "<!DOCTYPE html>", "<!-- … -->".
  size_t tag_at(std::string_view rest) {
    size_t begin = rest.size() > 1 && (rest[1] == '/' || rest[1] == '!') ? 2 : 1;
    size_t end = begin;
    while (end < rest.size() &&
           (is_ascii_letter(rest[end]) || (end > begin && rest[end] >= '0' && rest[end] <= '9')))
      ++end;
    const std::string name = lower(rest.substr(begin, std::min<size_t>(end - begin, 20)));
    const size_t close = rest.substr(0, kMaxTagBytes).find('>');
    const bool is_comment = rest.starts_with("<!--");
    const auto& known = rubric_.words.at("html_tags");
    const bool is_known =
        is_comment || name == "doctype" ||
        (std::find(known.begin(), known.end(), name) != known.end() && ends_as_tag(rest.substr(end)));
    if (!is_known || close == std::string_view::npos) return 0;
    n_tag_bytes_ += close + 1;
    has_page_ = has_page_ || name == "html" || name == "body" || name == "doctype" || name == "head";
    return close + 1;
  }

  bool is_finished() const {
    if (is_in_code_) return false;
    const std::string_view text = trimmed(parts_.text);
    if (text.empty() || parts_.prose.empty() || trimmed(parts_.prose).empty()) return true;
    constexpr std::array<std::string_view, 16> kEnds = {"。", "！", "？", "…", "”",  "」", "）", "～",
                                                        ".",  "!",  "?",  ")", "\"", "$",  "]",  "*"};
    return std::any_of(kEnds.begin(), kEnds.end(), [&](std::string_view end) { return text.ends_with(end); });
  }

  const Rubric& rubric_;
  bool wants_markup_ = false, is_in_code_ = false, has_page_ = false;
  size_t n_bytes_ = 0, n_tag_bytes_ = 0;
  AnswerParts parts_;
};

}  // namespace

AnswerParts take_apart(std::string_view answer, std::string_view prompt, const Rubric& rubric) {
  const auto most = static_cast<size_t>(rubric.limits.at("max_answer_bytes"));
  const bool is_cut = answer.size() > most;
  answer = answer.substr(0, most);
  if (is_cut) answer.remove_suffix(incomplete_utf8_tail(answer));
  AnswerParts parts = Splitter(prompt, rubric).run(replace_invalid_utf8(answer));
  parts.is_cut = is_cut;
  return parts;
}

}  // namespace chaski
