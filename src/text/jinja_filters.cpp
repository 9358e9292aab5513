// Filters, each as Jinja 3.1 defines it, for values as transformers gives them (no autoescape).
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/utf8.h"
#include "text/jinja_runtime.h"

namespace chaski::jinja {

namespace {

using Bound = std::vector<std::optional<Value>>;

bool is_absent(const std::optional<Value>& value) { return !value || value->is(Kind::kNone); }

Value generator(Runtime& rt, std::vector<Value> items) {
  return Value::of(rt.heap.list(ListFlavour::kGenerator, std::move(items)));
}

Value lowered(Runtime& rt, const Value& value) {
  if (!value.is(Kind::kText)) return value;
  rt.heap.charge_text(value.text().size());
  return rt.heap.text(lower(value.text()));
}

// `item.a.b` for the attribute "a.b", as filters take it.
Value attribute_path(Runtime& rt, Value item, const Value& path) {
  if (!path.is(Kind::kText)) return rt.item(item, path);
  const std::string& text = path.text().bytes();
  for (size_t begin = 0; begin <= text.size();) {
    const size_t dot = std::min(text.find('.', begin), text.size());
    const std::string part = text.substr(begin, dot - begin);
    const bool is_number = !part.empty() && part.find_first_not_of("0123456789") == std::string::npos;
    const std::optional<Int> number = is_number ? parse_python_int(part) : std::nullopt;
    item = rt.item(item, number ? Value::of(*number) : rt.heap.text(part));
    begin = dot + 1;
  }
  return item;
}

// A key to sort and to tell apart by: the attribute if there is one, lower case unless case matters.
Value sort_key(Runtime& rt, const Value& item, const std::optional<Value>& attribute,
               bool is_case_sensitive) {
  const Value key = is_absent(attribute) ? item : attribute_path(rt, item, *attribute);
  return is_case_sensitive ? key : lowered(rt, key);
}

std::vector<Value> sorted(Runtime& rt, std::vector<std::pair<Value, Value>> keyed, bool is_reverse) {
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return is_reverse ? rt.compare(b.first, a.first) < 0 : rt.compare(a.first, b.first) < 0;
  });
  std::vector<Value> items;
  items.reserve(keyed.size());
  for (const auto& entry : keyed) items.push_back(entry.second);
  return items;
}

// ---- texts ----

template <MarkedText (*kMap)(const MarkedText&)>
Value filter_case(Runtime& rt, const Value& value, const Arguments& arguments) {
  rt.bind("a case filter", arguments, {});
  const MarkedText text = rt.str(value);
  return rt.heap.text(kMap(text));
}

// Jinja's own title(): words are parted by white space, hyphens and opening brackets.
MarkedText title_words(const MarkedText& text) {
  MarkedText result;
  bool at_begin = true;
  const std::string& bytes = text.bytes();
  for (size_t at = 0; at < bytes.size();) {
    const CodePoint c = code_point_at(bytes, at);
    const MarkedText one = text.slice(at, at + c.length);
    result.append(at_begin ? upper(one) : lower(one));
    at_begin = is_python_space(c.code) || std::string_view("-({[<").find(bytes[at]) != std::string_view::npos;
    at += c.length;
  }
  return result;
}

Value through_method(Runtime& rt, const Value& value, std::string_view name, const Arguments& arguments) {
  const Value text = value.is(Kind::kText) ? value : rt.heap.text(rt.str(value));
  const std::optional<Value> method = rt.method(text, name);
  CHECK(method.has_value(), "no method {}", name);
  return method->callable().builtin(rt, text, arguments);
}

Value filter_trim(Runtime& rt, const Value& value, const Arguments& arguments) {
  return through_method(rt, value, "strip", arguments);
}

Value filter_replace(Runtime& rt, const Value& value, const Arguments& arguments) {
  const Bound bound = rt.bind("replace", arguments, {"old", "new", "count"}, 2);
  Arguments texts;
  texts.positional = {rt.heap.text(rt.str(*bound[0])), rt.heap.text(rt.str(*bound[1]))};
  if (bound[2]) texts.positional.push_back(*bound[2]);
  return through_method(rt, value, "replace", texts);
}

