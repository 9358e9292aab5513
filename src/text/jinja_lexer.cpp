// The lexer: text outside tags, tags, comments, raw blocks; and the tokens inside tags.
#include "text/jinja_lexer.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/utf8.h"
#include "text/jinja_text.h"

namespace chaski::jinja {

void syntax_error(int line, const std::string& message) {
  throw Error(ErrorCode::kCorrupt, "template", fmt::format("{} (template line {})", message, line));
}

namespace {

constexpr size_t kMaxTokens = 200'000;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_name_char(char c) { return is_name_start(c) || is_digit(c); }

int hex_digit(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Line ends become \n, and one at the very end is dropped.
std::string normalized(std::string_view source) {
  std::string text;
  text.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      text.push_back('\n');
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      text.push_back(source[i]);
    }
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalized(source)) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) lex_data();
    add(TokenKind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  bool follows(std::string_view text, size_t at) const { return source_.compare(at, text.size(), text) == 0; }
  void add(TokenKind kind, std::string text) {
    if (tokens_.size() >= kMaxTokens) syntax_error(line_, fmt::format("more than {} tokens", kMaxTokens));
    tokens_.push_back({kind, line_, std::move(text)});
  }

  void advance(size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    at_ = to;
  }
  size_t skip_space(size_t at) const {
    while (at < source_.size()) {
      const CodePoint c = code_point_at(source_, at);
      if (!is_python_space(c.code)) break;
      at += c.length;
    }
    return at;
  }
  bool is_space(size_t begin, size_t end) const { return skip_space_until(begin, end) == end; }
  size_t skip_space_until(size_t at, size_t end) const { return std::min(skip_space(at), end); }

  // After a tag: "-" strips all white space behind it, otherwise (and without "+") one line end goes.
  void end_tag(size_t to, char sign, bool trims_line_end) {
    if (sign == '-') {
      to = skip_space(to);
    } else if (sign != '+' && trims_line_end && to < source_.size() && source_[to] == '\n') {
      ++to;
    }
    is_line_start_ = to > 0 && source_[to - 1] == '\n';
    advance(to);
  }

  // The text before a tag that opens at `tag`, with the white space taken off that the tag's sign asks for.
  void add_data(size_t tag, char sign, bool is_variable) {
    std::string_view text = std::string_view(source_).substr(at_, tag - at_);
    if (sign == '-') {
      const MarkedText stripped = strip(MarkedText(std::string(text)), false, true, is_python_space);
      text = text.substr(0, stripped.size());
    } else if (sign != '+' && !is_variable) {
      const size_t line_begin = text.rfind('\n') == std::string_view::npos ? 0 : text.rfind('\n') + 1;
      if ((line_begin > 0 || is_line_start_) && is_space(at_ + line_begin, tag))
        text = text.substr(0, line_begin);
    }
    if (!text.empty()) add(TokenKind::kData, std::string(text));
  }

  size_t find_tag(size_t from) const {
    for (size_t at = source_.find('{', from); at != std::string::npos; at = source_.find('{', at + 1)) {
      if (at + 1 < source_.size() &&
          (source_[at + 1] == '{' || source_[at + 1] == '%' || source_[at + 1] == '#')) {
        return at;
      }
    }
    return std::string::npos;
  }

  char sign_at(size_t at) const {
    return at < source_.size() && (source_[at] == '-' || source_[at] == '+') ? source_[at] : '\0';
  }

  void lex_data() {
    const size_t tag = find_tag(at_);
    if (tag == std::string::npos) {
      add(TokenKind::kData, source_.substr(at_));
      return advance(source_.size());
    }
    const char kind = source_[tag + 1];
    const char sign = sign_at(tag + 2);
    const size_t inside = tag + 2 + (sign != '\0' ? 1 : 0);
    add_data(tag, sign, kind == '{');
    advance(inside);
    if (kind == '#') return lex_comment();
    if (kind == '%' && lex_raw()) return;
    add(kind == '{' ? TokenKind::kVariableBegin : TokenKind::kBlockBegin, "");
    lex_tag(kind == '{');
  }

  void lex_comment() {
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) syntax_error(line_, "Missing end of comment tag");
    const char sign = end > at_ ? sign_at(end - 1) : '\0';
    end_tag(end + 2, sign, true);
  }

