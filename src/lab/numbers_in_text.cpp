#include "lab/numbers_in_text.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "lab/number_units.h"
#include "lab/numbers_in_text_tokens.h"
#include "lab/scorer_text.h"

namespace chaski {
namespace {

using Kind = MathToken::Kind;
using Tokens = std::span<const MathToken>;

constexpr int kMaxDepth = 32;
constexpr int64_t kMaxPower = 62;
constexpr size_t kMaxGapBytes = 18;  // "答案应该是 15": between a marker and its number

std::optional<Rational> add(const Rational& a, const Rational& b, int sign) {
  int64_t left = 0, right = 0, num = 0, den = 0;
  if (__builtin_mul_overflow(a.num, b.den, &left) || __builtin_mul_overflow(b.num, a.den, &right) ||
      __builtin_mul_overflow(right, int64_t{sign}, &right) || __builtin_add_overflow(left, right, &num) ||
      __builtin_mul_overflow(a.den, b.den, &den)) {
    return std::nullopt;
  }
  return make_rational(num, den);
}

std::optional<Rational> multiply(const Rational& a, const Rational& b) {
  int64_t num = 0, den = 0;
  if (__builtin_mul_overflow(a.num, b.num, &num) || __builtin_mul_overflow(a.den, b.den, &den)) {
    return std::nullopt;
  }
  return make_rational(num, den);
}

std::optional<Rational> divide(const Rational& a, const Rational& b) {
  if (b.num == 0) return std::nullopt;
  int64_t num = 0, den = 0;
  if (__builtin_mul_overflow(a.num, b.den, &num) || __builtin_mul_overflow(a.den, b.num, &den)) {
    return std::nullopt;
  }
  return make_rational(num, den);
}

std::optional<Rational> power(const Rational& base, const Rational& exponent) {
  if (exponent.den != 1 || exponent.num < 0 || exponent.num > kMaxPower) return std::nullopt;
  std::optional<Rational> value = Rational{1, 1};
  for (int64_t i = 0; i < exponent.num && value; ++i) value = multiply(*value, base);
  return value;
}

/// Evaluates one side of an equation by recursive descent; nothing where it is no expression.
class Evaluator {
 public:
  explicit Evaluator(Tokens tokens) : tokens_(tokens) {}
  std::optional<Rational> run() {
    const auto value = sum(0);
    return at_ == tokens_.size() ? value : std::nullopt;
  }

 private:
  bool take(char op) {
    if (at_ == tokens_.size() || tokens_[at_].kind != Kind::kOperator || tokens_[at_].op != op) return false;
    ++at_;
    return true;
  }
  std::optional<Rational> sum(int depth) {
    auto value = product(depth);
    while (value) {
      const int sign = take('+') ? 1 : take('-') ? -1 : 0;
      if (sign == 0) break;
      const auto right = product(depth);
      value = right ? add(*value, *right, sign) : std::nullopt;
    }
    return value;
  }
  std::optional<Rational> product(int depth) {
    auto value = factor(depth);
    while (value) {
      const bool is_product = take('*');
      if (!is_product && !take('/')) break;
      const auto right = factor(depth);
      if (!right) return std::nullopt;
      value = is_product ? multiply(*value, *right) : divide(*value, *right);
    }
    return value;
  }
  std::optional<Rational> factor(int depth) {
    std::optional<Rational> value;
    if (take('(')) {
      if (depth == kMaxDepth) return std::nullopt;
      value = sum(depth + 1);
      if (!value || !take(')')) return std::nullopt;
    } else if (at_ < tokens_.size() && tokens_[at_].kind == Kind::kNumber) {
      value = tokens_[at_++].quantity.value;
    }
    if (!value || !take('^')) return value;
    if (depth == kMaxDepth) return std::nullopt;
    const auto exponent = factor(depth + 1);
    return exponent ? power(*value, *exponent) : std::nullopt;
  }

