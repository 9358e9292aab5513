#include "lab/numbers_in_text_read.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "lab/ascii.h"
#include "lab/number_units.h"

namespace chaski {
namespace {

constexpr int kMaxDecimals = 15;

struct NumberWord {
  std::string_view word;
  int64_t value;
};
constexpr std::array kHanDigits =
    std::to_array<NumberWord>({{"零", 0}, {"〇", 0}, {"一", 1}, {"二", 2}, {"两", 2}, {"三", 3}, {"四", 4},
                               {"五", 5}, {"六", 6}, {"七", 7}, {"八", 8}, {"九", 9}, {"壹", 1}, {"贰", 2},
                               {"叁", 3}, {"肆", 4}, {"伍", 5}, {"陆", 6}, {"柒", 7}, {"捌", 8}, {"玖", 9}});
constexpr std::array kHanPowers =
    std::to_array<NumberWord>({{"十", 10}, {"拾", 10}, {"百", 100}, {"佰", 100}, {"千", 1000}, {"仟", 1000}});
constexpr std::array kHanBigPowers = std::to_array<NumberWord>({{"万", 10'000}, {"亿", 100'000'000}});
constexpr std::array kEnglishDigits = std::to_array<NumberWord>(
    {{"zero", 0},     {"one", 1},      {"two", 2},        {"three", 3},     {"four", 4},
     {"five", 5},     {"six", 6},      {"seven", 7},      {"eight", 8},     {"nine", 9},
     {"ten", 10},     {"eleven", 11},  {"twelve", 12},    {"thirteen", 13}, {"fourteen", 14},
     {"fifteen", 15}, {"sixteen", 16}, {"seventeen", 17}, {"eighteen", 18}, {"nineteen", 19},
     {"twenty", 20},  {"thirty", 30},  {"forty", 40},     {"fifty", 50},    {"sixty", 60},
     {"seventy", 70}, {"eighty", 80},  {"ninety", 90}});
constexpr std::array kEnglishPowers = std::to_array<NumberWord>(
    {{"hundred", 100}, {"thousand", 1000}, {"million", 1'000'000}, {"billion", 1'000'000'000}});

template <typename Table>
const NumberWord* find_word(const Table& table, std::string_view text) {
  for (const NumberWord& entry : table) {
    if (text.starts_with(entry.word)) return &entry;
  }
  return nullptr;
}

/// Whole numbers that remember whether one did not fit.
struct Checked {
  bool fits = true;
  int64_t sum(int64_t a, int64_t b) {
    int64_t result = 0;
    if (__builtin_add_overflow(a, b, &result)) fits = false;
    return fits ? result : 0;
  }
  int64_t product(int64_t a, int64_t b) {
    int64_t result = 0;
    if (__builtin_mul_overflow(a, b, &result)) fits = false;
    return fits ? result : 0;
  }
};

/// "1,234.50": thousands separators only in their places.
NumberRead read_digits(std::string_view text) {
  NumberRead read;
  std::string digits;
  while (read.size < text.size() && is_ascii_digit(text[read.size])) digits += text[read.size++];
  if (digits.empty()) return read;
  const auto group_at = [&](size_t at) {
    return at + 3 < text.size() && text[at] == ',' && is_ascii_digit(text[at + 1]) &&
           is_ascii_digit(text[at + 2]) && is_ascii_digit(text[at + 3]) &&
           (at + 4 == text.size() || !is_ascii_digit(text[at + 4]));
  };
  while (digits.size() <= 60 && (digits.size() <= 3 || text[read.size - 4] == ',') && group_at(read.size)) {
    digits += text.substr(read.size + 1, 3);
    read.size += 4;
  }
  std::string fraction;
  if (read.size + 1 < text.size() && text[read.size] == '.' && is_ascii_digit(text[read.size + 1])) {
    ++read.size;
    while (read.size < text.size() && is_ascii_digit(text[read.size])) fraction += text[read.size++];
    read.decimals = static_cast<int>(std::min<size_t>(fraction.size(), 1000));
    while (static_cast<int>(fraction.size()) > kMaxDecimals) {
      if (fraction.back() != '0') return read;  // no value: it does not fit
      fraction.pop_back();
    }
  }
  Checked checked;
  int64_t num = 0, den = 1;
  for (const char c : digits + fraction) num = checked.sum(checked.product(num, 10), c - '0');
  for (size_t i = 0; i < fraction.size(); ++i) den *= 10;
  if (checked.fits) read.value = make_rational(num, den);
  return read;
}

/// Adds up the parts of a Chinese numeral.
class HanNumeral {
 public:
  void digit(int64_t value) {
    ++n_parts_;
    const bool is_in_row = !has_power_ && has_digit_;  // "二〇二四"
    if (!is_in_row && digit_ != 0) checked_.fits = false;
    digit_ = is_in_row ? checked_.sum(checked_.product(digit_, 10), value) : value;
    has_digit_ = true;
  }
  /// 十, 百, 千; false where it has nothing to multiply.
  bool power(int64_t value) {
    if (value > 10 && !has_digit_) return false;
    section_ = checked_.sum(section_, checked_.product(has_digit_ ? digit_ : 1, value));
    end_part();
    return true;
  }
  /// 万, 亿.
  bool big_power(int64_t value) {
    if (n_parts_ == 0) return false;
    const int64_t part = checked_.sum(section_, digit_);
    total_ = value < last_big_ ? checked_.sum(total_, checked_.product(part, value))
                               : checked_.product(checked_.sum(total_, part), value);
    section_ = 0;
    last_big_ = value;
    end_part();
    return true;
  }
  int64_t value() { return checked_.sum(total_, checked_.sum(section_, digit_)); }
  bool fits() const { return checked_.fits; }
  int n_parts() const { return n_parts_; }

 private:
  void end_part() {
    digit_ = 0;
    has_digit_ = false;
    has_power_ = true;
    ++n_parts_;
  }

  Checked checked_;
  int64_t total_ = 0, section_ = 0, last_big_ = 0, digit_ = 0;
  bool has_digit_ = false, has_power_ = false;
  int n_parts_ = 0;
};

/// "一百二十三点五", "二〇二四", "十五".
NumberRead read_han(std::string_view text) {
  NumberRead read;
  HanNumeral numeral;
  while (read.size < text.size() && read.size < 120) {
    const std::string_view rest = text.substr(read.size);
    const NumberWord* word = find_word(kHanDigits, rest);
    if (word != nullptr) {
      numeral.digit(word->value);
    } else if ((word = find_word(kHanPowers, rest)) != nullptr) {
      if (!numeral.power(word->value)) break;
    } else if ((word = find_word(kHanBigPowers, rest)) == nullptr || !numeral.big_power(word->value)) {
      break;
    }
    read.size += word->word.size();
  }
  if (read.size == 0) return read;
  read.is_weak = numeral.n_parts() == 1;
  int64_t total = numeral.value(), den = 1;
  Checked checked{numeral.fits()};
  constexpr std::string_view kPoint = "点";
  if (text.substr(read.size).starts_with(kPoint) &&
      find_word(kHanDigits, text.substr(read.size + kPoint.size())) != nullptr) {
    read.size += kPoint.size();
    read.is_weak = false;
    read.decimals = 0;
    while (const NumberWord* word = find_word(kHanDigits, text.substr(read.size))) {
      read.size += word->word.size();
      if (++read.decimals > kMaxDecimals) checked.fits = false;
      total = checked.sum(checked.product(total, 10), word->value);
      den = checked.product(den, 10);
    }
  }
  if (checked.fits) read.value = make_rational(total, den);
  return read;
}

/// "twenty-five", "one hundred and five".
NumberRead read_english(std::string_view text) {
  NumberRead read;
  int64_t total = 0, section = 0;
  size_t at = 0;
  for (int n_words = 0; n_words < 12; ++n_words) {
    size_t end = at;
    while (end < text.size() && is_ascii_letter(text[end])) ++end;
    const std::string_view word = text.substr(at, end - at);
    const auto is_word = [&](const NumberWord& entry) { return entry.word == word; };
    if (const auto* digit = std::find_if(kEnglishDigits.begin(), kEnglishDigits.end(), is_word);
        digit != kEnglishDigits.end()) {
      section += digit->value;
    } else if (const auto* power = std::find_if(kEnglishPowers.begin(), kEnglishPowers.end(), is_word);
               power != kEnglishPowers.end() && read.size > 0) {
      section *= power->value;
      if (power->value >= 1000) total += section, section = 0;
      if (total > 1'000'000'000'000 || section > 1'000'000'000'000) return read;
    } else if (word != "and" || read.size == 0) {
      break;
    }
    if (word != "and") read.size = end;
    at = end;
    if (at < text.size() && (text[at] == ' ' || text[at] == '-')) ++at;
  }
  if (read.size == 0) return read;
  read.is_weak = true;
  read.value = Rational{total + section, 1};
  return read;
}

NumberRead scaled(NumberRead read, int64_t power, size_t more) {
  read.size += more;
  read.is_weak = false;
  if (!read.value) return read;
  Checked checked;
  const int64_t num = checked.product(read.value->num, power);
  read.value = checked.fits ? make_rational(num, read.value->den) : std::nullopt;
  return read;
}

/// What multiplies a number of digits: "3.5亿", "1万2千", "5 million"; but not the 千 of 千克.
NumberRead with_powers(NumberRead read, std::string_view text) {
  for (int i = 0; i < 4; ++i) {
    std::string_view rest = text.substr(read.size);
    if (unit_at(rest) != nullptr) break;
    const NumberWord* power = find_word(kHanPowers, rest);
    if (power == nullptr) power = find_word(kHanBigPowers, rest);
    if (power != nullptr && power->value == 10) power = nullptr;
    if (power != nullptr) {
      read = scaled(std::move(read), power->value, power->word.size());
      rest = text.substr(read.size);
      const NumberRead more = read_digits(rest);
      const std::string_view after = rest.substr(more.size);
      const NumberWord* smaller = more.size > 0 ? find_word(kHanPowers, after) : nullptr;
      if (smaller != nullptr && more.value && read.value && more.value->den == 1 && read.value->den == 1) {
        Checked checked;
        const int64_t sum = checked.sum(read.value->num, checked.product(more.value->num, smaller->value));
        read.value = checked.fits ? make_rational(sum, 1) : std::nullopt;
        read.size += more.size + smaller->word.size();
      }
      continue;
    }
    const size_t space = rest.starts_with(' ') ? 1 : 0;
    const NumberWord* word = find_word(kEnglishPowers, rest.substr(space));
    if (word == nullptr) break;
    read = scaled(std::move(read), word->value, space + word->word.size());
  }
  return read;
}

std::optional<Rational> quotient(const std::optional<Rational>& a, const std::optional<Rational>& b) {
  return a && b ? divide(*a, *b) : std::nullopt;
}

/// "百分之二十五".
NumberRead percent_of_hundred(std::string_view text) {
  constexpr std::string_view kPercent = "百分之";
  if (!text.starts_with(kPercent)) return {};
  NumberRead read = read_digits(text.substr(kPercent.size()));
  if (read.size == 0) read = read_han(text.substr(kPercent.size()));
  if (read.size == 0) return {};
  read.size += kPercent.size();
  read.is_weak = false;
  read.is_percent = true;
  read.value = read.value ? divide(*read.value, Rational{100, 1}) : std::nullopt;
  return read;
}

/// "1/3" of digits alone; what stands below, as written, 0 where it is none.
int64_t fraction(NumberRead& read, std::string_view text) {
  const std::string_view below = text.substr(read.size);
  if (!below.starts_with('/') || read.decimals >= 0) return 0;
  const NumberRead den = read_digits(below.substr(1));
  if (den.size == 0 || den.decimals >= 0 || below.substr(1 + den.size).starts_with('^')) return 0;
  const auto value = quotient(read.value, den.value);
  if (!value) return 0;
  read.value = value;
  read.size += 1 + den.size;
  return den.value->num;
}

/// "三分之一", "3又1/2", "1 1/2".
void parts_of(NumberRead& read, std::string_view text) {
  constexpr std::string_view kOf = "分之", kAnd = "又";
  const auto any = [](std::string_view part) {
    NumberRead other = read_digits(part);
    return other.size > 0 ? other : read_han(part);
  };
  if (const std::string_view after = text.substr(read.size); after.starts_with(kOf)) {
    const NumberRead above = any(after.substr(kOf.size()));
    if (above.size == 0) return;
    read.value = quotient(above.value, read.value);
    read.size += kOf.size() + above.size;
    read.is_weak = false;
    read.decimals = -1;
    return;
  }
  const std::string_view after = text.substr(read.size);
  size_t joint = 0;
  if (after.starts_with(kAnd))
    joint = kAnd.size();
  else if (after.starts_with(' ') && after.size() > 1 && is_ascii_digit(after[1]))
    joint = 1;
  if (joint == 0 || !read.value || read.value->den != 1) return;
  NumberRead part = any(after.substr(joint));
  if (part.size == 0) return;
  if (fraction(part, after.substr(joint)) == 0) {
    if (joint == 1 || !after.substr(joint + part.size).starts_with(kOf)) return;
    parts_of(part, after.substr(joint));
  }
  if (!part.value || part.value->num <= 0 || part.value->num >= part.value->den) return;
  Checked checked;
  const int64_t num = checked.sum(checked.product(read.value->num, part.value->den), part.value->num);
  read.value = checked.fits ? make_rational(num, part.value->den) : std::nullopt;
  read.size += joint + part.size;
  read.is_weak = false;
}

}  // namespace

bool begins_with_han_digit(std::string_view text) { return find_word(kHanDigits, text) != nullptr; }

NumberRead read_number(std::string_view text, bool may_be_word) {
  NumberRead read = percent_of_hundred(text);
  if (read.size > 0) return read;
  read = read_digits(text);
  if (read.size > 0) {
    read.below = fraction(read, text);
    if (read.below == 0) read = with_powers(std::move(read), text);
  } else {
    read = read_han(text);
    if (read.size == 0 && may_be_word) read = read_english(text);
  }
  if (read.size > 0) parts_of(read, text);
  return read;
}

}  // namespace chaski
