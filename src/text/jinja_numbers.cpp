// Numbers as Python writes and reads them, and arithmetic on numbers and sequences.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "base/error.h"
#include "text/jinja_runtime.h"

namespace chaski::jinja {

// ---- numbers as text ----

std::string integer_text(Int value) {
  if (value == 0) return "0";
  std::string text;
  const bool is_negative = value < 0;
  while (value != 0) {
    const int digit = static_cast<int>(value % 10);
    text.push_back(static_cast<char>('0' + (digit < 0 ? -digit : digit)));
    value /= 10;
  }
  if (is_negative) text.push_back('-');
  std::reverse(text.begin(), text.end());
  return text;
}

std::string float_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  const std::string_view text(buffer, static_cast<size_t>(end - buffer));
  const size_t e = text.find('e');
  const int exponent = std::atoi(std::string(text.substr(e + 1)).c_str());
  std::string digits;
  for (const char c : text.substr(0, e)) {
    if (c >= '0' && c <= '9') digits.push_back(c);
  }
  std::string result = std::signbit(value) ? "-" : "";
  if (exponent < -4 || exponent >= 16) {
    result += digits.substr(0, 1);
    if (digits.size() > 1) result += "." + digits.substr(1);
    return result + fmt::format("e{}{:02d}", exponent < 0 ? '-' : '+', std::abs(exponent));
  }
  if (exponent < 0) return result + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  const auto whole = static_cast<size_t>(exponent) + 1;
  if (digits.size() <= whole) return result + digits + std::string(whole - digits.size(), '0') + ".0";
  return result + digits.substr(0, whole) + "." + digits.substr(whole);
}

namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_python_space(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  while (!text.empty() && is_python_space(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  return text;
}

}  // namespace

std::optional<Int> parse_python_int(std::string_view text, int base) {
  text = trimmed(text);
  bool is_negative = false;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) {
    is_negative = text[0] == '-';
    text.remove_prefix(1);
  }
  if (base == 16 && text.size() > 2 && text[0] == '0' && (text[1] | 0x20) == 'x') text.remove_prefix(2);
  if (text.empty()) return std::nullopt;
  Int value = 0;
  bool after_digit = false;
  for (const char c : text) {
    if (c == '_' && after_digit) {
      after_digit = false;
      continue;
    }
    const int lower_c = c | 0x20;
    const int digit = c >= '0' && c <= '9'               ? c - '0'
                      : lower_c >= 'a' && lower_c <= 'z' ? lower_c - 'a' + 10
                                                         : 99;
    if (digit >= base) return std::nullopt;
    if (__builtin_mul_overflow(value, Int{base}, &value) ||
        __builtin_add_overflow(value, Int{digit}, &value)) {
      return std::nullopt;
    }
    after_digit = true;
  }
  if (!after_digit) return std::nullopt;
  return is_negative ? -value : value;
}

std::optional<double> parse_python_float(std::string_view text) {
  text = trimmed(text);
  if (!text.empty() && text[0] == '+') text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::invalid_argument || end != text.data() + text.size()) return std::nullopt;
  if (error != std::errc{}) return std::nullopt;
  return value;
}

// ---- arithmetic ----

namespace {

std::string_view operator_text(ExpressionKind kind) {
  switch (kind) {
    case ExpressionKind::kAdd:
      return "+";
    case ExpressionKind::kSubtract:
      return "-";
    case ExpressionKind::kMultiply:
      return "*";
    case ExpressionKind::kDivide:
      return "/";
    case ExpressionKind::kFloorDivide:
      return "//";
    case ExpressionKind::kModulo:
      return "%";
    default:
      return "**";
  }
}

}  // namespace

void Runtime::unsupported_operands(ExpressionKind kind, const Value& a, const Value& b) {
  require_defined(a);
  require_defined(b);
  fail(fmt::format("unsupported operand types for {}: '{}' and '{}'", operator_text(kind), type_name(a),
                   type_name(b)));
}

Value Runtime::integer_binary(ExpressionKind kind, Int a, Int b) {
  Int result = 0;
  bool overflows = false;
  switch (kind) {
    case ExpressionKind::kAdd:
      overflows = __builtin_add_overflow(a, b, &result);
      break;
    case ExpressionKind::kSubtract:
      overflows = __builtin_sub_overflow(a, b, &result);
      break;
    case ExpressionKind::kMultiply:
      overflows = __builtin_mul_overflow(a, b, &result);
      break;
    case ExpressionKind::kDivide:
      if (b == 0) fail("division by zero");
      return Value::of(static_cast<double>(a) / static_cast<double>(b));
    case ExpressionKind::kFloorDivide:
    case ExpressionKind::kModulo: {
      if (b == 0) fail("integer division or modulo by zero");
      if (b == -1) {  // the one quotient that may not fit
        if (kind == ExpressionKind::kModulo) return Value::of(Int{0});
        overflows = __builtin_sub_overflow(Int{0}, a, &result);
        break;
      }
      Int quotient = a / b;
      Int rest = a % b;
      if (rest != 0 && (rest < 0) != (b < 0)) {
        rest += b;
        --quotient;
      }
      result = kind == ExpressionKind::kModulo ? rest : quotient;
      break;
    }
    default:
      if (b < 0) return float_binary(kind, static_cast<double>(a), static_cast<double>(b));
      result = 1;
      if (a == 0 || a == 1 || a == -1) {
        result = b == 0 ? Int{1} : a == -1 && b % 2 == 0 ? Int{1} : a;
        break;
      }
      for (Int i = 0; i < b && !overflows; ++i) overflows = __builtin_mul_overflow(result, a, &result);
  }
  if (overflows) fail("an integer of more than 127 bits is not supported");
  return Value::of(result);
}

