#include "base/json.h"

#include <unordered_set>

#include "base/error.h"

namespace chaski {
namespace {

[[noreturn]] void fail(std::string_view where, const std::string& message) {
  throw Error(ErrorCode::kCorrupt, "read JSON", fmt::format("{}: {}", where, message));
}

/// Builds the tree from parse events, refusing depth, number and duplicate keys as they appear.
template <typename J>
class TreeBuilder : public nlohmann::json_sax<J> {
 public:
  TreeBuilder(std::string_view where, const JsonLimits& limits) : where_(where), limits_(limits) {}

  bool null() override { return put(J(nullptr)); }
  bool boolean(bool value) override { return put(J(value)); }
  bool number_integer(typename J::number_integer_t value) override { return put(J(value)); }
  bool number_unsigned(typename J::number_unsigned_t value) override { return put(J(value)); }
  bool number_float(typename J::number_float_t value, const typename J::string_t&) override {
    return put(J(value));
  }
  bool string(typename J::string_t& value) override { return put(J(std::move(value))); }
  bool binary(typename J::binary_t&) override { return false; }

  bool start_object(std::size_t) override { return open(J::object()); }
  bool start_array(std::size_t) override { return open(J::array()); }
  bool key(typename J::string_t& name) override {
    if (!keys_.back().insert(name).second)
      fail(where_, fmt::format("key \"{}\" stands twice", printable(name)));
    if (keys_.back().size() > limits_.max_keys) {
      fail(where_, fmt::format("more than {} keys in one object", limits_.max_keys));
    }
    pending_key_.back() = std::move(name);
    return true;
  }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    const std::string_view text(e.what());
    const size_t colon = text.rfind(": ");
    fail(where_,
         fmt::format("invalid JSON at offset {}: {}", position,
                     printable(colon == std::string_view::npos ? text : text.substr(colon + 2), 160)));
  }

  J take() { return std::move(root_); }

 private:
  J* place(J&& value) {
    if (++n_nodes_ > limits_.max_nodes) {
      fail(where_, fmt::format("more than {} values", limits_.max_nodes));
    }
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    J& parent = *stack_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent.emplace(std::move(pending_key_.back()), std::move(value)).first.value());
  }
  bool put(J&& value) {
    place(std::move(value));
    return true;
  }
  bool open(J&& container) {
    if (static_cast<int>(stack_.size()) >= limits_.max_depth) {
      fail(where_, fmt::format("nested deeper than {} levels", limits_.max_depth));
    }
    stack_.push_back(place(std::move(container)));
    keys_.emplace_back();
    pending_key_.emplace_back();
    return true;
  }
  bool close() {
    stack_.pop_back();
    keys_.pop_back();
    pending_key_.pop_back();
    return true;
  }

  std::string_view where_;
  const JsonLimits& limits_;
  size_t n_nodes_ = 0;
  J root_;
  // Only the innermost container grows, so pointers to the outer ones stay valid.
  std::vector<J*> stack_;
  std::vector<std::unordered_set<std::string>> keys_;
  std::vector<std::string> pending_key_;
};

/// Whether the next character that is no white space is a colon.
bool is_key_end(std::string_view text) {
  const size_t at = text.find_first_not_of(" \t\r\n");
  return at != std::string_view::npos && text[at] == ':';
}

/// The text with NaN, Infinity and -Infinity outside strings turned into strings, except as keys: those stay
/// the errors that they are.
std::string quote_nonfinite(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  bool in_string = false;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (in_string) {
      out += c;
      if (c == '\\' && i + 1 < text.size()) out += text[++i];
      if (c == '"') in_string = false;
      ++i;
      continue;
    }
    bool replaced = false;
    for (const std::string_view literal : {"NaN", "-Infinity", "Infinity"}) {
      if (text.substr(i, literal.size()) == literal && !is_key_end(text.substr(i + literal.size()))) {
        out.append("\"").append(literal).append("\"");
        i += literal.size();
        replaced = true;
        break;
      }
    }
    if (replaced) continue;
    if (c == '"') in_string = true;
    out += c;
    ++i;
  }
  return out;
}

template <typename J>
J parse(std::string_view text, std::string_view where, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) {
    fail(where, fmt::format("{} bytes of JSON, at most {} are accepted", text.size(), limits.max_bytes));
  }
  std::string quoted;
  if (limits.allow_nonfinite_literals) {
    quoted = quote_nonfinite(text);
    text = quoted;
  }
  if (text.substr(0, 3) == "\xEF\xBB\xBF") fail(where, "starts with a byte order mark, expected JSON text");
  TreeBuilder<J> builder(where, limits);
  J::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

const Json* find(const Json& object, std::string_view key, std::string_view where) {
  if (!object.is_object()) fail(where, fmt::format("expected a JSON object, found {}", object.type_name()));
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

[[noreturn]] void wrong_type(std::string_view where, std::string_view key, std::string_view expected,
                             const Json& found) {
  fail(where,
       fmt::format("field \"{}\": expected {}, found {}", key, expected, printable(to_json_text(found), 60)));
}

const Json& require(const Json& object, std::string_view key, std::string_view where) {
  const Json* value = find(object, key, where);
  if (value == nullptr) fail(where, fmt::format("field \"{}\" is missing", key));
  return *value;
}

int64_t as_int(const Json& value, std::string_view key, std::string_view where) {
  const bool fits = value.is_number_integer() && (!value.is_number_unsigned() ||
                                                  value.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX));
  if (!fits) wrong_type(where, key, "an integer", value);
  return value.get<int64_t>();
}

}  // namespace

Json parse_json(std::string_view text, std::string_view where, const JsonLimits& limits) {
  return parse<Json>(text, where, limits);
}
OrderedJson parse_ordered_json(std::string_view text, std::string_view where, const JsonLimits& limits) {
  return parse<OrderedJson>(text, where, limits);
}

int64_t get_int(const Json& object, std::string_view key, int64_t fallback, std::string_view where) {
  const Json* value = find(object, key, where);
  return value == nullptr ? fallback : as_int(*value, key, where);
}
double get_number(const Json& object, std::string_view key, double fallback, std::string_view where) {
  const Json* value = find(object, key, where);
  if (value == nullptr) return fallback;
  if (!value->is_number()) wrong_type(where, key, "a number", *value);
  return value->get<double>();
}
bool get_bool(const Json& object, std::string_view key, bool fallback, std::string_view where) {
  const Json* value = find(object, key, where);
  if (value == nullptr) return fallback;
  if (!value->is_boolean()) wrong_type(where, key, "true or false", *value);
  return value->get<bool>();
}
std::string get_string(const Json& object, std::string_view key, std::string_view fallback,
                       std::string_view where) {
  const Json* value = find(object, key, where);
  if (value == nullptr) return std::string(fallback);
  if (!value->is_string()) wrong_type(where, key, "a string", *value);
  return value->get<std::string>();
}
int64_t require_int(const Json& object, std::string_view key, std::string_view where) {
  return as_int(require(object, key, where), key, where);
}
double require_number(const Json& object, std::string_view key, std::string_view where) {
  require(object, key, where);
  return get_number(object, key, 0, where);
}
std::string require_string(const Json& object, std::string_view key, std::string_view where) {
  require(object, key, where);
  return get_string(object, key, "", where);
}

std::string to_json_text(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}
std::string to_json_text(const OrderedJson& value, int indent) {
  return value.dump(indent, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace chaski
