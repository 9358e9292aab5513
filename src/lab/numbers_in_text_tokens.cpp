#include "lab/numbers_in_text_tokens.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/utf8.h"
#include "lab/ascii.h"
#include "lab/number_units.h"
#include "lab/numbers_in_text_read.h"

namespace chaski {
namespace {

using Kind = MathToken::Kind;

constexpr size_t kMaxHanOfUnit = 4;  // "5个苹果 + 3个苹果"

struct OperatorWord {
  std::string_view word;
  char op;
};
constexpr std::array kOperatorWords = std::to_array<OperatorWord>({{"等于", '='},
                                                                   {"约等于", '~'},
                                                                   {"加上", '+'},
                                                                   {"加", '+'},
                                                                   {"减去", '-'},
                                                                   {"减", '-'},
                                                                   {"乘以", '*'},
                                                                   {"乘", '*'},
                                                                   {"除以", '/'},
                                                                   {"余数是", 'r'},
                                                                   {"余", 'r'},
                                                                   {"equals", '='},
                                                                   {"is equal to", '='},
                                                                   {"plus", '+'},
                                                                   {"minus", '-'},
                                                                   {"times", '*'},
                                                                   {"multiplied by", '*'},
                                                                   {"divided by", '/'},
                                                                   {"remainder", 'r'}});

/// Reads tokens off the front of a plain text, one at a time.
class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  std::vector<MathToken> run() {
    while (at_ < text_.size()) {
      if (!number() && !operator_word()) symbol();
    }
    return std::move(tokens_);
  }

 private:
  std::string_view rest(size_t more = 0) const { return text_.substr(std::min(at_ + more, text_.size())); }

  bool last_is_value() const {
    return !tokens_.empty() && (tokens_.back().kind == Kind::kNumber ||
                                (tokens_.back().kind == Kind::kOperator && tokens_.back().op == ')'));
  }
  bool last_is_operator() const {
    return !tokens_.empty() && tokens_.back().kind == Kind::kOperator && tokens_.back().op != ')';
  }

  MathToken& add(Kind kind, size_t size, char op = 0) {
    MathToken token;
    token.kind = kind;
    token.op = op;
    token.begin = at_;
    token.end = at_ += size;
    tokens_.push_back(token);
    return tokens_.back();
  }

  /// A sign, then digits or number words, then what belongs to them.
  bool number() {
    size_t sign = 0;
    constexpr std::string_view kMinus = "负";
    if (rest().starts_with(kMinus)) sign = kMinus.size();
    const bool is_glued = at_ > 0 && is_ascii_letter(text_[at_ - 1]);
    if (rest().starts_with('-') && !last_is_value() && !is_glued) {
      sign = 1;
      if (last_is_operator() && rest(1).starts_with(' ')) sign = 2;
    }
    const std::string_view text = rest(sign);
    const bool is_word_start = at_ + sign == 0 || !is_ascii_letter(text_[at_ + sign - 1]);
    NumberRead read = read_number(text, is_word_start);
    if (read.size == 0) return false;
    if (!read.value) {  // it does not fit
      add(Kind::kBreak, sign + read.size);
      return true;
    }
    if (sign > 0) read.value->num = -read.value->num;
    MathToken& token = add(Kind::kNumber, sign + read.size);
    token.is_weak = read.is_weak || is_glued;
    token.below = read.below;
    token.above = read.below / read.value->den * read.value->num;
    token.quantity.value = *read.value;
    token.quantity.decimals = read.decimals;
    token.quantity.is_percent = read.is_percent;
    after_number(token.quantity);
    return true;
  }

  /// Percent signs and units; and words between a number and an operator, as in "5个苹果 + 3个苹果".
  void after_number(Quantity& quantity) {
    size_t space = 0;
    while (rest(space).starts_with(' ')) ++space;
    if (rest(space).starts_with('%')) {
      if (const auto value = divide(quantity.value, Rational{100, 1})) quantity.value = *value;
      quantity.is_percent = true;
      at_ += space + 1;
      return;
    }
    if (const NumberUnit* unit = unit_at(rest(space))) {
      quantity.unit = unit->name;
      at_ += space + unit->name.size();
    }
    if (const size_t size = counted_thing(rest()); size > 0) at_ += size;
  }