Value filter_string(Runtime& rt, const Value& value, const Arguments& arguments) {
  rt.bind("string", arguments, {});
  return value.is(Kind::kText) ? value : rt.heap.text(rt.str(value));
}

Value filter_format(Runtime& rt, const Value& value, const Arguments& arguments) {
  Value values;
  if (!arguments.named.empty()) {
    if (!arguments.positional.empty()) rt.fail("format takes positional or named arguments, not both");
    Dict* dict = rt.heap.dict();
    for (const auto& [name, one] : arguments.named) rt.set(*dict, rt.heap.text(std::string(name)), one);
    values = Value::of(dict);
  } else {
    values = Value::of(rt.heap.list(ListFlavour::kTuple, arguments.positional));
  }
  return rt.heap.text(rt.percent_format(rt.str(value), values));
}

Value filter_indent(Runtime& rt, const Value& value, const Arguments& arguments) {
  const Bound bound = rt.bind("indent", arguments, {"width", "first", "blank"});
  MarkedText indention;
  if (bound[0] && bound[0]->is(Kind::kText)) {
    indention = bound[0]->text();
  } else {
    const int64_t width = bound[0] ? rt.to_count(*bound[0]) : 4;
    if (width > 1000) rt.fail("an indent of more than 1000");
    indention.append(std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' '));
  }
  const bool indents_first = bound[1] && rt.truth(*bound[1]);
  const bool indents_blank = bound[2] && rt.truth(*bound[2]);
  const Value text = rt.binary(ExpressionKind::kAdd, value, rt.heap.text("\n"));
  const Value lines = through_method(rt, text, "splitlines", {});
  MarkedText result;
  bool is_first = true;
  for (const Value& line : lines.list().items) {
    if (!is_first) result.append("\n");
    const bool is_indented = is_first ? indents_first : indents_blank || !line.text().empty();
    rt.heap.charge_growth(result.footprint(), 1 + indention.footprint() + line.text().footprint());
    if (is_indented) result.append(indention);
    result.append(line.text());
    is_first = false;
  }
  return rt.heap.text(std::move(result));
}

Value filter_center(Runtime& rt, const Value& value, const Arguments& arguments) {
  const Bound bound = rt.bind("center", arguments, {"width"});
  const int64_t width = bound[0] ? rt.to_count(*bound[0]) : 80;
  const MarkedText text = rt.str(value);
  const auto size = static_cast<int64_t>(count_code_points(text.bytes()));
  if (width <= size) return rt.heap.text(text);
  rt.heap.charge_text(static_cast<size_t>(width));
  const int64_t padding = width - size;
  const int64_t left = padding / 2 + (padding & width & 1);
  MarkedText result(std::string(static_cast<size_t>(left), ' '));
  result.append(text);
  result.append(std::string(static_cast<size_t>(padding - left), ' '));
  return rt.heap.text(std::move(result));
}

Value filter_wordcount(Runtime& rt, const Value& value, const Arguments& arguments) {
  rt.bind("wordcount", arguments, {});
  Int n = 0;
  bool in_word = false;
  const MarkedText text = rt.str(value);
  for (const char c : text.bytes()) {
    const auto byte = static_cast<unsigned char>(c);
    const bool is_word = byte >= 0x80 || std::isalnum(byte) != 0 || c == '_';
    n += is_word && !in_word ? 1 : 0;
    in_word = is_word;
  }
  return Value::of(n);
}

Value filter_escape(Runtime& rt, const Value& value, const Arguments& arguments) {
  rt.bind("escape", arguments, {});
  const MarkedText text = rt.str(value);
  MarkedText result;
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text.bytes()[at];
    const std::string_view name = c == '&'    ? "&amp;"
                                  : c == '<'  ? "&lt;"
                                  : c == '>'  ? "&gt;"
                                  : c == '"'  ? "&#34;"
                                  : c == '\'' ? "&#39;"
                                              : std::string_view(&c, 1);
    result.append(name, text.is_marked_at(at));
    rt.heap.check_text(result.footprint());
  }
  return rt.heap.text(std::move(result));
}

