// Python's rules for the values of a template: text, truth, comparison, attributes, items. Arithmetic:
// jinja_numbers.cpp.
#include "text/jinja_runtime.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"

namespace chaski::jinja {

// ---- names, truth, text ----

std::string_view Runtime::type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kText:
      return "str";
    case Kind::kDict:
      return "dict";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kCallable:
      return "function";
    case Kind::kList:
      break;
  }
  switch (value.list().flavour) {
    case ListFlavour::kList:
      return "list";
    case ListFlavour::kTuple:
      return "tuple";
    case ListFlavour::kRange:
      return "range";
    case ListFlavour::kKeys:
      return "dict_keys";
    case ListFlavour::kValues:
      return "dict_values";
    case ListFlavour::kItems:
      return "dict_items";
    case ListFlavour::kGenerator:
      return "generator";
  }
  return "object";
}

void Runtime::require_defined(const Value& value) const {
  if (!value.is(Kind::kUndefined)) return;
  const MarkedText* name = value.undefined_name();
  fail(name == nullptr ? "a value that is undefined is used"
                       : fmt::format("'{}' is undefined", printable(name->bytes())));
}

void Runtime::check_depth(int depth) const {
  if (depth > heap.limits().value_depth) {
    fail(fmt::format("a value nested deeper than {} levels", heap.limits().value_depth));
  }
}

bool Runtime::truth(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
      return value.boolean();
    case Kind::kInt:
      return value.integer() != 0;
    case Kind::kFloat:
      return value.real() != 0;
    case Kind::kText:
      return !value.text().empty();
    case Kind::kList:
      return value.list().flavour == ListFlavour::kGenerator || !value.list().items.empty();
    case Kind::kDict:
      return !value.dict().entries.empty();
    case Kind::kNamespace:
    case Kind::kLoop:
    case Kind::kCallable:
      return true;
  }
  return false;
}

MarkedText Runtime::str(const Value& value) {
  MarkedText text;
  append_str(text, value);
  return text;
}

void Runtime::append_str(MarkedText& out, const Value& value) {
  if (value.is(Kind::kUndefined)) return;
  if (value.is(Kind::kText)) {
    heap.charge_growth(out, value.text());
    out.append(value.text());
    return;
  }
  append_repr(out, value);
}

namespace {

void append_repr_of_text(const Heap& heap, MarkedText& out, const MarkedText& text) {
  const std::string& bytes = text.bytes();
  const bool has_single = bytes.find('\'') != std::string::npos;
  const char quote = has_single && bytes.find('"') == std::string::npos ? '"' : '\'';
  out.append(std::string_view(&quote, 1));
  for (size_t at = 0; at < bytes.size();) {
    const CodePoint c = code_point_at(bytes, at);
    const std::string_view raw = std::string_view(bytes).substr(at, c.length);
    const bool is_marked = text.is_marked_at(at);
    if (raw[0] == quote || raw[0] == '\\') {
      out.append("\\", is_marked);
      out.append(raw, is_marked);
    } else if (is_printable(c.code)) {
      out.append(raw, is_marked);
    } else {
      out.append(c.code == '\n'     ? "\\n"
                 : c.code == '\r'   ? "\\r"
                 : c.code == '\t'   ? "\\t"
                 : c.code < 0x100   ? fmt::format("\\x{:02x}", c.code)
                 : c.code < 0x10000 ? fmt::format("\\u{:04x}", c.code)
                                    : fmt::format("\\U{:08x}", c.code),
                 is_marked);
    }
    heap.check_text(out.footprint());
    at += c.length;
  }
  out.append(std::string_view(&quote, 1));
}

}  // namespace

void Runtime::append_repr(MarkedText& out, const Value& value, int depth) {
  check_depth(depth);
  heap.charge(1);
  const auto append_items = [&](const std::vector<Value>& items, size_t first, std::string_view open,
                                std::string_view close) {
    out.append(open);
    for (size_t i = first; i < items.size(); ++i) {
      if (i != first) out.append(", ");
      append_repr(out, items[i], depth + 1);
    }
    out.append(close);
  };
  switch (value.kind()) {
    case Kind::kUndefined:
      return out.append("Undefined");
    case Kind::kNone:
      return out.append("None");
    case Kind::kBool:
      return out.append(value.boolean() ? "True" : "False");
    case Kind::kInt:
      return out.append(integer_text(value.integer()));
    case Kind::kFloat:
      return out.append(float_text(value.real()));
    case Kind::kText:
      heap.charge_growth(out, value.text());
      return append_repr_of_text(heap, out, value.text());
    case Kind::kDict: {
      out.append("{");
      bool is_first = true;
      for (const auto& [key, item] : value.dict().entries) {
        if (!is_first) out.append(", ");
        is_first = false;
        append_repr(out, key, depth + 1);
        out.append(": ");
        append_repr(out, item, depth + 1);
      }
      return out.append("}");
    }
    case Kind::kList:
      break;
    case Kind::kNamespace:
    case Kind::kLoop:
    case Kind::kCallable:
      fail(fmt::format("a {} has no text", type_name(value)));
  }
  const List& list = value.list();
  switch (list.flavour) {
    case ListFlavour::kList:
      return append_items(list.items, 0, "[", "]");
    case ListFlavour::kTuple:
      return append_items(list.items, 0, "(", list.items.size() == 1 ? ",)" : ")");
    case ListFlavour::kKeys:
      return append_items(list.items, 0, "dict_keys([", "])");
    case ListFlavour::kValues:
      return append_items(list.items, 0, "dict_values([", "])");
    case ListFlavour::kItems:
      return append_items(list.items, 0, "dict_items([", "])");
    case ListFlavour::kRange:
    case ListFlavour::kGenerator:
      fail(fmt::format("a {} has no text", type_name(value)));
  }
}

