// Methods of texts, dicts and lists. The functions every template sees are in jinja_functions.cpp.
#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"
#include "text/jinja_runtime.h"

namespace chaski::jinja {

namespace {

using Bound = std::vector<std::optional<Value>>;

bool is_absent(const std::optional<Value>& value) { return !value || value->is(Kind::kNone); }

const MarkedText& require_text(Runtime& rt, const std::optional<Value>& value, std::string_view what) {
  if (!value || !value->is(Kind::kText)) {
    if (value) rt.require_defined(*value);
    rt.fail(fmt::format("{} must be str, not {}", what, value ? Runtime::type_name(*value) : "nothing"));
  }
  return value->text();
}

// ---- strip ----

Value strip_sides(Runtime& rt, const Value& self, const Arguments& arguments, bool left, bool right) {
  const Bound bound = rt.bind("strip()", arguments, {"chars"});
  rt.heap.charge_text(self.text().size());
  // What loses nothing is the text itself, and not once more in memory.
  const auto kept = [&](MarkedText text) {
    return text.size() == self.text().size() ? self : rt.heap.text(std::move(text));
  };
  if (is_absent(bound[0])) return kept(strip(self.text(), left, right, is_python_space));
  const std::string& chars = require_text(rt, bound[0], "strip arg").bytes();
  rt.heap.charge(1 + self.text().size() / 64 * (chars.size() / 4));
  std::vector<uint32_t> codes;
  for (size_t at = 0; at < chars.size();) {
    const CodePoint c = code_point_at(chars, at);
    codes.push_back(c.code);
    at += c.length;
  }
  return kept(strip(self.text(), left, right, [&](uint32_t code) {
    return std::find(codes.begin(), codes.end(), code) != codes.end();
  }));
}

Value method_strip(Runtime& rt, const Value& self, const Arguments& a) {
  return strip_sides(rt, self, a, true, true);
}
Value method_lstrip(Runtime& rt, const Value& self, const Arguments& a) {
  return strip_sides(rt, self, a, true, false);
}
Value method_rstrip(Runtime& rt, const Value& self, const Arguments& a) {
  return strip_sides(rt, self, a, false, true);
}

// ---- split ----

struct Range {
  size_t begin, end;
};

// Words between white space; with at most `max_split` cuts the rest of the text stays as it is to its far
// end.
std::vector<Range> split_space(const std::string& text, int64_t max_split, bool from_right) {
  std::vector<Range> words;
  for (size_t at = 0; at < text.size();) {
    CodePoint c = code_point_at(text, at);
    if (is_python_space(c.code)) {
      at += c.length;
      continue;
    }
    const size_t begin = at;
    while (at < text.size() && !is_python_space((c = code_point_at(text, at)).code)) at += c.length;
    words.push_back({begin, at});
  }
  const auto max_words = static_cast<size_t>(max_split) + 1;
  if (max_split < 0 || words.size() <= max_words) return words;
  if (from_right) {
    const size_t n_joined = words.size() - max_words + 1;
    words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(n_joined - 1));
    words.front().begin = 0;
  } else {
    words.resize(max_words);
    words.back().end = text.size();
  }
  return words;
}

std::vector<Range> split_at(const std::string& text, const std::string& separator, int64_t max_split,
                            bool from_right) {
  std::vector<size_t> cuts;
  if (from_right) {
    size_t end = text.size();
    while (max_split < 0 || cuts.size() < static_cast<size_t>(max_split)) {
      const size_t cut = find_last(std::string_view(text).substr(0, end), separator);
      if (cut == std::string::npos) break;
      cuts.push_back(cut);
      end = cut;
    }
    std::reverse(cuts.begin(), cuts.end());
  } else {
    for (size_t at = 0; max_split < 0 || cuts.size() < static_cast<size_t>(max_split);) {
      const size_t cut = find_first(text, separator, at);
      if (cut == std::string::npos) break;
      cuts.push_back(cut);
      at = cut + separator.size();
    }
  }
  std::vector<Range> parts;
  size_t begin = 0;
  for (const size_t cut : cuts) {
    parts.push_back({begin, cut});
    begin = cut + separator.size();
  }
  parts.push_back({begin, text.size()});
  return parts;
}

Value list_of(Runtime& rt, const MarkedText& text, const std::vector<Range>& parts,
              ListFlavour flavour = ListFlavour::kList) {
  List* list = rt.heap.list(flavour);
  for (const Range& part : parts) rt.heap.push(*list, rt.heap.text(text.slice(part.begin, part.end)));
  return Value::of(list);
}

Value split_text(Runtime& rt, const Value& self, const Arguments& arguments, bool from_right) {
  const Bound bound = rt.bind("split()", arguments, {"sep", "maxsplit"});
  const int64_t max_split = bound[1] ? rt.to_count(*bound[1]) : -1;
  rt.heap.charge_text(self.text().size());
  if (!is_absent(bound[0])) {
    const std::string& separator = require_text(rt, bound[0], "separator").bytes();
    if (separator.empty()) rt.fail("empty separator");
    return list_of(rt, self.text(), split_at(self.text().bytes(), separator, max_split, from_right));
  }
  return list_of(rt, self.text(), split_space(self.text().bytes(), max_split, from_right));
}

Value method_split(Runtime& rt, const Value& self, const Arguments& a) {
  return split_text(rt, self, a, false);
}
Value method_rsplit(Runtime& rt, const Value& self, const Arguments& a) {
  return split_text(rt, self, a, true);
}

Value method_splitlines(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Bound bound = rt.bind("splitlines()", arguments, {"keepends"});
  const bool keeps_ends = bound[0] && rt.truth(*bound[0]);
  const std::string& text = self.text().bytes();
  rt.heap.charge_text(text.size());
  std::vector<Range> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    size_t after = at + c.length;
    const bool ends = (c.code >= 0x0A && c.code <= 0x0D) || (c.code >= 0x1C && c.code <= 0x1E) ||
                      c.code == 0x85 || c.code == 0x2028 || c.code == 0x2029;
    if (ends) {
      if (c.code == '\r' && after < text.size() && text[after] == '\n') ++after;
      lines.push_back({begin, keeps_ends ? after : at});
      begin = after;
    }
    at = after;
  }
  if (begin < text.size()) lines.push_back({begin, text.size()});
  return list_of(rt, self.text(), lines);
}