  // {% raw %} … {% endraw %} at the begin of a block tag; false where it is another tag.
  bool lex_raw() {
    size_t at = skip_space(at_);
    if (!follows("raw", at)) return false;
    at = skip_space(at + 3);
    const char sign = follows("-%}", at) ? '-' : '\0';
    if (sign == '\0' && !follows("%}", at)) return false;
    end_tag(at + (sign != '\0' ? 3 : 2), sign, false);
    for (size_t tag = source_.find("{%", at_); tag != std::string::npos; tag = source_.find("{%", tag + 1)) {
      const char begin_sign = sign_at(tag + 2);
      size_t end = skip_space(tag + 2 + (begin_sign != '\0' ? 1 : 0));
      if (!follows("endraw", end)) continue;
      end = skip_space(end + 6);
      const char end_sign = sign_at(end);
      if (end_sign != '\0') ++end;
      if (!follows("%}", end)) continue;
      add_data(tag, begin_sign, false);
      end_tag(end + 2, end_sign, true);
      return true;
    }
    syntax_error(line_, "Missing end of raw directive");
  }

  void lex_tag(bool is_variable) {
    const std::string_view close = is_variable ? "}}" : "%}";
    std::vector<char> open;
    while (true) {
      if (at_ >= source_.size()) return;  // the parser says what is missing
      if (open.empty()) {
        const char sign = sign_at(at_);
        const bool is_signed = sign == '-' || (sign == '+' && !is_variable);
        const size_t end = at_ + (is_signed ? 1 : 0);
        if (follows(close, end)) {
          add(is_variable ? TokenKind::kVariableEnd : TokenKind::kBlockEnd, "");
          return end_tag(end + 2, is_signed ? sign : '\0', !is_variable);
        }
      }
      lex_token(open);
    }
  }

  void lex_token(std::vector<char>& open) {
    const size_t after_space = skip_space(at_);
    if (after_space > at_) return advance(after_space);
    const char c = source_[at_];
    if (is_digit(c)) return lex_number();
    if (is_name_start(c)) {
      size_t end = at_;
      while (end < source_.size() && is_name_char(source_[end])) ++end;
      add(TokenKind::kName, source_.substr(at_, end - at_));
      return advance(end);
    }
    if (c == '"' || c == '\'') return lex_string(c);
    lex_operator(open);
  }

  // Digits, single underscores between them allowed.
  size_t skip_digits(size_t at) const {
    while (at < source_.size() &&
           (is_digit(source_[at]) || (source_[at] == '_' && at + 1 < source_.size() &&
                                      is_digit(source_[at + 1]) && is_digit(source_[at - 1])))) {
      ++at;
    }
    return at;
  }

  void lex_number() {
    size_t end = skip_digits(at_);
    bool is_float = false;
    const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
    if (!after_dot) {
      if (end + 1 < source_.size() && source_[end] == '.' && is_digit(source_[end + 1])) {
        end = skip_digits(end + 1);
        is_float = true;
      }
      size_t exponent = end;
      if (exponent < source_.size() && (source_[exponent] == 'e' || source_[exponent] == 'E')) {
        ++exponent;
        if (sign_at(exponent) != '\0') ++exponent;
        if (exponent < source_.size() && is_digit(source_[exponent])) {
          end = skip_digits(exponent);
          is_float = true;
        }
      }
    }
    if (!is_float && source_[at_] == '0') {
      const char base = at_ + 1 < source_.size() ? static_cast<char>(source_[at_ + 1] | 0x20) : '\0';
      if (base == 'x' || base == 'o' || base == 'b')
        syntax_error(line_, "numbers in another base are not supported");
      end = at_ + 1;
      while (end < source_.size() && source_[end] == '0') ++end;
    }
    std::string digits = source_.substr(at_, end - at_);
    digits.erase(std::remove(digits.begin(), digits.end(), '_'), digits.end());
    add(is_float ? TokenKind::kFloat : TokenKind::kInteger, std::move(digits));
    advance(end);
  }