Value Runtime::float_binary(ExpressionKind kind, double a, double b) {
  switch (kind) {
    case ExpressionKind::kAdd:
      return Value::of(a + b);
    case ExpressionKind::kSubtract:
      return Value::of(a - b);
    case ExpressionKind::kMultiply:
      return Value::of(a * b);
    case ExpressionKind::kDivide:
      if (b == 0) fail("float division by zero");
      return Value::of(a / b);
    case ExpressionKind::kFloorDivide:
    case ExpressionKind::kModulo: {
      if (b == 0) fail("float floor division or modulo by zero");
      double rest = std::fmod(a, b);
      double quotient = (a - rest) / b;
      if (rest != 0 && (rest < 0) != (b < 0)) {
        rest += b;
        quotient -= 1;
      } else if (rest == 0) {
        rest = std::copysign(0.0, b);
      }
      if (kind == ExpressionKind::kModulo) return Value::of(rest);
      if (quotient == 0) return Value::of(std::copysign(0.0, a / b));
      const double floored = std::floor(quotient);
      return Value::of(quotient - floored > 0.5 ? floored + 1 : floored);
    }
    default: {
      if (a == 0 && b < 0) fail("0.0 cannot be raised to a negative power");
      const double result = std::pow(a, b);
      if (std::isnan(result) && !std::isnan(a) && !std::isnan(b)) fail("a complex power is not supported");
      if (std::isinf(result) && std::isfinite(a) && std::isfinite(b)) fail("numerical result out of range");
      return Value::of(result);
    }
  }
}

Value Runtime::repeated(const Value& sequence, const Value& count) {
  const Int n = std::max(count.integer(), Int{0});
  if (sequence.is(Kind::kText)) {
    const MarkedText& text = sequence.text();
    const size_t limit = heap.limits().text_bytes;
    if (text.empty() || n == 0) return heap.text("");
    if (n > static_cast<Int>(limit / text.footprint())) heap.check_text(limit + 1);
    heap.charge_text(text.footprint() * static_cast<size_t>(n));
    MarkedText result;
    result.reserve(text.size() * static_cast<size_t>(n));
    for (Int i = 0; i < n; ++i) result.append(text);
    return heap.text(std::move(result));
  }
  const auto& items = sequence.list().items;
  List* result = heap.list(sequence.list().flavour);
  if (items.empty()) return Value::of(result);
  if (n > heap.limits().steps) heap.charge(static_cast<size_t>(heap.limits().steps) + 1);
  for (Int i = 0; i < n; ++i) {
    heap.charge_items(items.size());
    result->items.insert(result->items.end(), items.begin(), items.end());
  }
  return Value::of(result);
}

Value Runtime::binary(ExpressionKind kind, const Value& a, const Value& b) {
  const auto is_sequence = [](const Value& v) {
    return v.is(Kind::kText) || (v.is(Kind::kList) && (v.list().flavour == ListFlavour::kList ||
                                                       v.list().flavour == ListFlavour::kTuple));
  };
  heap.charge(1);
  if (a.is_number() && b.is_number()) {
    if (a.is_integer() && b.is_integer()) return integer_binary(kind, a.integer(), b.integer());
    return float_binary(kind, a.real(), b.real());
  }
  if (kind == ExpressionKind::kAdd && a.kind() == b.kind() && is_sequence(a) && is_sequence(b)) {
    if (a.is(Kind::kText)) {
      heap.charge_text(a.text().footprint() + b.text().footprint());
      MarkedText result = a.text();
      result.append(b.text());
      return heap.text(std::move(result));
    }
    if (a.list().flavour == b.list().flavour) {
      List* result = heap.list(a.list().flavour);
      heap.charge_items(a.list().items.size() + b.list().items.size());
      result->items = a.list().items;
      result->items.insert(result->items.end(), b.list().items.begin(), b.list().items.end());
      return Value::of(result);
    }
  }
  if (kind == ExpressionKind::kMultiply) {
    if (is_sequence(a) && b.is_integer()) return repeated(a, b);
    if (is_sequence(b) && a.is_integer()) return repeated(b, a);
  }
  if (kind == ExpressionKind::kModulo && a.is(Kind::kText)) return heap.text(percent_format(a.text(), b));
  unsupported_operands(kind, a, b);
}

Value Runtime::negate(const Value& value) {
  if (value.is(Kind::kFloat)) return Value::of(-value.real());
  if (value.is_integer()) return integer_binary(ExpressionKind::kSubtract, 0, value.integer());
  require_defined(value);
  fail(fmt::format("bad operand type for unary -: '{}'", type_name(value)));
}

}  // namespace chaski::jinja