Value partition_text(Runtime& rt, const Value& self, const Arguments& arguments, bool from_right) {
  const Bound bound = rt.bind("partition()", arguments, {"sep"}, 1);
  const std::string& separator = require_text(rt, bound[0], "separator").bytes();
  if (separator.empty()) rt.fail("empty separator");
  const std::string& text = self.text().bytes();
  rt.heap.charge_text(text.size());
  const size_t cut = from_right ? find_last(text, separator) : find_first(text, separator);
  std::vector<Range> parts;
  if (cut != std::string::npos) {
    parts = {{0, cut}, {cut, cut + separator.size()}, {cut + separator.size(), text.size()}};
  } else if (from_right) {
    parts = {{0, 0}, {0, 0}, {0, text.size()}};
  } else {
    parts = {{0, text.size()}, {0, 0}, {0, 0}};
  }
  return list_of(rt, self.text(), parts, ListFlavour::kTuple);
}

Value method_partition(Runtime& rt, const Value& self, const Arguments& a) {
  return partition_text(rt, self, a, false);
}
Value method_rpartition(Runtime& rt, const Value& self, const Arguments& a) {
  return partition_text(rt, self, a, true);
}

// ---- search ----

bool has_affix(Runtime& rt, const Value& self, const Value& affix, bool at_end) {
  if (affix.is(Kind::kList) && affix.list().flavour == ListFlavour::kTuple) {
    return std::any_of(affix.list().items.begin(), affix.list().items.end(), [&](const Value& one) {
      return !one.is(Kind::kList) && has_affix(rt, self, one, at_end);
    });
  }
  const std::string& part =
      require_text(rt, affix, at_end ? "endswith first arg" : "startswith first arg").bytes();
  const std::string& text = self.text().bytes();
  rt.heap.charge(1 + part.size() / 64);
  if (part.size() > text.size()) return false;
  return text.compare(at_end ? text.size() - part.size() : 0, part.size(), part) == 0;
}

Value method_startswith(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Bound bound = rt.bind("startswith()", arguments, {"prefix"}, 1);
  return Value::of(has_affix(rt, self, *bound[0], false));
}

Value method_endswith(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Bound bound = rt.bind("endswith()", arguments, {"suffix"}, 1);
  return Value::of(has_affix(rt, self, *bound[0], true));
}

