#include "lab/numbers_in_text.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "lab/number_units.h"
#include "lab/numbers_in_text_equations.h"
#include "lab/numbers_in_text_tokens.h"
#include "lab/scorer_text.h"

namespace chaski {
namespace {

using Kind = MathToken::Kind;

constexpr size_t kMaxGapBytes = 18;  // "答案应该是 15": between a marker and its number

/// The number that the expression or equation beginning at `first` comes to.
const MathToken* result_of(MathTokens tokens, size_t first) {
  size_t begin = first, end = first;
  const auto is_part = [&](size_t i) {
    return tokens[i].kind == Kind::kNumber || tokens[i].kind == Kind::kOperator;
  };
  while (begin > 0 && is_part(begin - 1)) --begin;
  while (end < tokens.size() && is_part(end)) ++end;
  const std::vector<Side> sides = sides_of(tokens.subspan(begin, end - begin));
  const MathTokens after = sides.back().tokens;
  const auto remainder = std::find_if(after.begin(), after.end(),
                                      [](const MathToken& token) { return is_operator(token, "r"); });
  const MathTokens last = trimmed(after.first(static_cast<size_t>(remainder - after.begin())));
  const MathTokens left = trimmed(sides.front().tokens);
  const auto number_in = [](MathTokens side) -> const MathToken* {
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
const MathToken* boxed(std::string_view plain, MathTokens tokens) {
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
bool stands_alone(MathTokens tokens, size_t i) {
  constexpr size_t kOneHan = 3;
  if (!tokens[i].is_weak || i + 1 == tokens.size()) return true;
  const MathToken& next = tokens[i + 1];
  if (next.kind != Kind::kBreak || next.begin > tokens[i].end) return true;
  return next.end - next.begin <= kOneHan;
}

/// The number that the sentence after position `end` of a marker states.
const MathToken* stated_after(std::string_view plain, MathTokens tokens, size_t end) {
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

const MathToken* after_last_equals(MathTokens tokens) {
  for (size_t i = tokens.size(); i-- > 0;) {
    if (!is_operator(tokens[i], "=~")) continue;
    for (size_t k = i + 1; k < tokens.size() && k < i + 4; ++k) {
      if (tokens[k].kind == Kind::kNumber) return result_of(tokens, k);
      if (tokens[k].kind != Kind::kOperator) break;
    }
  }
  return nullptr;
}

const MathToken* last_number(MathTokens tokens, bool weak_too) {
  for (size_t i = tokens.size(); i-- > 0;) {
    if (tokens[i].kind == Kind::kNumber && (weak_too || !tokens[i].is_weak)) return &tokens[i];
  }
  return nullptr;
}

struct Conclusion {
  size_t at = 0;      ///< where its word ends
  MathTokens tokens;  ///< what follows
};

/// The last conclusion that comes to a number: "so", but not that of "also" or "some".
Conclusion concluded(std::string_view plain, MathTokens tokens, std::span<const std::string> conclusions) {
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
      const MathTokens tail = tokens.subspan(static_cast<size_t>(first - tokens.begin()));
      if (end > last.at && last_number(tail, false) != nullptr) last = {end, tail};
    }
  }
  return last;
}

/// Behind the marker that stands last; of a sum from which something is concluded, what that is.
const MathToken* marked(std::string_view plain, MathTokens tokens, const AnswerMarkers& markers) {
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

Choice choose(std::string_view plain, MathTokens tokens, const AnswerMarkers& markers) {
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
