// Values from JSON and to JSON, the latter byte for byte as Python's json.dumps writes it.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/utf8.h"
#include "text/jinja_runtime.h"

namespace chaski::jinja {

Value Runtime::from_json(const OrderedJson& json, bool is_marked, int depth) {
  if (depth > heap.limits().value_depth) {
    fail(fmt::format("JSON nested deeper than {} levels", heap.limits().value_depth));
  }
  switch (json.type()) {
    case OrderedJson::value_t::boolean:
      return Value::of(json.get<bool>());
    case OrderedJson::value_t::number_integer:
      return Value::of(Int{json.get<int64_t>()});
    case OrderedJson::value_t::number_unsigned:
      return Value::of(static_cast<Int>(json.get<uint64_t>()));
    case OrderedJson::value_t::number_float:
      return Value::of(json.get<double>());
    case OrderedJson::value_t::string: {
      const auto& text = json.get_ref<const std::string&>();
      return heap.text(MarkedText(is_valid_utf8(text) ? text : replace_invalid_utf8(text), is_marked));
    }
    case OrderedJson::value_t::array: {
      List* list = heap.list();
      heap.charge_items(json.size());
      for (const OrderedJson& item : json) list->items.push_back(from_json(item, is_marked, depth + 1));
      return Value::of(list);
    }
    case OrderedJson::value_t::object: {
      Dict* dict = heap.dict();
      heap.charge_items(2 * json.size());
      for (const auto& [key, item] : json.items()) {
        const Value name =
            heap.text(MarkedText(is_valid_utf8(key) ? key : replace_invalid_utf8(key), is_marked));
        dict->entries.emplace_back(name, from_json(item, is_marked, depth + 1));
      }
      return Value::of(dict);
    }
    default:
      return Value::none();
  }
}

namespace {

std::string escaped(uint32_t code, bool ensure_ascii) {
  switch (code) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\f':
      return "\\f";
    case '\b':
      return "\\b";
    default:
      break;
  }
  if (code >= 0x10000) {
    return fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10),
                       0xDC00 + ((code - 0x10000) & 0x3FF));
  }
  if (code < 0x20 || (ensure_ascii && code >= 0x7F)) {
    if (code == 0x7F) return "\x7f";
    return fmt::format("\\u{:04x}", code);
  }
  std::string raw;
  append_utf8(raw, code);
  return raw;
}

// The text between quotes: runs that need no escape are appended whole.
void append_json_text(const Heap& heap, MarkedText& out, const MarkedText& text, bool ensure_ascii) {
  const std::string& bytes = text.bytes();
  out.append("\"");
  size_t run = 0;
  for (size_t at = 0; at < bytes.size();) {
    const CodePoint c = code_point_at(bytes, at);
    const bool is_plain =
        c.code >= 0x20 && c.code != '"' && c.code != '\\' && !(ensure_ascii && c.code >= 0x80);
    if (!is_plain) {
      out.append(text, run, at);
      out.append(escaped(c.code, ensure_ascii), text.is_marked_at(at));
      run = at + c.length;
      heap.check_text(out.footprint());
    }
    at += c.length;
  }
  out.append(text, run, bytes.size());
  out.append("\"");
}

std::string json_number(const Value& value) {
  if (value.is(Kind::kInt)) return integer_text(value.integer());
  const double real = value.real();
  if (std::isnan(real)) return "NaN";
  if (std::isinf(real)) return real < 0 ? "-Infinity" : "Infinity";
  return float_text(real);
}

}  // namespace

void Runtime::append_json(MarkedText& out, const Value& value, const JsonStyle& style, int depth) {
  if (depth > heap.limits().value_depth) {
    fail(fmt::format("a value nested deeper than {} levels", heap.limits().value_depth));
  }
  heap.charge(1);
  const auto new_line = [&](int level) {
    if (!style.indent) return;
    heap.charge_growth(out.footprint(), 1 + style.indent->size() * static_cast<size_t>(level));
    out.append("\n");
    for (int i = 0; i < level; ++i) out.append(*style.indent);
  };
  const auto append_text = [&](const MarkedText& text) {
    heap.charge_growth(out, text);
    append_json_text(heap, out, text, style.ensure_ascii);
  };
  const auto append_separator = [&](std::string_view separator) {
    heap.charge_growth(out.footprint(), separator.size());
    out.append(separator);
  };
  switch (value.kind()) {
    case Kind::kNone:
      return out.append("null");
    case Kind::kBool:
      return out.append(value.boolean() ? "true" : "false");
    case Kind::kInt:
    case Kind::kFloat:
      return out.append(json_number(value));
    case Kind::kText:
      return append_text(value.text());
    case Kind::kList: {
      const List& list = value.list();
      if (list.flavour != ListFlavour::kList && list.flavour != ListFlavour::kTuple) break;
      if (list.items.empty()) return out.append("[]");
      out.append("[");
      for (size_t i = 0; i < list.items.size(); ++i) {
        if (i != 0) append_separator(style.item_separator);
        new_line(depth + 1);
        append_json(out, list.items[i], style, depth + 1);
      }
      new_line(depth);
      return out.append("]");
    }
    case Kind::kDict: {
      auto entries = value.dict().entries;
      heap.charge(entries.size());
      if (entries.empty()) return out.append("{}");
      if (style.sort_keys) {
        std::stable_sort(entries.begin(), entries.end(),
                         [&](const auto& a, const auto& b) { return compare(a.first, b.first) < 0; });
      }
      out.append("{");
      bool is_first = true;
      for (const auto& [key, item] : entries) {
        if (!is_first) append_separator(style.item_separator);
        is_first = false;
        new_line(depth + 1);
        if (key.is(Kind::kText)) {
          append_text(key.text());
        } else if (key.is_number() || key.is(Kind::kNone)) {
          out.append("\"");
          append_json(out, key, style, depth + 1);
          out.append("\"");
        } else {
          fail(fmt::format("keys must be str, int, float, bool or None, not {}", type_name(key)));
        }
        append_separator(style.key_separator);
        append_json(out, item, style, depth + 1);
      }
      new_line(depth);
      return out.append("}");
    }
    default:
      break;
  }
  fail(fmt::format("Object of type {} is not JSON serializable", type_name(value)));
}

}  // namespace chaski::jinja