Value method_removeprefix(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Bound bound = rt.bind("removeprefix()", arguments, {"prefix"}, 1);
  const size_t cut = require_text(rt, bound[0], "removeprefix() argument").size();
  if (!has_affix(rt, self, *bound[0], false)) return self;
  return rt.heap.text(self.text().slice(cut, self.text().size()));
}

Value method_removesuffix(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Bound bound = rt.bind("removesuffix()", arguments, {"suffix"}, 1);
  const size_t cut = require_text(rt, bound[0], "removesuffix() argument").size();
  if (!has_affix(rt, self, *bound[0], true)) return self;
  return rt.heap.text(self.text().slice(0, self.text().size() - cut));
}

Int find_text(Runtime& rt, const Value& self, const Arguments& arguments, bool from_right) {
  const Bound bound = rt.bind("find()", arguments, {"sub"}, 1);
  const std::string& text = self.text().bytes();
  const std::string& part = require_text(rt, bound[0], "must be str, not").bytes();
  rt.heap.charge_text(text.size());
  const size_t at = from_right ? find_last(text, part) : find_first(text, part);
  if (at == std::string::npos) return -1;
  return static_cast<Int>(count_code_points(std::string_view(text).substr(0, at)));
}

Value method_find(Runtime& rt, const Value& self, const Arguments& a) {
  return Value::of(find_text(rt, self, a, false));
}
Value method_rfind(Runtime& rt, const Value& self, const Arguments& a) {
  return Value::of(find_text(rt, self, a, true));
}
Value method_index(Runtime& rt, const Value& self, const Arguments& arguments) {
  if (!self.is(Kind::kText)) {
    const Bound bound = rt.bind("index()", arguments, {"value"}, 1);
    const auto& items = rt.iterate(self)->items;
    for (size_t i = 0; i < items.size(); ++i) {
      if (rt.equals(items[i], *bound[0])) return Value::of(static_cast<Int>(i));
    }
    rt.fail("the value is not in the list");
  }
  const Int at = find_text(rt, self, arguments, false);
  if (at < 0) rt.fail("substring not found");
  return Value::of(at);
}

Value method_count(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Bound bound = rt.bind("count()", arguments, {"value"}, 1);
  Int n = 0;
  if (!self.is(Kind::kText)) {
    for (const Value& item : rt.iterate(self)->items) n += rt.equals(item, *bound[0]) ? 1 : 0;
    return Value::of(n);
  }
  const std::string& text = self.text().bytes();
  const std::string& part = require_text(rt, bound[0], "must be str, not").bytes();
  rt.heap.charge_text(text.size());
  if (part.empty()) return Value::of(static_cast<Int>(count_code_points(text)) + 1);
  for (size_t at = 0; (at = find_first(text, part, at)) != std::string::npos; at += part.size()) ++n;
  return Value::of(n);
}

// ---- replace, join, case ----

Value method_replace(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Bound bound = rt.bind("replace()", arguments, {"old", "new", "count"}, 2);
  const MarkedText& text = self.text();
  const std::string& old = require_text(rt, bound[0], "replace() argument 1").bytes();
  const MarkedText& fresh = require_text(rt, bound[1], "replace() argument 2");
  const int64_t max_count = is_absent(bound[2]) ? -1 : rt.to_count(*bound[2]);
  rt.heap.charge_text(text.footprint());
  MarkedText result;
  size_t begin = 0;
  int64_t n = 0;
  const auto put = [&](size_t until) {
    rt.heap.charge_growth(result.footprint(), until - begin + fresh.footprint());
    result.append(text, begin, until);
    result.append(fresh);
    begin = until;
    ++n;
  };
  if (old.empty()) {
    for (size_t at = 0; max_count < 0 || n < max_count;) {
      put(at);
      if (at == text.size()) break;
      at += code_point_at(text.bytes(), at).length;
    }
  } else {
    while (max_count < 0 || n < max_count) {
      const size_t at = find_first(text.bytes(), old, begin);
      if (at == std::string::npos) break;
      put(at);
      begin = at + old.size();
    }
  }
  rt.heap.check_text(result.footprint() + text.size() - begin);
  result.append(text, begin, text.size());
  return rt.heap.text(std::move(result));
}

Value method_join(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Bound bound = rt.bind("join()", arguments, {"iterable"}, 1);
  MarkedText result;
  bool is_first = true;
  for (const Value& item : rt.iterate(*bound[0])->items) {
    if (!is_first) rt.append_str(result, self);
    is_first = false;
    rt.heap.charge_growth(result, require_text(rt, item, "sequence item"));
    result.append(item.text());
  }
  return rt.heap.text(std::move(result));
}