  /// Bytes of "个苹果 " or "(个)" before an operator, or 0.
  static size_t counted_thing(std::string_view text) {
    size_t at = 0;
    const bool is_bracketed = text.starts_with('(');
    if (is_bracketed) at = 1;
    size_t n_wide = 0;
    while (at < text.size() && n_wide <= kMaxHanOfUnit && static_cast<unsigned char>(text[at]) >= 0x80) {
      if (operator_at(text.substr(at)) != nullptr || begins_with_han_digit(text.substr(at))) break;
      const Utf8Char next = decode_utf8(text, at);
      if (next.code < 0x4E00 || next.code > 0x9FFF) break;
      at += static_cast<size_t>(next.length);
      ++n_wide;
    }
    if (n_wide == 0 || n_wide > kMaxHanOfUnit) return 0;
    if (is_bracketed) return text.substr(at).starts_with(')') ? at + 1 : 0;
    size_t end = at;
    while (end < text.size() && text[end] == ' ') ++end;
    const bool is_before_operator =
        end < text.size() && std::string_view("+-*/=~").find(text[end]) != std::string_view::npos;
    return is_before_operator ? at : 0;
  }

  static const OperatorWord* operator_at(std::string_view text) {
    for (const OperatorWord& word : kOperatorWords) {
      if (text.starts_with(word.word)) return &word;
    }
    return nullptr;
  }

  bool operator_word() {
    const bool is_glued = at_ > 0 && is_ascii_letter(text_[at_ - 1]) && is_ascii_letter(text_[at_]);
    const OperatorWord* word = is_glued ? nullptr : operator_at(rest());
    if (word == nullptr) return false;
    const std::string_view after = rest(word->word.size());
    if (is_ascii_letter(word->word.back()) && !after.empty() && is_ascii_letter(after[0])) return false;
    add(Kind::kOperator, word->word.size(), word->op);
    return true;
  }

  void symbol() {
    const char c = text_[at_];
    const std::string_view after = rest(1);
    if (c == ' ') {
      ++at_;
    } else if (std::string_view("+-*/^()=~").find(c) != std::string_view::npos) {
      add(Kind::kOperator, 1, c);
    } else if (c == 'x' && last_is_value() && !after.empty() && !is_ascii_letter(after[0])) {
      add(Kind::kOperator, 1, '*');
    } else if (rest().starts_with("...") && last_is_value()) {
      size_t size = 3;
      while (rest(size).starts_with('.')) ++size;
      add(is_ascii_digit(rest(size).empty() ? ' ' : rest(size)[0]) ? Kind::kOperator : Kind::kBreak, size,
          'r');
    } else if (c == '\n' || c == '!' || c == '?' || c == ';' || rest().starts_with("。")) {
      add(Kind::kSentenceEnd, static_cast<unsigned char>(c) >= 0x80 ? 3 : 1);
    } else if (c == '.' && (after.empty() || after[0] == ' ' || after[0] == '\n')) {
      add(Kind::kSentenceEnd, 1);
    } else {
      other();
    }
  }

  /// A word or a sign without meaning here; those in a row are one break.
  void other() {
    size_t size = 1;
    if (is_ascii_letter(text_[at_])) {
      while (at_ + size < text_.size() && is_ascii_letter(text_[at_ + size])) ++size;
    } else if (static_cast<unsigned char>(text_[at_]) >= 0x80) {
      size = std::max<size_t>(1, static_cast<size_t>(decode_utf8(text_, at_).length));
    }
    if (!tokens_.empty() && tokens_.back().kind == Kind::kBreak && tokens_.back().end == at_) {
      tokens_.back().end = at_ += size;
    } else {
      add(Kind::kBreak, size);
    }
  }

  std::string_view text_;
  size_t at_ = 0;
  std::vector<MathToken> tokens_;
};

}  // namespace

std::vector<MathToken> math_tokens(std::string_view plain) { return Lexer(plain).run(); }

}  // namespace chaski