  Tokens tokens_;
  size_t at_ = 0;
};

bool is_operator(const MathToken& token, std::string_view which) {
  return token.kind == Kind::kOperator && which.find(token.op) != std::string_view::npos;
}

/// A side without what clings to it: bullets before, signs after, brackets around the whole equation.
Tokens trimmed(Tokens side) {
  while (!side.empty() && is_operator(side.front(), "+-*/=~r")) side = side.subspan(1);
  while (!side.empty() && is_operator(side.back(), "+-*/=~r(")) side = side.first(side.size() - 1);
  int64_t open = 0;
  for (const MathToken& token : side) open += is_operator(token, "(") ? 1 : is_operator(token, ")") ? -1 : 0;
  for (; open > 0 && !side.empty() && is_operator(side.front(), "("); --open) side = side.subspan(1);
  for (; open < 0 && !side.empty() && is_operator(side.back(), ")"); ++open)
    side = side.first(side.size() - 1);
  return side;
}

bool has_operation(Tokens side) {
  return std::any_of(side.begin(), side.end(), [](const MathToken& token) {
    return is_operator(token, "+-*/^") || (token.kind == Kind::kNumber && token.below != 0);
  });
}

/// Whether `shown` is `exact` rounded to the digits that it shows.
bool is_rounded(const Rational& exact, const Quantity& shown, int least_decimals) {
  const int decimals = std::max(shown.decimals, 0) + (shown.is_percent ? 2 : 0);
  if (std::max(shown.decimals, 0) < least_decimals || decimals > 17) return false;
  int64_t scale = 2;  // half a unit of the last place is 1 / scale
  for (int i = 0; i < decimals; ++i) scale *= 10;
  const auto difference = add(exact, shown.value, -1);
  if (!difference) return false;
  const auto scaled = multiply(*difference, Rational{scale, 1});
  return scaled && scaled->num <= scaled->den && scaled->num >= -scaled->den;
}

/// Whether the decimal expansion ends.
bool is_terminating(const Rational& value) {
  int64_t den = value.den;
  while (den % 2 == 0) den /= 2;
  while (den % 5 == 0) den /= 5;
  return den == 1;
}

/// "17 / 5 = 3 r 2".
std::optional<bool> is_true_with_remainder(Tokens left, const Rational& quotient, const Rational& remainder) {
  std::optional<Rational> dividend, divisor;
  if (left.size() == 1) {
    if (left[0].below == 0) return std::nullopt;
    dividend = Rational{left[0].above, 1};
    divisor = Rational{left[0].below, 1};
  } else {
    const auto division = std::find_if(left.rbegin(), left.rend(),
                                       [](const MathToken& token) { return is_operator(token, "/"); });
    if (division == left.rend()) return std::nullopt;
    const auto after = static_cast<size_t>(left.rend() - division);
    dividend = Evaluator(trimmed(left.first(after - 1))).run();
    divisor = Evaluator(trimmed(left.subspan(after))).run();
  }
  const auto product = divisor ? multiply(*divisor, quotient) : std::nullopt;
  const auto sum = product ? add(*product, remainder, 1) : std::nullopt;
  if (!sum || !dividend) return std::nullopt;
  return *sum == *dividend;
}

/// Whether what stands before a run belongs to it, as the x of "x2 + 1" or of "x + 1".
bool is_cut_off(std::string_view plain, const MathToken& before, const MathToken& first) {
  if (before.kind != Kind::kBreak || is_operator(first, "=~(")) return false;
  if (first.kind == Kind::kOperator) return true;
  std::string_view text = plain.substr(before.begin, before.end - before.begin);
  if (text.ends_with('\\') || text.ends_with("√") || text.ends_with('_')) return true;
  return before.end == first.begin && text.back() >= 'a' && text.back() <= 'z';
}

/// Stretches without a break, and whether their beginning is cut off.
template <typename Visit>
void for_each_run(std::string_view plain, Tokens tokens, const Visit& visit) {
  size_t begin = 0;
  for (size_t i = 0; i <= tokens.size(); ++i) {
    const bool is_end =
        i == tokens.size() || tokens[i].kind == Kind::kBreak || tokens[i].kind == Kind::kSentenceEnd;
    if (!is_end) continue;
    if (i - begin >= 3) {
      const Tokens run = tokens.subspan(begin, i - begin);
      visit(run, begin > 0 && is_cut_off(plain, tokens[begin - 1], run.front()));
    }
    begin = i + 1;
  }
}

struct Side {
  Tokens tokens;
  bool is_near = false;  ///< the sign before it says nearly
};

std::vector<Side> sides_of(Tokens run) {
  std::vector<Side> sides;
  size_t begin = 0;
  bool is_near = false;
  for (size_t i = 0; i <= run.size(); ++i) {
    if (i < run.size() && !is_operator(run[i], "=~")) continue;
    sides.push_back({run.subspan(begin, i - begin), is_near});
    is_near = i < run.size() && run[i].op == '~';
    begin = i + 1;
  }
  return sides;
}

/// Whether two neighbours of an equation are equal; nothing where they are no equation of numbers.
std::optional<bool> is_true(const Side& left, const Side& right) {
  const Tokens before = trimmed(left.tokens);
  Tokens after = right.tokens;
  std::optional<Rational> remainder;
  for (size_t i = 0; i + 1 < after.size(); ++i) {
    if (!is_operator(after[i], "r")) continue;
    if (after[i + 1].kind == Kind::kNumber) remainder = after[i + 1].quantity.value;
    after = after.first(i);
    break;
  }
  after = trimmed(after);
  if (before.empty() || after.empty() || (!has_operation(before) && !has_operation(after)))
    return std::nullopt;
  const auto a = Evaluator(before).run(), b = Evaluator(after).run();
  if (!a || !b) return std::nullopt;
  if (remainder) return is_true_with_remainder(before, *b, *remainder);
  if (*a == *b) return true;
  if (after.size() == 1 && (right.is_near || after[0].quantity.decimals > 0)) {
    return is_rounded(*a, after[0].quantity, 0);
  }
  return false;
}

/// The number that the expression or equation beginning at `first` comes to.
const MathToken* result_of(Tokens tokens, size_t first) {
  size_t begin = first, end = first;
  const auto is_part = [&](size_t i) {
    return tokens[i].kind == Kind::kNumber || tokens[i].kind == Kind::kOperator;
  };
  while (begin > 0 && is_part(begin - 1)) --begin;
  while (end < tokens.size() && is_part(end)) ++end;
  const std::vector<Side> sides = sides_of(tokens.subspan(begin, end - begin));
  const Tokens after = sides.back().tokens;
  const auto remainder = std::find_if(after.begin(), after.end(),
                                      [](const MathToken& token) { return is_operator(token, "r"); });
  const Tokens last = trimmed(after.first(static_cast<size_t>(remainder - after.begin())));
  const Tokens left = trimmed(sides.front().tokens);
  const auto number_in = [](Tokens side) -> const MathToken* {
    return side.size() == 1 && side[0].kind == Kind::kNumber ? side.data() : nullptr;
  };
  if (const MathToken* number = number_in(last)) return number;
  if (sides.size() > 1) {
    if (const MathToken* number = number_in(left)) return number;
  }
  for (size_t i = end; i-- > first;) {
    if (tokens[i].kind == Kind::kNumber) return &tokens[i];
  }
  return &tokens[first];
}

struct Choice {
  const MathToken* token = nullptr;
  bool is_stated = false;
};

/// In the last box that holds a number.
const MathToken* boxed(std::string_view plain, Tokens tokens) {
  int n_tried = 0;
  for (size_t end = plain.rfind(kBoxEnd); end != std::string_view::npos && end > 0 && n_tried < 8;
       end = plain.rfind(kBoxEnd, end - 1), ++n_tried) {
    const size_t begin = plain.rfind(kBoxBegin, end);
    if (begin == std::string_view::npos) return nullptr;
    size_t last = tokens.size();
    for (size_t i = 0; i < tokens.size(); ++i) {
      const bool is_inside = tokens[i].begin > begin && tokens[i].end <= end;
      if (is_inside && tokens[i].kind == Kind::kNumber) last = i;
    }
    if (last != tokens.size()) return result_of(tokens, last);
  }
  return nullptr;
}

/// Whether a number that may be part of a word stands alone: "五。" and "五个。", not "一个数".
bool stands_alone(Tokens tokens, size_t i) {
  constexpr size_t kOneHan = 3;
  if (!tokens[i].is_weak || i + 1 == tokens.size()) return true;
  const MathToken& next = tokens[i + 1];
  if (next.kind != Kind::kBreak || next.begin > tokens[i].end) return true;
  return next.end - next.begin <= kOneHan;
}

/// The number that the sentence after position `end` of a marker states.
const MathToken* stated_after(std::string_view plain, Tokens tokens, size_t end) {
  const auto first = std::upper_bound(tokens.begin(), tokens.end(), end,
                                      [](size_t at, const MathToken& token) { return at < token.end; });
  std::optional<size_t> last;
  bool has_words = false;
  for (size_t i = static_cast<size_t>(first - tokens.begin()); i < tokens.size(); ++i) {
    const MathToken& token = tokens[i];
    const std::string_view gap = plain.substr(end, token.begin - std::min(token.begin, end));
    if (token.kind == Kind::kSentenceEnd) {
      if (has_words || last) break;
    } else if (token.kind == Kind::kBreak) {
      const size_t begin = std::max(token.begin, end);
      const std::string_view words = plain.substr(begin, token.end - begin);
      has_words = has_words || words.size() > kMaxGapBytes;
      if (words.find("不") != std::string_view::npos || words.find("not") != std::string_view::npos) break;
    } else if (token.kind == Kind::kNumber) {
      if (gap.size() <= kMaxGapBytes && stands_alone(tokens, i)) return result_of(tokens, i);
      if (!token.is_weak) last = i;
    }
  }
  return last ? result_of(tokens, *last) : nullptr;
}

/// Where the last places of the markers end.
std::vector<size_t> ends_of(std::string_view plain, std::span<const std::string> markers) {
  std::vector<size_t> ends;
  for (const std::string& marker : markers) {
    const std::string folded = plain_arithmetic(marker);
    if (folded.empty()) continue;
    size_t n = 0;
    for (size_t at = plain.rfind(folded); at != std::string_view::npos && n < 8; ++n) {
      ends.push_back(at + folded.size());
      if (at == 0) break;
      at = plain.rfind(folded, at - 1);
    }
  }
  return ends;
}

const MathToken* after_last_equals(Tokens tokens) {
  for (size_t i = tokens.size(); i-- > 0;) {
    if (!is_operator(tokens[i], "=~")) continue;
    for (size_t k = i + 1; k < tokens.size() && k < i + 4; ++k) {
      if (tokens[k].kind == Kind::kNumber) return result_of(tokens, k);
      if (tokens[k].kind != Kind::kOperator) break;
    }
  }
  return nullptr;
}

const MathToken* last_number(Tokens tokens, bool weak_too) {
  for (size_t i = tokens.size(); i-- > 0;) {
    if (tokens[i].kind == Kind::kNumber && (weak_too || !tokens[i].is_weak)) return &tokens[i];
  }
  return nullptr;
}

struct Conclusion {
  size_t at = 0;  ///< where its word ends
  Tokens tokens;  ///< what follows
};

/// The last conclusion that comes to a number: "so", but not that of "also" or "some".
Conclusion concluded(std::string_view plain, Tokens tokens, std::span<const std::string> conclusions) {
  const auto is_letter = [&](size_t at) { return at < plain.size() && plain[at] >= 'a' && plain[at] <= 'z'; };
  Conclusion last;
  for (const std::string& conclusion : conclusions) {
    const std::string folded = plain_arithmetic(conclusion);
    for (const size_t end : ends_of(plain, std::span(&conclusion, 1))) {
      const size_t begin = end - folded.size();
      if (is_letter(begin) && ((begin > 0 && is_letter(begin - 1)) || is_letter(end))) continue;
      const auto first =
          std::upper_bound(tokens.begin(), tokens.end(), end,
                           [](size_t at, const MathToken& token) { return at <= token.begin; });
      const Tokens tail = tokens.subspan(static_cast<size_t>(first - tokens.begin()));
      if (end > last.at && last_number(tail, false) != nullptr) last = {end, tail};
    }
  }
  return last;
}

/// Behind the marker that stands last; of a sum from which something is concluded, what that is.
const MathToken* marked(std::string_view plain, Tokens tokens, const AnswerMarkers& markers) {
  std::vector<std::pair<size_t, bool>> ends;  // and whether it is a sum's
  for (const size_t end : ends_of(plain, markers.answers)) ends.emplace_back(end, false);
  for (const size_t end : ends_of(plain, markers.sums)) ends.emplace_back(end, true);
  std::sort(ends.rbegin(), ends.rend());
  const Conclusion conclusion = concluded(plain, tokens, markers.conclusions);
  for (const auto& [end, is_sum] : ends) {
    if (is_sum && conclusion.at > end) {
      const MathToken* equal = after_last_equals(conclusion.tokens);
      return equal != nullptr ? equal : last_number(conclusion.tokens, false);
    }
    if (const MathToken* token = stated_after(plain, tokens, end)) return token;
  }
  return nullptr;
}

Choice choose(std::string_view plain, Tokens tokens, const AnswerMarkers& markers) {
  if (const MathToken* token = boxed(plain, tokens)) return {token, true};
  if (const MathToken* token = marked(plain, tokens, markers)) return {token, true};
  const MathToken* last = last_number(tokens, false);
  if (const MathToken* token = after_last_equals(tokens)) return {token, last == nullptr || token == last};
  if (last != nullptr) return {last, true};
  const MathToken* weak = last_number(tokens, true);
  return {weak, weak != nullptr};
}

std::string quote_of(std::string_view plain, const MathToken& token) {
  constexpr size_t kBefore = 24;
  size_t begin = token.begin - std::min(token.begin, kBefore);
  while (begin < token.begin && (static_cast<unsigned char>(plain[begin]) & 0xC0) == 0x80) ++begin;
  std::string quote = one_line(plain.substr(begin, token.end - begin));
  quote.erase(
      std::remove_if(quote.begin(), quote.end(), [](char c) { return c == kBoxBegin || c == kBoxEnd; }),
      quote.end());
  return quote;
}

}  // namespace

std::optional<Rational> make_rational(int64_t num, int64_t den) {
  constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
  if (den == 0 || num == kLeast || den == kLeast) return std::nullopt;
  if (den < 0) num = -num, den = -den;
  const int64_t common = std::gcd(num, den);
  return Rational{num / common, den / common};
}

std::optional<Quantity> parse_quantity(std::string_view text) {
  const std::string plain = plain_arithmetic(text);
  const std::vector<MathToken> tokens = math_tokens(plain);
  const MathToken* only = nullptr;
  for (const MathToken& token : tokens) {
    if (token.kind != Kind::kNumber) continue;
    if (only != nullptr) return std::nullopt;
    only = &token;
  }
  if (only == nullptr) return std::nullopt;
  return only->quantity;
}

std::vector<Quantity> quantities_in(std::string_view text) {
  std::vector<Quantity> quantities;
  for (const MathToken& token : math_tokens(plain_arithmetic(text))) {
    if (token.kind == Kind::kNumber) quantities.push_back(token.quantity);
  }
  return quantities;
}

bool needs_conversion(std::string_view a, std::string_view b) {
  const NumberUnit* one = find_unit(a);
  const NumberUnit* other = find_unit(b);
  return one != nullptr && other != nullptr && one->kind == other->kind &&
         (one->num != other->num || one->den != other->den);
}

bool is_one_of(std::span<const Quantity> quantities, const Quantity& quantity) {
  const NumberUnit* unit = find_unit(quantity.unit);
  return unit != nullptr && std::any_of(quantities.begin(), quantities.end(), [&](const Quantity& one) {
           const NumberUnit* its = find_unit(one.unit);
           return its != nullptr && its->kind == unit->kind && one.value == quantity.value &&
                  !needs_conversion(one.unit, quantity.unit);
         });
}

std::optional<FinalNumber> find_final_number(std::string_view text, const AnswerMarkers& markers,
                                             std::span<const Quantity> given) {
  const std::string plain = plain_arithmetic(text);
  const std::vector<MathToken> tokens = math_tokens(plain);
  std::vector<MathToken> others = tokens;
  for (MathToken& token : others) {
    if (token.kind == Kind::kNumber && is_one_of(given, token.quantity)) token.kind = Kind::kBreak;
  }
  Choice choice = choose(plain, others, markers);
  if (choice.token == nullptr) choice = choose(plain, tokens, markers);
  if (choice.token == nullptr) return std::nullopt;
  return FinalNumber{choice.token->quantity, choice.is_stated, quote_of(plain, *choice.token)};
}

EquationCheck check_equations(std::string_view text) {
  const std::string plain = plain_arithmetic(text);
  const std::vector<MathToken> tokens = math_tokens(plain);
  EquationCheck check;
  for_each_run(plain, tokens, [&](Tokens run, bool is_cut) {
    const std::vector<Side> sides = sides_of(run);
    for (size_t i = is_cut ? 1 : 0; i + 1 < sides.size(); ++i) {
      const std::optional<bool> holds = is_true(sides[i], sides[i + 1]);
      if (!holds) continue;
      ++check.n;
      if (*holds) {
        ++check.n_true;
      } else if (check.first_false.empty()) {
        const size_t begin = sides[i].tokens.front().begin, end = sides[i + 1].tokens.back().end;
        check.first_false = one_line(std::string_view(plain).substr(begin, end - begin));
      }
    }
  });
  return check;
}

bool means_the_same(const Quantity& expected, const Quantity& found) {
  std::optional<Rational> value = found.value;
  const NumberUnit* wanted = find_unit(expected.unit);
  const NumberUnit* given = find_unit(found.unit);
  if (wanted != nullptr && given != nullptr && wanted->name != given->name) {
    if (wanted->kind != given->kind) return false;
    value = multiply(*value, Rational{given->num, given->den});
    if (value) value = multiply(*value, Rational{wanted->den, wanted->num});
    if (value) value = make_rational(value->num, value->den);
  }
  if (!value) return false;
  if (*value == expected.value) return true;
  if (expected.is_percent && !found.is_percent) {
    const auto share = divide(*value, Rational{100, 1});
    if (share && *share == expected.value) return true;
  }
  Quantity shown = found;
  shown.value = *value;
  const bool is_converted = *value != found.value;
  return !is_converted && !is_terminating(expected.value) && is_rounded(expected.value, shown, 2);
}

}  // namespace chaski
