#include "lab/numbers_in_text_equations.h"

#include <algorithm>
#include <optional>

#include "lab/scorer_text.h"

namespace chaski {
namespace {

using Kind = MathToken::Kind;

constexpr int kMaxDepth = 32;

/// Evaluates one side of an equation by recursive descent; nothing where it is no expression.
class Evaluator {
 public:
  explicit Evaluator(MathTokens tokens) : tokens_(tokens) {}
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
      const bool is_sum = take('+');
      if (!is_sum && !take('-')) break;
      const auto right = product(depth);
      value = !right ? std::nullopt : is_sum ? add(*value, *right) : subtract(*value, *right);
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

  MathTokens tokens_;
  size_t at_ = 0;
};

bool has_operation(MathTokens side) {
  return std::any_of(side.begin(), side.end(), [](const MathToken& token) {
    return is_operator(token, "+-*/^") || (token.kind == Kind::kNumber && token.below != 0);
  });
}

/// "17 / 5 = 3 r 2".
std::optional<bool> is_true_with_remainder(MathTokens left, const Rational& quotient,
                                           const Rational& remainder) {
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
  const auto sum = product ? add(*product, remainder) : std::nullopt;
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
void for_each_run(std::string_view plain, MathTokens tokens, const Visit& visit) {
  size_t begin = 0;
  for (size_t i = 0; i <= tokens.size(); ++i) {
    const bool is_end =
        i == tokens.size() || tokens[i].kind == Kind::kBreak || tokens[i].kind == Kind::kSentenceEnd;
    if (!is_end) continue;
    if (i - begin >= 3) {
      const MathTokens run = tokens.subspan(begin, i - begin);
      visit(run, begin > 0 && is_cut_off(plain, tokens[begin - 1], run.front()));
    }
    begin = i + 1;
  }
}

/// Whether two neighbours of an equation are equal; nothing where they are no equation of numbers.
std::optional<bool> is_true(const Side& left, const Side& right) {
  const MathTokens before = trimmed(left.tokens);
  MathTokens after = right.tokens;
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

}  // namespace

bool is_operator(const MathToken& token, std::string_view which) {
  return token.kind == Kind::kOperator && which.find(token.op) != std::string_view::npos;
}

MathTokens trimmed(MathTokens side) {
  while (!side.empty() && is_operator(side.front(), "+-*/=~r")) side = side.subspan(1);
  while (!side.empty() && is_operator(side.back(), "+-*/=~r(")) side = side.first(side.size() - 1);
  int64_t open = 0;
  for (const MathToken& token : side) open += is_operator(token, "(") ? 1 : is_operator(token, ")") ? -1 : 0;
  for (; open > 0 && !side.empty() && is_operator(side.front(), "("); --open) side = side.subspan(1);
  for (; open < 0 && !side.empty() && is_operator(side.back(), ")"); ++open)
    side = side.first(side.size() - 1);
  return side;
}

std::vector<Side> sides_of(MathTokens run) {
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

bool is_rounded(const Rational& exact, const Quantity& shown, int least_decimals) {
  const int decimals = std::max(shown.decimals, 0) + (shown.is_percent ? 2 : 0);
  if (std::max(shown.decimals, 0) < least_decimals || decimals > 17) return false;
  int64_t scale = 2;  // half a unit of the last place is 1 / scale
  for (int i = 0; i < decimals; ++i) scale *= 10;
  const auto difference = subtract(exact, shown.value);
  if (!difference) return false;
  const auto scaled = multiply(*difference, Rational{scale, 1});
  return scaled && scaled->num <= scaled->den && scaled->num >= -scaled->den;
}

EquationCheck check_equations(std::string_view text) {
  const std::string plain = plain_arithmetic(text);
  const std::vector<MathToken> tokens = math_tokens(plain);
  EquationCheck check;
  for_each_run(plain, tokens, [&](MathTokens run, bool is_cut) {
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

}  // namespace chaski