template <MarkedText (*kMap)(const MarkedText&)>
Value method_case(Runtime& rt, const Value& self, const Arguments& arguments) {
  rt.bind("a case method", arguments, {});
  rt.heap.charge_text(self.text().size());
  return rt.heap.text(kMap(self.text()));
}

// Whether all characters are in a class, and there is one. Beyond ASCII only the classes that need no table.
template <typename Predicate>
Value all_characters(Runtime& rt, const Value& self, const Arguments& arguments, Predicate predicate) {
  rt.bind("a test of characters", arguments, {});
  const std::string& text = self.text().bytes();
  rt.heap.charge_text(text.size());
  bool holds = !text.empty();
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = code_point_at(text, at);
    holds = holds && predicate(c.code);
    at += c.length;
  }
  return Value::of(holds);
}

Value method_isspace(Runtime& rt, const Value& self, const Arguments& a) {
  return all_characters(rt, self, a, is_python_space);
}

template <bool kLetters, bool kDigits>
Value method_isclass(Runtime& rt, const Value& self, const Arguments& arguments) {
  return all_characters(rt, self, arguments, [&](uint32_t code) {
    if (code >= 0x80) rt.fail("classes of characters beyond ASCII are not supported");
    const bool is_letter = (code | 0x20) >= 'a' && (code | 0x20) <= 'z';
    const bool is_digit = code >= '0' && code <= '9';
    return (kLetters && is_letter) || (kDigits && is_digit);
  });
}

template <CaseMap kMap>
Value method_iscase(Runtime& rt, const Value& self, const Arguments& arguments) {
  rt.bind("a test of case", arguments, {});
  rt.heap.charge_text(self.text().size());
  const MarkedText mapped = kMap == CaseMap::kLower ? lower(self.text()) : upper(self.text());
  const MarkedText other = kMap == CaseMap::kLower ? upper(self.text()) : lower(self.text());
  return Value::of(mapped.bytes() == self.text().bytes() && other.bytes() != self.text().bytes());
}

Value method_format(Runtime& rt, const Value& self, const Arguments& arguments) {
  const MarkedText& format = self.text();
  const std::string& bytes = format.bytes();
  rt.heap.charge_text(bytes.size());
  MarkedText result;
  size_t next = 0;
  std::optional<bool> counts;  // fields are numbered by their order, once the first is seen
  for (size_t at = 0; at < bytes.size();) {
    const size_t brace = bytes.find_first_of("{}", at);
    const size_t end = brace == std::string::npos ? bytes.size() : brace;
    rt.heap.charge_growth(result.footprint(), end - at);
    result.append(format, at, end);
    if (end == bytes.size()) break;
    if (end + 1 < bytes.size() && bytes[end + 1] == bytes[end]) {
      result.append(format, end, end + 1);
      at = end + 2;
      continue;
    }
    const size_t close = bytes.find('}', end);
    if (bytes[end] == '}' || close == std::string::npos) rt.fail("single brace in a format string");
    const std::string field = bytes.substr(end + 1, close - end - 1);
    if (field.find_first_of("{:!.[") != std::string::npos) {
      rt.fail(fmt::format("the format field '{{{}}}' is not supported", printable(field)));
    }
    const std::optional<Int> number = parse_python_int(field);
    if (number || field.empty()) {
      const bool is_counted = field.empty();
      if (counts.value_or(is_counted) != is_counted) rt.fail("format fields with and without numbers");
      counts = is_counted;
    }
    const Value* found = nullptr;
    if (field.empty() || number) {
      const size_t index = field.empty() ? next++ : static_cast<size_t>(*number);
      if (index < arguments.positional.size()) found = &arguments.positional[index];
    } else {
      for (const auto& [name, value] : arguments.named) found = name == field ? &value : found;
    }
    if (found == nullptr) rt.fail(fmt::format("no argument for the format field '{{{}}}'", printable(field)));
    rt.append_str(result, *found);
    at = close + 1;
  }
  return rt.heap.text(std::move(result));
}

// ---- dicts and lists ----

Value method_get(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Bound bound = rt.bind("get()", arguments, {"key", "default"}, 1);
  if (const Value* found = rt.find(self.dict(), *bound[0])) return *found;
  return bound[1].value_or(Value::none());
}