// ---- comparison ----

bool Runtime::equals(const Value& a, const Value& b, int depth) {
  check_depth(depth);
  heap.charge(1);
  if (a.is_number() && b.is_number()) {
    if (a.is_integer() && b.is_integer()) return a.integer() == b.integer();
    return a.real() == b.real();
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kText:
      heap.charge(std::min(a.text().size(), b.text().size()) / 64);
      return a.text().bytes() == b.text().bytes();
    case Kind::kList: {
      const List& x = a.list();
      const List& y = b.list();
      if (&x == &y) return true;
      if (x.flavour != y.flavour || x.flavour == ListFlavour::kGenerator ||
          x.items.size() != y.items.size()) {
        return false;
      }
      for (size_t i = 0; i < x.items.size(); ++i) {
        if (!equals(x.items[i], y.items[i], depth + 1)) return false;
      }
      return true;
    }
    case Kind::kDict: {
      const Dict& x = a.dict();
      const Dict& y = b.dict();
      if (x.entries.size() != y.entries.size()) return false;
      for (const auto& [key, value] : x.entries) {
        const Value* other = find(y, key);
        if (other == nullptr || !equals(value, *other, depth + 1)) return false;
      }
      return true;
    }
    case Kind::kNamespace:
      return &a.name_space() == &b.name_space();
    case Kind::kLoop:
      return &a.loop() == &b.loop();
    case Kind::kCallable:
      return &a.callable() == &b.callable();
    default:
      return false;
  }
}

int Runtime::compare(const Value& a, const Value& b, std::string_view op, int depth) {
  check_depth(depth);
  heap.charge(1);
  require_defined(a);
  require_defined(b);
  if (a.is_number() && b.is_number()) {
    if (a.is_integer() && b.is_integer())
      return a.integer() < b.integer() ? -1 : a.integer() > b.integer() ? 1 : 0;
    return a.real() < b.real() ? -1 : a.real() > b.real() ? 1 : 0;
  }
  if (a.is(Kind::kText) && b.is(Kind::kText)) {
    heap.charge(std::min(a.text().size(), b.text().size()) / 64);
    return a.text().bytes().compare(b.text().bytes());  // the order of UTF-8 is the order of code points
  }
  if (a.is(Kind::kList) && b.is(Kind::kList) && a.list().flavour == b.list().flavour &&
      (a.list().flavour == ListFlavour::kList || a.list().flavour == ListFlavour::kTuple)) {
    const auto& x = a.list().items;
    const auto& y = b.list().items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!equals(x[i], y[i], depth + 1)) return compare(x[i], y[i], op, depth + 1);
    }
    return x.size() < y.size() ? -1 : x.size() > y.size() ? 1 : 0;
  }
  fail(fmt::format("'{}' not supported between instances of '{}' and '{}'", op, type_name(a), type_name(b)));
}

bool Runtime::contains(const Value& container, const Value& item) {
  switch (container.kind()) {
    case Kind::kUndefined:
      return false;
    case Kind::kText:
      if (!item.is(Kind::kText)) {
        require_defined(item);
        fail(fmt::format("'in <string>' requires string as left operand, not {}", type_name(item)));
      }
      heap.charge(1 + (container.text().size() + item.text().size()) / 64);
      return find_first(container.text().bytes(), item.text().bytes()) != std::string::npos;
    case Kind::kDict:
      return find(container.dict(), item) != nullptr;
    case Kind::kList: {
      const List* items = iterate(container);
      return std::any_of(items->items.begin(), items->items.end(),
                         [&](const Value& v) { return equals(v, item); });
    }
    default:
      fail(fmt::format("argument of type '{}' is not iterable", type_name(container)));
  }
}