Value filter_tojson(Runtime& rt, const Value& value, const Arguments& arguments) {
  const Bound bound = rt.bind("tojson", arguments, {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.ensure_ascii = bound[0] && rt.truth(*bound[0]);
  style.sort_keys = bound[3] && rt.truth(*bound[3]);
  if (!is_absent(bound[1])) {
    style.item_separator = ",";  // a line end follows instead of the blank
    if (bound[1]->is(Kind::kText)) {
      style.indent = bound[1]->text().bytes();
    } else {
      const int64_t width = rt.to_count(*bound[1]);
      if (width > 100) rt.fail("an indent of more than 100");
      const std::string blanks(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
      style.indent = rt.heap.text(blanks).text().bytes();
    }
  }
  if (!is_absent(bound[2])) {
    const auto& pair = rt.iterate(*bound[2])->items;
    if (pair.size() != 2 || !pair[0].is(Kind::kText) || !pair[1].is(Kind::kText)) {
      rt.fail("separators must be two texts");
    }
    style.item_separator = pair[0].text().bytes();
    style.key_separator = pair[1].text().bytes();
  }
  MarkedText text;
  rt.append_json(text, value, style);
  return rt.heap.text(std::move(text));
}

// ---- sequences ----

Value filter_length(Runtime& rt, const Value& value, const Arguments& arguments) {
  rt.bind("length", arguments, {});
  return Value::of(static_cast<Int>(rt.length(value)));
}

Value filter_join(Runtime& rt, const Value& value, const Arguments& arguments) {
  const Bound bound = rt.bind("join", arguments, {"d", "attribute"});
  MarkedText result;
  bool is_first = true;
  for (const Value& item : rt.iterate(value)->items) {
    if (!is_first && bound[0]) rt.append_str(result, *bound[0]);
    is_first = false;
    rt.append_str(result, is_absent(bound[1]) ? item : attribute_path(rt, item, *bound[1]));
  }
  return rt.heap.text(std::move(result));
}

Value filter_first(Runtime& rt, const Value& value, const Arguments& arguments) {
  rt.bind("first", arguments, {});
  const auto& items = rt.iterate(value)->items;
  return items.empty() ? Value::undefined(rt.heap.name("first item of nothing")) : items.front();
}

Value filter_last(Runtime& rt, const Value& value, const Arguments& arguments) {
  rt.bind("last", arguments, {});
  if (value.is(Kind::kList) && value.list().flavour == ListFlavour::kGenerator) {
    rt.fail("'generator' object is not reversible");
  }
  const auto& items = rt.iterate(value)->items;
  return items.empty() ? Value::undefined(rt.heap.name("last item of nothing")) : items.back();
}

Value filter_list(Runtime& rt, const Value& value, const Arguments& arguments) {
  rt.bind("list", arguments, {});
  return Value::of(rt.heap.list(ListFlavour::kList, rt.iterate(value)->items));
}

Value filter_reverse(Runtime& rt, const Value& value, const Arguments& arguments) {
  rt.bind("reverse", arguments, {});
  std::vector<Value> items = rt.iterate(value)->items;
  std::reverse(items.begin(), items.end());
  if (!value.is(Kind::kText)) return generator(rt, std::move(items));
  MarkedText text;
  for (const Value& item : items) text.append(item.text());
  return rt.heap.text(std::move(text));
}

Value filter_items(Runtime& rt, const Value& value, const Arguments& arguments) {
  rt.bind("items", arguments, {});
  if (value.is(Kind::kUndefined)) return generator(rt, {});
  if (!value.is(Kind::kDict)) rt.fail("Can only get item pairs from a mapping.");
  std::vector<Value> pairs;
  for (const auto& [key, item] : value.dict().entries) {
    pairs.push_back(Value::of(rt.heap.list(ListFlavour::kTuple, {key, item})));
  }
  return generator(rt, std::move(pairs));
}

Value filter_dictsort(Runtime& rt, const Value& value, const Arguments& arguments) {
  const Bound bound = rt.bind("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const bool is_case_sensitive = bound[0] && rt.truth(*bound[0]);
  const std::string by = bound[1] ? rt.str(*bound[1]).bytes() : "key";
  if (by != "key" && by != "value") rt.fail("You can only sort by either \"key\" or \"value\"");
  rt.require_defined(value);
  if (!value.is(Kind::kDict)) rt.fail(fmt::format("dictsort of a '{}'", Runtime::type_name(value)));
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [key, item] : value.dict().entries) {
    const Value pair = Value::of(rt.heap.list(ListFlavour::kTuple, {key, item}));
    const Value& sorted_by = by == "key" ? key : item;
    keyed.emplace_back(is_case_sensitive ? sorted_by : lowered(rt, sorted_by), pair);
  }
  return Value::of(
      rt.heap.list(ListFlavour::kList, sorted(rt, std::move(keyed), bound[2] && rt.truth(*bound[2]))));
}

Value filter_sort(Runtime& rt, const Value& value, const Arguments& arguments) {
  const Bound bound = rt.bind("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  const bool is_case_sensitive = bound[1] && rt.truth(*bound[1]);
  const auto& items = rt.iterate(value)->items;
  rt.heap.charge_items(2 * items.size());
  std::vector<std::pair<Value, Value>> keyed;
  keyed.reserve(items.size());
  for (const Value& item : items) {
    keyed.emplace_back(sort_key(rt, item, bound[2], is_case_sensitive), item);
  }
  return Value::of(
      rt.heap.list(ListFlavour::kList, sorted(rt, std::move(keyed), bound[0] && rt.truth(*bound[0]))));
}

Value filter_unique(Runtime& rt, const Value& value, const Arguments& arguments) {
  const Bound bound = rt.bind("unique", arguments, {"case_sensitive", "attribute"});
  Dict seen;
  std::vector<Value> items;
  for (const Value& item : rt.iterate(value)->items) {
    const Value key = sort_key(rt, item, bound[1], bound[0] && rt.truth(*bound[0]));
    if (rt.find(seen, key) != nullptr) continue;
    seen.entries.emplace_back(key, item);
    items.push_back(item);
  }
  return generator(rt, std::move(items));
}

template <bool kMax>
Value filter_extreme(Runtime& rt, const Value& value, const Arguments& arguments) {
  const Bound bound = rt.bind("min or max", arguments, {"case_sensitive", "attribute"});
  const bool is_case_sensitive = bound[0] && rt.truth(*bound[0]);
  const auto& items = rt.iterate(value)->items;
  if (items.empty()) return Value::undefined(rt.heap.name("aggregated item of nothing"));
  Value best = items[0];
  Value best_key = sort_key(rt, best, bound[1], is_case_sensitive);
  for (size_t i = 1; i < items.size(); ++i) {
    const Value key = sort_key(rt, items[i], bound[1], is_case_sensitive);
    const int order = rt.compare(key, best_key);
    if (kMax ? order <= 0 : order >= 0) continue;
    best = items[i];
    best_key = key;
  }
  return best;
}

Value filter_sum(Runtime& rt, const Value& value, const Arguments& arguments) {
  const Bound bound = rt.bind("sum", arguments, {"attribute", "start"});
  Value total = bound[1].value_or(Value::of(Int{0}));
  if (total.is(Kind::kText)) rt.fail("sum() can't sum strings");
  for (const Value& item : rt.iterate(value)->items) {
    total = rt.binary(ExpressionKind::kAdd, total,
                      is_absent(bound[0]) ? item : attribute_path(rt, item, *bound[0]));
  }
  return total;
}

Value filter_batch(Runtime& rt, const Value& value, const Arguments& arguments) {
  const Bound bound = rt.bind("batch", arguments, {"linecount", "fill_with"}, 1);
  const int64_t size = rt.to_count(*bound[0]);
  if (size <= 0) rt.fail("batch of no elements");
  std::vector<Value> batches;
  List* batch = nullptr;
  for (const Value& item : rt.iterate(value)->items) {
    if (batch == nullptr || batch->items.size() == static_cast<size_t>(size)) {
      batch = rt.heap.list();
      batches.push_back(Value::of(batch));
    }
    rt.heap.push(*batch, item);
  }
  if (batch != nullptr && !is_absent(bound[1])) {
    rt.heap.charge_items(static_cast<size_t>(size) - batch->items.size());
    batch->items.resize(static_cast<size_t>(size), *bound[1]);
  }
  return generator(rt, std::move(batches));
}

// ---- map and select ----

Value filter_map(Runtime& rt, const Value& value, const Arguments& arguments) {
  std::vector<Value> items;
  const auto& source = rt.iterate(value)->items;
  rt.heap.charge(source.size());
  if (arguments.positional.empty()) {
    const Bound bound = rt.bind("map", arguments, {"attribute", "default"}, 1);
    for (const Value& item : source) {
      Value part = attribute_path(rt, item, *bound[0]);
      if (part.is(Kind::kUndefined) && !is_absent(bound[1])) part = *bound[1];
      items.push_back(part);
    }
    return generator(rt, std::move(items));
  }
  const std::string name = rt.str(arguments.positional[0]).bytes();
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin());
  for (const Value& item : source) items.push_back(rt.call_filter(name, item, rest));
  return generator(rt, std::move(items));
}

template <bool kKeep, bool kByAttribute>
Value filter_select(Runtime& rt, const Value& value, const Arguments& arguments) {
  Arguments rest = arguments;
  Value attribute;
  if (kByAttribute) {
    if (rest.positional.empty()) rt.fail("Missing parameter for attribute name");
    attribute = rest.positional[0];
    rest.positional.erase(rest.positional.begin());
  }
  std::optional<std::string> test;
  if (!rest.positional.empty()) {
    test = rt.str(rest.positional[0]).bytes();
    rest.positional.erase(rest.positional.begin());
  }
  std::vector<Value> items;
  for (const Value& item : rt.iterate(value)->items) {
    const Value tested = kByAttribute ? attribute_path(rt, item, attribute) : item;
    if ((test ? rt.call_test(*test, tested, rest) : rt.truth(tested)) == kKeep) items.push_back(item);
  }
  return generator(rt, std::move(items));
}

// ---- numbers and others ----

Value filter_default(Runtime& rt, const Value& value, const Arguments& arguments) {
  const Bound bound = rt.bind("default", arguments, {"default_value", "boolean"});
  const bool is_replaced =
      value.is(Kind::kUndefined) || (bound[1] && rt.truth(*bound[1]) && !rt.truth(value));
  if (!is_replaced) return value;
  return bound[0] ? *bound[0] : rt.heap.text("");
}

std::optional<Int> truncated(Runtime& rt, double value) {
  if (!std::isfinite(value)) return std::nullopt;
  if (!(value > -1.7e38 && value < 1.7e38)) rt.fail("an integer of more than 127 bits is not supported");
  return static_cast<Int>(value);
}

Value filter_int(Runtime& rt, const Value& value, const Arguments& arguments) {
  const Bound bound = rt.bind("int", arguments, {"default", "base"});
  const Value otherwise = bound[0].value_or(Value::of(Int{0}));
  const int64_t base = bound[1] ? rt.to_count(*bound[1]) : 10;
  if (base < 2 || base > 36) rt.fail("a base of 2 to 36 is expected");
  if (value.is_integer()) return Value::of(value.integer());
  std::optional<Int> result;
  if (value.is(Kind::kFloat)) result = truncated(rt, value.real());
  if (value.is(Kind::kText)) {
    result = parse_python_int(value.text().bytes(), static_cast<int>(base));
    if (!result) {
      const std::optional<double> real = parse_python_float(value.text().bytes());
      if (real) result = truncated(rt, *real);
    }
  }
  if (value.is(Kind::kUndefined)) rt.require_defined(value);
  return result ? Value::of(*result) : otherwise;
}

Value filter_float(Runtime& rt, const Value& value, const Arguments& arguments) {
  const Bound bound = rt.bind("float", arguments, {"default"});
  if (value.is_number()) return Value::of(value.real());
  if (value.is(Kind::kUndefined)) rt.require_defined(value);
  if (value.is(Kind::kText)) {
    if (const std::optional<double> real = parse_python_float(value.text().bytes())) return Value::of(*real);
  }
  return bound[0].value_or(Value::of(0.0));
}

Value filter_abs(Runtime& rt, const Value& value, const Arguments& arguments) {
  rt.bind("abs", arguments, {});
  if (value.is(Kind::kFloat)) return Value::of(std::fabs(value.real()));
  return rt.to_index(value) < 0 ? rt.negate(value) : Value::of(value.integer());
}

Value filter_round(Runtime& rt, const Value& value, const Arguments& arguments) {
  const Bound bound = rt.bind("round", arguments, {"precision", "method"});
  const int64_t precision = bound[0] ? rt.to_count(*bound[0]) : 0;
  const std::string method = bound[1] ? rt.str(*bound[1]).bytes() : "common";
  rt.require_defined(value);
  if (!value.is_number()) rt.fail(fmt::format("round of a '{}'", Runtime::type_name(value)));
  if (precision < 0 || precision > 300) rt.fail("a precision of 0 to 300 is expected");
  if (method == "common") {
    if (value.is_integer()) return Value::of(value.integer());
    if (!std::isfinite(value.real())) return value;
    return Value::of(std::strtod(fmt::format("{:.{}f}", value.real(), precision).c_str(), nullptr));
  }
  if (method != "ceil" && method != "floor") rt.fail("method must be common, ceil or floor");
  const double scale = std::pow(10.0, static_cast<double>(precision));
  const double scaled = value.real() * scale;
  return Value::of((method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale);
}

Value filter_attr(Runtime& rt, const Value& value, const Arguments& arguments) {
  const Bound bound = rt.bind("attr", arguments, {"name"}, 1);
  const std::string name = rt.str(*bound[0]).bytes();
  // Unlike the dot, attr looks at attributes alone, never at the items of a dict.
  if (value.is(Kind::kDict)) return rt.method(value, name).value_or(Value::undefined(rt.heap.name(name)));
  return rt.attribute(value, name);
}

struct Filter {
  std::string_view name;
  Builtin function;
};

constexpr Filter kFilters[] = {
    {"abs", filter_abs},
    {"attr", filter_attr},
    {"batch", filter_batch},
    {"capitalize", filter_case<capitalize>},
    {"center", filter_center},
    {"count", filter_length},
    {"d", filter_default},
    {"default", filter_default},
    {"dictsort", filter_dictsort},
    {"e", filter_escape},
    {"escape", filter_escape},
    {"first", filter_first},
    {"float", filter_float},
    {"format", filter_format},
    {"indent", filter_indent},
    {"int", filter_int},
    {"items", filter_items},
    {"join", filter_join},
    {"last", filter_last},
    {"length", filter_length},
    {"list", filter_list},
    {"lower", filter_case<lower>},
    {"map", filter_map},
    {"max", filter_extreme<true>},
    {"min", filter_extreme<false>},
    {"reject", filter_select<false, false>},
    {"rejectattr", filter_select<false, true>},
    {"replace", filter_replace},
    {"reverse", filter_reverse},
    {"round", filter_round},
    {"safe", filter_string},
    {"select", filter_select<true, false>},
    {"selectattr", filter_select<true, true>},
    {"sort", filter_sort},
    {"string", filter_string},
    {"sum", filter_sum},
    {"title", filter_case<title_words>},
    {"tojson", filter_tojson},
    {"trim", filter_trim},
    {"unique", filter_unique},
    {"upper", filter_case<upper>},
    {"wordcount", filter_wordcount},
};

}  // namespace

Value Runtime::call_filter(std::string_view name, const Value& value, const Arguments& arguments) {
  heap.charge(1);
  for (const Filter& filter : kFilters) {
    if (filter.name == name) return filter.function(*this, value, arguments);
  }
  fail(fmt::format("the filter '{}' is not supported", printable(name)));
}

}  // namespace chaski::jinja