Value method_items(Runtime& rt, const Value& self, const Arguments& arguments) {
  rt.bind("items()", arguments, {});
  List* list = rt.heap.list(ListFlavour::kItems);
  for (const auto& [key, value] : self.dict().entries) {
    rt.heap.push(*list, Value::of(rt.heap.list(ListFlavour::kTuple, {key, value})));
  }
  return Value::of(list);
}

Value method_keys(Runtime& rt, const Value& self, const Arguments& arguments) {
  rt.bind("keys()", arguments, {});
  List* list = rt.heap.list(ListFlavour::kKeys);
  rt.heap.charge_items(self.dict().entries.size());
  for (const auto& entry : self.dict().entries) list->items.push_back(entry.first);
  return Value::of(list);
}

Value method_values(Runtime& rt, const Value& self, const Arguments& arguments) {
  rt.bind("values()", arguments, {});
  List* list = rt.heap.list(ListFlavour::kValues);
  rt.heap.charge_items(self.dict().entries.size());
  for (const auto& entry : self.dict().entries) list->items.push_back(entry.second);
  return Value::of(list);
}

Value method_copy(Runtime& rt, const Value& self, const Arguments& arguments) {
  rt.bind("copy()", arguments, {});
  if (self.is(Kind::kList)) return Value::of(rt.heap.list(self.list().flavour, self.list().items));
  Dict* dict = rt.heap.dict();
  rt.heap.charge_items(2 * self.dict().entries.size());
  dict->entries = self.dict().entries;
  return Value::of(dict);
}

struct Method {
  std::string_view name;
  Builtin function;  ///< null: Python has it and the sandbox does not let it be used
};

constexpr Method kTextMethods[] = {
    {"strip", method_strip},
    {"lstrip", method_lstrip},
    {"rstrip", method_rstrip},
    {"split", method_split},
    {"rsplit", method_rsplit},
    {"splitlines", method_splitlines},
    {"partition", method_partition},
    {"rpartition", method_rpartition},
    {"startswith", method_startswith},
    {"endswith", method_endswith},
    {"removeprefix", method_removeprefix},
    {"removesuffix", method_removesuffix},
    {"find", method_find},
    {"rfind", method_rfind},
    {"index", method_index},
    {"count", method_count},
    {"replace", method_replace},
    {"join", method_join},
    {"lower", method_case<lower>},
    {"upper", method_case<upper>},
    {"title", method_case<title>},
    {"capitalize", method_case<capitalize>},
    {"isspace", method_isspace},
    {"isalpha", method_isclass<true, false>},
    {"isdigit", method_isclass<false, true>},
    {"isnumeric", method_isclass<false, true>},
    {"isdecimal", method_isclass<false, true>},
    {"isalnum", method_isclass<true, true>},
    {"islower", method_iscase<CaseMap::kLower>},
    {"isupper", method_iscase<CaseMap::kUpper>},
    {"format", method_format},
};

constexpr Method kDictMethods[] = {
    {"get", method_get},   {"items", method_items}, {"keys", method_keys}, {"values", method_values},
    {"copy", method_copy}, {"clear", nullptr},      {"pop", nullptr},      {"popitem", nullptr},
    {"update", nullptr},   {"setdefault", nullptr},
};

constexpr Method kListMethods[] = {
    {"index", method_index}, {"count", method_count}, {"copy", method_copy}, {"append", nullptr},
    {"clear", nullptr},      {"pop", nullptr},        {"reverse", nullptr},  {"insert", nullptr},
    {"sort", nullptr},       {"extend", nullptr},     {"remove", nullptr},
};

}  // namespace

std::optional<Value> Runtime::method(const Value& object, std::string_view name) {
  const auto look_up = [&](const auto& methods) -> std::optional<Value> {
    for (const Method& method : methods) {
      if (method.name != name) continue;
      if (method.function == nullptr) return Value::undefined(heap.name(name));
      Callable callable;
      callable.name = method.name;
      callable.builtin = method.function;
      callable.self = object;
      return Value::of(heap.callable(callable));
    }
    return std::nullopt;
  };
  if (object.is(Kind::kText)) return look_up(kTextMethods);
  if (object.is(Kind::kDict)) return look_up(kDictMethods);
  if (object.is(Kind::kList) && object.list().flavour <= ListFlavour::kTuple) return look_up(kListMethods);
  return std::nullopt;
}

}  // namespace chaski::jinja