size_t Runtime::length(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kText:
      heap.charge(1 + value.text().size() / 64);
      return count_code_points(value.text().bytes());
    case Kind::kDict:
      return value.dict().entries.size();
    case Kind::kList:
      if (value.list().flavour != ListFlavour::kGenerator) return value.list().items.size();
      break;
    default:
      break;
  }
  fail(fmt::format("object of type '{}' has no len()", type_name(value)));
}

bool Runtime::is_iterable(const Value& value) const {
  return value.is(Kind::kUndefined) || value.is(Kind::kText) || value.is(Kind::kList) ||
         value.is(Kind::kDict) || value.is(Kind::kLoop);
}

List* Runtime::iterate(const Value& value) {
  if (value.is(Kind::kList)) {
    List& list = value.list();
    if (list.flavour != ListFlavour::kGenerator) return &list;
    std::vector<Value> rest(list.items.begin() + static_cast<std::ptrdiff_t>(list.n_consumed),
                            list.items.end());
    list.n_consumed = list.items.size();
    return heap.list(ListFlavour::kList, std::move(rest));
  }
  List* result = heap.list();
  if (value.is(Kind::kText)) {
    const MarkedText& text = value.text();
    for (size_t at = 0; at < text.size();) {
      const size_t end = at + code_point_at(text.bytes(), at).length;
      heap.push(*result, heap.text(text.slice(at, end)));
      at = end;
    }
  } else if (value.is(Kind::kDict)) {
    heap.charge_items(value.dict().entries.size());
    for (const auto& entry : value.dict().entries) result->items.push_back(entry.first);
  } else if (!value.is(Kind::kUndefined)) {
    fail(fmt::format("'{}' object is not iterable", type_name(value)));
  }
  return result;
}

// ---- attributes and items ----

const Value* Runtime::find(const Dict& dict, const Value& key) {
  if (key.is(Kind::kDict) || (key.is(Kind::kList) && key.list().flavour == ListFlavour::kList)) {
    fail(fmt::format("unhashable type: '{}'", type_name(key)));
  }
  heap.charge(1 + dict.entries.size() / 32);
  for (const auto& entry : dict.entries) {
    if (key.is(Kind::kText) && entry.first.is(Kind::kText)) {
      const std::string& name = entry.first.text().bytes();
      if (name.size() != key.text().size()) continue;
      if (name.size() >= 64) heap.charge(name.size() / 64);
      if (name == key.text().bytes()) return &entry.second;
    } else if (equals(entry.first, key)) {
      return &entry.second;
    }
  }
  return nullptr;
}

void Runtime::set(Dict& dict, const Value& key, const Value& value) {
  if (const Value* found = find(dict, key)) {
    *const_cast<Value*>(found) = value;
  } else {
    heap.charge_items(2);
    dict.entries.emplace_back(key, value);
  }
}

// What getattr() finds: methods, and what namespaces and loops hold.
std::optional<Value> Runtime::own_attribute(const Value& object, std::string_view name) {
  if (object.is(Kind::kNamespace)) {
    for (const auto& [key, value] : object.name_space().attributes) {
      if (key == name && name.substr(0, 1) != "_") return value;
    }
    return std::nullopt;
  }
  if (object.is(Kind::kLoop)) return loop_attribute(object.loop(), name);
  return method(object, name);
}

Value Runtime::attribute(const Value& object, std::string_view name) {
  heap.charge(1);
  require_defined(object);
  if (const std::optional<Value> own = own_attribute(object, name)) return *own;
  if (object.is(Kind::kDict)) {
    const MarkedText key{std::string(name)};
    if (const Value* found = find(object.dict(), Value::of(&key))) return *found;
  }
  return Value::undefined(heap.name(name));
}

Int Runtime::to_index(const Value& value) {
  if (value.is_integer()) return value.integer();
  require_defined(value);
  fail(fmt::format("'{}' object cannot be interpreted as an integer", type_name(value)));
}

int64_t Runtime::to_count(const Value& value) {
  const Int index = to_index(value);
  if (index > (Int{1} << 31) || index < -(Int{1} << 31)) fail("a number too large to count with");
  return static_cast<int64_t>(index);
}

