// plain_arithmetic: one way to write everything.
#include <array>
#include <utility>

#include "base/utf8.h"
#include "lab/ascii.h"
#include "lab/numbers_in_text_tokens.h"
#include "lab/simplified_characters.h"

namespace chaski {
namespace {

constexpr int kMaxBraces = 8;

struct Spelling {
  uint32_t code;
  std::string_view plain;
};
constexpr std::array kSpellings = std::to_array<Spelling>({
    {0x3000, " "},    {0x00A0, " "},    {0x2009, " "},    {0x202F, " "},    {0xFF0C, ", "},
    {0x3001, ", "},   {0x3002, "。"},   {0xFF01, "! "},   {0xFF1F, "? "},   {0xFF1B, "; "},
    {0xFF1A, ": "},   {0x2212, "-"},    {0x2013, "-"},    {0x2014, " "},    {0x00D7, "*"},
    {0x2715, "*"},    {0x22C5, "*"},    {0x00B7, "*"},    {0x00F7, "/"},    {0x2215, "/"},
    {0x2044, "/"},    {0x2236, ":"},    {0x2248, "~"},    {0x2243, "~"},    {0x2245, "~"},
    {0x2252, "~"},    {0x2026, "..."},  {0x00B2, "^2"},   {0x00B3, "^3"},   {0x00BD, " 1/2"},
    {0x00BC, " 1/4"}, {0x00BE, " 3/4"}, {0x2153, " 1/3"}, {0x2154, " 2/3"}, {0x215B, " 1/8"},
    {0x2103, "℃"},
});

struct Command {
  std::string_view name, plain;
};
/// Of LaTeX; all others break an expression.
constexpr std::array kCommands = std::to_array<Command>({
    {"times", "*"},
    {"cdot", "*"},
    {"div", "/"},
    {"approx", "~"},
    {"left", ""},
    {"right", ""},
    {"text", ""},
    {"mathrm", ""},
    {"mathbf", ""},
    {"textbf", ""},
    {"quad", " "},
    {"qquad", " "},
    {"displaystyle", ""},
    {"mbox", ""},
    {"ldots", "..."},
    {"cdots", "..."},
    {"dots", "..."},
    {"bf", ""},
});

bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
/// Rewrites a text; braces of LaTeX's arguments are followed to a depth.
class Plainer {
 public:
  explicit Plainer(std::string_view text) : text_(text) {}

  std::string run() {
    while (at_ < text_.size()) step(0);
    return std::move(out_);
  }

 private:
  bool has(std::string_view word) const { return text_.substr(at_).starts_with(word); }

  void step(int depth) {
    const char c = text_[at_];
    if (c == '\\') return command(depth);
    if (static_cast<unsigned char>(c) >= 0x80) return wide();
    ++at_;
    if (c == '*' && at_ < text_.size() && text_[at_] == '*') {  // a power of Python's, or bold
      ++at_;
      const bool is_power =
          !out_.empty() && is_ascii_digit(out_.back()) && at_ < text_.size() && is_ascii_digit(text_[at_]);
      if (is_power) out_ += '^';
    } else if (c == '$' || c == '`' || c == '{' || c == '}') {
      out_ += ' ';
    } else if (static_cast<unsigned char>(c) < 0x20 && c != '\n') {
      out_ += ' ';
    } else {
      out_ += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    }
  }

  void wide() {
    const Utf8Char next = decode_utf8(text_, at_);
    at_ += static_cast<size_t>(next.length);
    for (const Spelling& spelling : kSpellings) {
      if (spelling.code == next.code) {
        out_ += spelling.plain;
        return;
      }
    }
    if (next.code > 0xFF00 && next.code < 0xFF5F) {
      const char narrow = static_cast<char>(next.code - 0xFEE0);
      out_ += narrow >= 'A' && narrow <= 'Z' ? static_cast<char>(narrow + 32) : narrow;
    } else {
      append_utf8(out_, next.is_valid ? simplified(next.code) : 0xFFFD);
    }
  }

  void command(int depth) {
    const size_t begin = ++at_;
    while (at_ < text_.size() && is_ascii_letter(text_[at_])) ++at_;
    const std::string_view name = text_.substr(begin, at_ - begin);
    if (name.empty()) {  // \( \[ \, \% …
      const char c = at_ < text_.size() ? text_[at_++] : ' ';
      out_ += c == '%' ? '%' : ' ';
    } else if (name == "boxed" || name == "fbox") {
      out_ += kBoxBegin;
      argument(depth);
      out_ += kBoxEnd;
    } else if (name == "frac" || name == "dfrac" || name == "tfrac") {
      fraction(depth);
    } else {
      for (const Command& known : kCommands) {
        if (known.name == name) {
          out_ += known.plain;
          return;
        }
      }
      out_ += " \\ ";  // breaks an expression
    }
  }

  /// What stands in braces, or one character.
  void argument(int depth) {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    if (at_ == text_.size()) return;
    if (text_[at_] != '{' || depth >= kMaxBraces) return step(depth + 1);
    ++at_;
    int open = 0;
    while (at_ < text_.size() && (text_[at_] != '}' || open > 0) && text_[at_] != '\n') {
      if (text_[at_] == '{') ++open;
      if (text_[at_] == '}') --open;
      step(depth + 1);
    }
    if (at_ < text_.size() && text_[at_] == '}') ++at_;
  }

  void fraction(int depth) {
    if (depth >= kMaxBraces) return;
    std::string before = std::exchange(out_, {});
    argument(depth);
    const std::string above = std::exchange(out_, {});
    argument(depth);
    const std::string below = std::exchange(out_, std::move(before));
    const auto is_number = [](const std::string& part) {
      return !part.empty() && part.find_first_not_of("0123456789") == std::string::npos;
    };
    if (is_number(above) && is_number(below)) {
      if (!out_.empty() && is_ascii_digit(out_.back())) out_ += ' ';  // a mixed number
      out_ += above + "/" + below;
    } else {
      out_ += "((" + above + ")/(" + below + "))";
    }
  }

  std::string_view text_;
  size_t at_ = 0;
  std::string out_;
};

}  // namespace

std::string plain_arithmetic(std::string_view text) { return Plainer(text).run(); }

}  // namespace chaski
