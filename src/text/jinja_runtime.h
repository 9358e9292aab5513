// What Python and Jinja do with values: printing, truth, comparison, arithmetic, indexing, attributes. The
// tree is walked in jinja_interpreter.cpp; filters, tests, methods and functions are in the files of those
// names.
#pragma once

#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"
#include "text/jinja_ast.h"
#include "text/jinja_value.h"

namespace chaski::jinja {

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string_view, Value>> named;
};

/// How json.dumps is asked to write.
struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::optional<std::string_view> indent;  ///< of one level; with it, one element per line
  std::string_view item_separator = ", ";
  std::string_view key_separator = ": ";
};

class Runtime {
 public:
  explicit Runtime(const Limits& limits) : heap(limits) {}
  virtual ~Runtime() = default;
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  Heap heap;
  std::optional<std::tm> pinned_date;  ///< what strftime_now sees instead of the clock
  const MarkedText* pinned_date_text = nullptr;

  /// Call a macro, function, method or recursive loop.
  virtual Value call(const Value& callee, const Arguments& arguments) = 0;
  /// `loop.NAME`, or nothing.
  virtual std::optional<Value> loop_attribute(Loop& loop, std::string_view name) = 0;

  [[noreturn]] void fail(const std::string& message) const { heap.fail(message); }
  static std::string_view type_name(const Value& value);
  /// Throws as Jinja does where an undefined value is used.
  void require_defined(const Value& value) const;

  bool truth(const Value& value);
  MarkedText str(const Value& value);
  void append_str(MarkedText& out, const Value& value);
  void append_repr(MarkedText& out, const Value& value, int depth = 0);
  bool equals(const Value& a, const Value& b, int depth = 0);
  /// Negative, zero or positive; throws where Python has no order.
  int compare(const Value& a, const Value& b, std::string_view op = "<", int depth = 0);
  bool contains(const Value& container, const Value& item);
  size_t length(const Value& value);
  bool is_iterable(const Value& value) const;
  /// The elements: of a list itself (do not change it), of a text its characters, of a dict its keys; a
  /// generator is used up.
  List* iterate(const Value& value);

  Value binary(ExpressionKind kind, const Value& a, const Value& b);
  Value negate(const Value& value);
  Value attribute(const Value& object, std::string_view name);
  Value item(const Value& object, const Value& index);
  Value slice(const Value& object, const std::optional<Value>& start, const std::optional<Value>& stop,
              const std::optional<Value>& step);
  const Value* find(const Dict& dict, const Value& key);
  void set(Dict& dict, const Value& key, const Value& value);

  Value call_filter(std::string_view name, const Value& value, const Arguments& arguments);
  bool call_test(std::string_view name, const Value& value, const Arguments& arguments);
  /// A method of a text, dict or list bound to it, or nothing.
  std::optional<Value> method(const Value& object, std::string_view name);

  /// Arguments by the names of the parameters; the first `n_required` must be there.
  std::vector<std::optional<Value>> bind(std::string_view function, const Arguments& arguments,
                                         std::initializer_list<std::string_view> parameters,
                                         size_t n_required = 0);
  Int to_index(const Value& value);  ///< an int or a bool, as an index
  int64_t to_count(const Value& value);
  MarkedText percent_format(const MarkedText& format, const Value& values);

  Value from_json(const OrderedJson& json, bool is_marked, int depth = 0);
  void append_json(MarkedText& out, const Value& value, const JsonStyle& style, int depth = 0);

 private:
  [[noreturn]] void unsupported_operands(ExpressionKind kind, const Value& a, const Value& b);
  Value integer_binary(ExpressionKind kind, Int a, Int b);
  Value float_binary(ExpressionKind kind, double a, double b);
  Value repeated(const Value& sequence, const Value& count);
  std::optional<Value> own_attribute(const Value& object, std::string_view name);
  void check_depth(int depth) const;
};

std::string integer_text(Int value);
/// Python's repr(float).
std::string float_text(double value);
std::optional<Int> parse_python_int(std::string_view text, int base = 10);
std::optional<double> parse_python_float(std::string_view text);
/// The functions every template sees: range, namespace, dict, raise_exception, strftime_now.
std::vector<std::pair<std::string_view, Builtin>> global_functions();

}  // namespace chaski::jinja