  void lex_string(char quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size())
      syntax_error(line_, fmt::format("unexpected char {} (a string without end)", quote));
    add(TokenKind::kString, unescape(std::string_view(source_).substr(at_ + 1, end - at_ - 1)));
    advance(end + 1);
  }

  std::string unescape(std::string_view raw) const {
    std::string text;
    for (size_t i = 0; i < raw.size(); ++i) {
      if (raw[i] != '\\') {
        text.push_back(raw[i]);
        continue;
      }
      const char c = raw[++i];  // there is one: a backslash never ends a string
      constexpr std::string_view kNames = "abfnrtv\\'\"";
      constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
      if (const size_t known = kNames.find(c); known != std::string_view::npos) {
        text.push_back(kMeanings[known]);
      } else if (c == '\n') {
        // A backslash at the end of a line joins it to the next.
      } else if (c >= '0' && c <= '7') {
        uint32_t code = 0;
        size_t n = 0;
        for (; n < 3 && i + n < raw.size() && raw[i + n] >= '0' && raw[i + n] <= '7'; ++n) {
          code = code * 8 + static_cast<uint32_t>(raw[i + n] - '0');
        }
        append_utf8(text, code);
        i += n - 1;
      } else if (c == 'x' || c == 'u' || c == 'U') {
        i += append_hex_escape(text, raw.substr(i + 1), c == 'x' ? 2 : c == 'u' ? 4 : 8);
      } else if (c == 'N') {
        syntax_error(line_, "named characters in strings are not supported");
      } else if (static_cast<unsigned char>(c) >= 0x80) {
        // Python escapes what is not ASCII before it reads escapes, so the backslash meets an escape, not the
        // character.
        const CodePoint point = code_point_at(raw, i);
        text += point.code < 0x100     ? fmt::format("\\x{:02x}", point.code)
                : point.code < 0x10000 ? fmt::format("\\u{:04x}", point.code)
                                       : fmt::format("\\U{:08x}", point.code);
        i += point.length - 1;
      } else {
        text.push_back('\\');
        text.push_back(c);
      }
    }
    return text;
  }

  size_t append_hex_escape(std::string& text, std::string_view digits, size_t n) const {
    uint32_t code = 0;
    if (digits.size() < n) syntax_error(line_, "truncated escape in a string");
    for (size_t i = 0; i < n; ++i) {
      const int digit = hex_digit(digits[i]);
      if (digit < 0) syntax_error(line_, "truncated escape in a string");
      code = code * 16 + static_cast<uint32_t>(digit);
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
      syntax_error(line_, "illegal character in a string");
    append_utf8(text, code);
    return n;
  }

  void lex_operator(std::vector<char>& open) {
    constexpr std::array<std::string_view, 27> kOperators = {
        "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]",
        "(",  ")",  "{",  "}",  ">",  "<",  "=", ".", ":", "|", ",", ";", ""};
    for (const std::string_view op : kOperators) {
      if (op.empty()) break;
      if (!follows(op, at_)) continue;
      const char c = op.front();
      if (c == '{' || c == '(' || c == '[') {
        open.push_back(c == '{' ? '}' : c == '(' ? ')' : ']');
      } else if (c == '}' || c == ')' || c == ']') {
        if (open.empty() || open.back() != c) syntax_error(line_, fmt::format("unexpected '{}'", c));
        open.pop_back();
      }
      add(TokenKind::kOperator, std::string(op));
      return advance(at_ + op.size());
    }
    syntax_error(line_, fmt::format("unexpected char '{}'", printable(source_.substr(at_, 1))));
  }

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool is_line_start_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) { return Lexer(source).run(); }

}  // namespace chaski::jinja
