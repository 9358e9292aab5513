// The functions every template sees, and the formatting of "…" % values.
#include <algorithm>
#include <cstdio>
#include <ctime>

#include "base/error.h"
#include "text/jinja_runtime.h"

namespace chaski::jinja {

namespace {

using Bound = std::vector<std::optional<Value>>;

Value global_range(Runtime& rt, const Value&, const Arguments& arguments) {
  constexpr Int kMaxRange = 100'000;
  if (!arguments.named.empty() || arguments.positional.empty() || arguments.positional.size() > 3) {
    rt.fail("range takes one to three numbers");
  }
  std::vector<Int> numbers;
  for (const Value& value : arguments.positional) numbers.push_back(rt.to_count(value));
  const Int start = numbers.size() == 1 ? Int{0} : numbers[0];
  const Int stop = numbers.size() == 1 ? numbers[0] : numbers[1];
  const Int step = numbers.size() == 3 ? numbers[2] : Int{1};
  if (step == 0) rt.fail("range() arg 3 must not be zero");
  const Int span = step > 0 ? stop - start : start - stop;
  const Int stride = step > 0 ? step : -step;
  const Int n = span <= 0 ? Int{0} : (span + stride - 1) / stride;
  if (n > kMaxRange) rt.fail("Range too big. The sandbox blocks ranges larger than MAX_RANGE (100000).");
  List* list = rt.heap.list(ListFlavour::kRange);
  rt.heap.charge_items(static_cast<size_t>(n));
  for (Int i = 0; i < n; ++i) list->items.push_back(Value::of(start + i * step));
  return Value::of(list);
}

// What namespace(…) and dict(…) are made of: at most one dict, and named values.
void gather(Runtime& rt, const Arguments& arguments, Dict& into) {
  if (arguments.positional.size() > 1) rt.fail("dict expected at most 1 argument");
  if (arguments.positional.size() == 1) {
    const Value& source = arguments.positional[0];
    rt.require_defined(source);
    if (source.is(Kind::kDict)) {
      rt.heap.charge_items(2 * source.dict().entries.size());
      into.entries = source.dict().entries;
    } else {
      for (const Value& pair : rt.iterate(source)->items) {
        const auto& items = rt.iterate(pair)->items;
        if (items.size() != 2) rt.fail("dictionary update sequence element is no pair");
        rt.set(into, items[0], items[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named) rt.set(into, rt.heap.text(std::string(name)), value);
}

Value global_dict(Runtime& rt, const Value&, const Arguments& arguments) {
  Dict* dict = rt.heap.dict();
  gather(rt, arguments, *dict);
  return Value::of(dict);
}

Value global_namespace(Runtime& rt, const Value&, const Arguments& arguments) {
  Dict entries;
  gather(rt, arguments, entries);
  Namespace* result = rt.heap.name_space();
  for (const auto& [name, value] : entries.entries) {
    if (!name.is(Kind::kText)) rt.fail("a namespace needs names");
    if (name.text().bytes().substr(0, 1) == "_") {
      rt.fail("chat templates cannot store underscore-prefixed attributes on a namespace");
    }
    result->attributes.emplace_back(name.text().bytes(), value);
  }
  return Value::of(result);
}

Value global_raise_exception(Runtime& rt, const Value&, const Arguments& arguments) {
  const Bound bound = rt.bind("raise_exception()", arguments, {"message"}, 1);
  rt.fail(fmt::format("the template refuses the messages: {}", printable(rt.str(*bound[0]).bytes(), 400)));
}

Value global_strftime_now(Runtime& rt, const Value&, const Arguments& arguments) {
  const Bound bound = rt.bind("strftime_now()", arguments, {"format"}, 1);
  rt.require_defined(*bound[0]);
  if (!bound[0]->is(Kind::kText)) rt.fail("strftime() argument 1 must be str");
  const std::string& format = bound[0]->text().bytes();
  if (rt.pinned_date_text != nullptr && (format == "%d %b %Y" || !rt.pinned_date)) {
    return Value::of(rt.pinned_date_text);
  }
  std::tm time{};
  if (rt.pinned_date) {
    time = *rt.pinned_date;
  } else {
    const std::time_t now = std::time(nullptr);
    localtime_r(&now, &time);
  }
  if (format.size() > 200 || format.find('\0') != std::string::npos)
    rt.fail("a date format of more than 200 bytes");
  char buffer[4096];
  // A blank in front tells an empty result from one that did not fit.
  const std::string padded = " " + format;
  const size_t n = std::strftime(buffer, sizeof buffer, padded.c_str(), &time);
  if (n == 0) rt.fail("the date does not fit");
  return rt.heap.text(std::string(buffer + 1, n - 1));
}

}  // namespace

std::vector<std::pair<std::string_view, Builtin>> global_functions() {
  return {{"range", global_range},
          {"dict", global_dict},
          {"namespace", global_namespace},
          {"raise_exception", global_raise_exception},
          {"strftime_now", global_strftime_now}};
}

// ---- "…" % values ----

MarkedText Runtime::percent_format(const MarkedText& format, const Value& values) {
  const std::string& bytes = format.bytes();
  heap.charge_text(bytes.size());
  const bool is_tuple = values.is(Kind::kList) && values.list().flavour == ListFlavour::kTuple;
  size_t n_used = 0;
  const auto next_value = [&]() -> Value {
    if (is_tuple) {
      if (n_used >= values.list().items.size()) fail("not enough arguments for format string");
      return values.list().items[n_used++];
    }
    if (n_used++ > 0) fail("not enough arguments for format string");
    return values;
  };
  MarkedText result;
  for (size_t at = 0; at < bytes.size();) {
    const size_t percent = std::min(bytes.find('%', at), bytes.size());
    heap.charge_growth(result.footprint(), percent - at);
    result.append(format, at, percent);
    if (percent == bytes.size()) break;
    at = percent + 1;
    Value value;
    bool has_value = false;
    if (at < bytes.size() && bytes[at] == '(') {
      const size_t close = bytes.find(')', at);
      if (close == std::string::npos || !values.is(Kind::kDict)) fail("format requires a mapping");
      const MarkedText key(bytes.substr(at + 1, close - at - 1));
      const Value* found = find(values.dict(), Value::of(&key));
      if (found == nullptr) fail(fmt::format("no value for the format key '{}'", printable(key.bytes())));
      value = *found;
      has_value = true;
      at = close + 1;
    }
    const size_t spec = at;
    while (at < bytes.size() && (std::string_view("0.+- ").find(bytes[at]) != std::string_view::npos ||
                                 (bytes[at] >= '0' && bytes[at] <= '9'))) {
      ++at;
    }
    if (at >= bytes.size() || at - spec > 6) fail("incomplete format");
    const char conversion = bytes[at++];
    if (conversion == '%') {
      result.append("%");
      continue;
    }
    if (!has_value) value = next_value();
    const std::string flags = bytes.substr(spec, at - 1 - spec);
    if (conversion == 's' && flags.empty()) {
      append_str(result, value);
    } else if (conversion == 'r' && flags.empty()) {
      append_repr(result, value);
    } else if ((conversion == 'd' || conversion == 'i') && flags.empty() && value.is_number()) {
      if (value.is(Kind::kFloat) && !(value.real() > -1e18 && value.real() < 1e18))
        fail("a number out of range");
      result.append(integer_text(value.is(Kind::kFloat) ? static_cast<Int>(value.real()) : value.integer()));
    } else if ((conversion == 'f' || conversion == 'e' || conversion == 'g') && value.is_number()) {
      int width = 0;
      for (const char c : flags) width = c >= '0' && c <= '9' ? width * 10 + (c - '0') : width;
      if (width > 999) fail("a format width of more than 999");
      char buffer[2400];
      const std::string c_format = "%" + flags + conversion;
      const int n = std::snprintf(buffer, sizeof buffer, c_format.c_str(), value.real());
      if (n < 0 || n >= static_cast<int>(sizeof buffer)) fail("malformed format");
      result.append(std::string_view(buffer, static_cast<size_t>(n)));
    } else {
      require_defined(value);
      fail(fmt::format("the format '%{}{}' of a {} is not supported", printable(flags), conversion,
                       type_name(value)));
    }
  }
  if (is_tuple ? n_used < values.list().items.size() : n_used == 0 && !values.is(Kind::kDict)) {
    fail("not all arguments converted during string formatting");
  }
  return result;
}

}  // namespace chaski::jinja