Value Runtime::item(const Value& object, const Value& index) {
  heap.charge(1);
  require_defined(object);
  if (object.is(Kind::kDict)) {
    const bool is_hashable =
        !index.is(Kind::kDict) && !(index.is(Kind::kList) && index.list().flavour == ListFlavour::kList);
    if (const Value* found = is_hashable ? find(object.dict(), index) : nullptr) return *found;
  } else if (index.is_integer() && (object.is(Kind::kText) || object.is(Kind::kList))) {
    const bool is_text = object.is(Kind::kText);
    const bool is_indexable = is_text || object.list().flavour == ListFlavour::kList ||
                              object.list().flavour == ListFlavour::kTuple ||
                              object.list().flavour == ListFlavour::kRange;
    if (is_indexable) {
      const auto size = static_cast<Int>(length(object));
      Int at = index.integer();
      if (at < 0) at += size;
      if (at >= 0 && at < size) {
        if (!is_text) return object.list().items[static_cast<size_t>(at)];
        heap.charge(object.text().size() / 64);
        const std::string& bytes = object.text().bytes();
        const size_t begin = character_offset(bytes, static_cast<size_t>(at));
        return heap.text(object.text().slice(begin, begin + code_point_at(bytes, begin).length));
      }
    }
  }
  if (index.is(Kind::kText)) {
    if (const std::optional<Value> own = own_attribute(object, index.text().bytes())) return *own;
  }
  return Value::undefined(heap.name(str(index).bytes()));
}

Value Runtime::slice(const Value& object, const std::optional<Value>& start, const std::optional<Value>& stop,
                     const std::optional<Value>& step) {
  heap.charge(1);
  require_defined(object);
  const auto part = [&](const std::optional<Value>& value) -> std::optional<Int> {
    if (!value || value->is(Kind::kNone)) return std::nullopt;
    return to_index(*value);
  };
  const bool is_text = object.is(Kind::kText);
  const bool is_list = object.is(Kind::kList) && object.list().flavour <= ListFlavour::kRange;
  // Jinja gives an undefined value for what cannot be indexed at all.
  if (!is_text && !is_list) return Value::undefined(heap.name("slice"));
  const auto in_range = [](const std::optional<Value>& v) {
    return !v || v->is(Kind::kNone) || v->is_integer();
  };
  if (!in_range(start) || !in_range(stop) || !in_range(step)) return Value::undefined(heap.name("slice"));
  const Int stride = part(step).value_or(1);
  if (stride == 0) fail("slice step cannot be zero");
  const auto size = static_cast<Int>(length(object));
  const auto clamp = [&](std::optional<Int> at, Int otherwise) {
    if (!at) return otherwise;
    const Int position = *at < 0 ? *at + size : *at;
    const Int low = stride < 0 ? Int{-1} : Int{0};
    const Int high = stride < 0 ? size - 1 : size;
    return std::min(std::max(position, low), high);
  };
  const Int first = clamp(part(start), stride < 0 ? size - 1 : 0);
  const Int last = clamp(part(stop), stride < 0 ? Int{-1} : size);
  if (is_text) {
    const MarkedText& text = object.text();
    if (stride == 1) {
      heap.charge(1 + text.size() / 64);
      const auto n = static_cast<size_t>(std::max(last - first, Int{0}));
      const size_t begin = character_offset(text.bytes(), static_cast<size_t>(first));
      return heap.text(
          text.slice(begin, begin + character_offset(std::string_view(text.bytes()).substr(begin), n)));
    }
    heap.charge(static_cast<size_t>(size));
    const std::vector<size_t> offsets = character_offsets(text.bytes());
    MarkedText result;
    for (Int i = first; stride > 0 ? i < last : i > last; i += stride) {
      heap.charge(1);
      result.append(text, offsets[static_cast<size_t>(i)], offsets[static_cast<size_t>(i) + 1]);
      if (stride > size || stride < -size) break;
    }
    return heap.text(std::move(result));
  }
  List* result = heap.list(object.list().flavour);
  for (Int i = first; stride > 0 ? i < last : i > last; i += stride) {
    heap.push(*result, object.list().items[static_cast<size_t>(i)]);
    if (stride > size || stride < -size) break;
  }
  return Value::of(result);
}

std::vector<std::optional<Value>> Runtime::bind(std::string_view function, const Arguments& arguments,
                                                std::initializer_list<std::string_view> parameters,
                                                size_t n_required) {
  std::vector<std::optional<Value>> bound(parameters.size());
  if (arguments.positional.size() > parameters.size()) {
    fail(fmt::format("{} takes at most {} arguments, {} given", function, parameters.size(),
                     arguments.positional.size()));
  }
  for (size_t i = 0; i < arguments.positional.size(); ++i) bound[i] = arguments.positional[i];
  for (const auto& [name, value] : arguments.named) {
    const auto* const found = std::find(parameters.begin(), parameters.end(), name);
    if (found == parameters.end() || bound[static_cast<size_t>(found - parameters.begin())]) {
      fail(fmt::format("{} got an unexpected argument '{}'", function, printable(name)));
    }
    bound[static_cast<size_t>(found - parameters.begin())] = value;
  }
  for (size_t i = 0; i < n_required; ++i) {
    if (!bound[i]) fail(fmt::format("{} lacks its argument '{}'", function, *(parameters.begin() + i)));
  }
  return bound;
}

}  // namespace chaski::jinja
