// The values of a template, and the heap that owns them: values are small handles, every object lives until
// the end of the render, and the heap counts the work done against the limits. What Python does with values:
// jinja_runtime.h.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja_text.h"

namespace chaski::jinja {

__extension__ typedef __int128 Int;  ///< Python's int, as far as templates need it; beyond it is an error

struct List;
struct Dict;
struct Namespace;
struct Loop;
struct Callable;

enum class Kind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kText,
  kList,
  kDict,
  kNamespace,
  kLoop,
  kCallable
};

/// One value; copying it copies a handle. An undefined value carries the name it was looked up by, if known.
class Value {
 public:
  Value() = default;
  static Value undefined(const MarkedText* name = nullptr) {
    Value v;
    v.text_ = name;
    return v;
  }
  static Value none() {
    Value v;
    v.kind_ = Kind::kNone;
    return v;
  }
  static Value of(bool b) {
    Value v;
    v.kind_ = Kind::kBool;
    v.bool_ = b;
    return v;
  }
  static Value of(Int i) {
    Value v;
    v.kind_ = Kind::kInt;
    v.int_ = i;
    return v;
  }
  static Value of(double d) {
    Value v;
    v.kind_ = Kind::kFloat;
    v.float_ = d;
    return v;
  }
  static Value of(const MarkedText* t) {
    Value v;
    v.kind_ = Kind::kText;
    v.text_ = t;
    return v;
  }
  static Value of(List* l) {
    Value v;
    v.kind_ = Kind::kList;
    v.list_ = l;
    return v;
  }
  static Value of(Dict* d) {
    Value v;
    v.kind_ = Kind::kDict;
    v.dict_ = d;
    return v;
  }
  static Value of(Namespace* n) {
    Value v;
    v.kind_ = Kind::kNamespace;
    v.namespace_ = n;
    return v;
  }
  static Value of(Loop* l) {
    Value v;
    v.kind_ = Kind::kLoop;
    v.loop_ = l;
    return v;
  }
  static Value of(Callable* c) {
    Value v;
    v.kind_ = Kind::kCallable;
    v.callable_ = c;
    return v;
  }

  Kind kind() const { return kind_; }
  bool is(Kind kind) const { return kind_ == kind; }
  bool is_number() const { return kind_ == Kind::kBool || kind_ == Kind::kInt || kind_ == Kind::kFloat; }
  bool is_integer() const { return kind_ == Kind::kBool || kind_ == Kind::kInt; }

  // Each asks for the kind it names; undefined_name() may be null.
  bool boolean() const { return bool_; }
  Int integer() const { return kind_ == Kind::kBool ? Int{bool_} : int_; }
  double real() const;  ///< of any number
  const MarkedText& text() const { return *text_; }
  const MarkedText* text_handle() const { return text_; }
  const MarkedText* undefined_name() const { return text_; }
  List& list() const { return *list_; }
  Dict& dict() const { return *dict_; }
  Namespace& name_space() const { return *namespace_; }
  Loop& loop() const { return *loop_; }
  Callable& callable() const { return *callable_; }

 private:
  Kind kind_ = Kind::kUndefined;
  union {
    bool bool_;
    Int int_;
    double float_;
    const MarkedText* text_ = nullptr;
    List* list_;
    Dict* dict_;
    Namespace* namespace_;
    Loop* loop_;
    Callable* callable_;
  };
};

/// Python's sequences, views and generators: they differ in how they print, compare and index.
enum class ListFlavour : uint8_t { kList, kTuple, kRange, kKeys, kValues, kItems, kGenerator };

struct List {
  ListFlavour flavour = ListFlavour::kList;
  size_t n_consumed = 0;  ///< of a generator
  std::vector<Value> items;
};

/// In order of insertion. Lookups are linear and counted as work.
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
};

struct Namespace {
  std::vector<std::pair<std::string, Value>> attributes;
};

struct Limits {
  int64_t steps = 1'000'000;      ///< statements, operations, elements, and 64 bytes of text each
  size_t text_bytes = 16u << 20;  ///< of any one text with its marks, and of the output
  size_t heap_bytes = 48u << 20;  ///< of all values that one render makes
  int macro_depth = 32;
  int evaluation_depth = 700;  ///< nodes of the tree being evaluated at one time: bounds the C++ stack
  int value_depth = 100;       ///< of lists in lists, when printed or compared
};

struct Statement;
struct Expression;
struct Scope;
struct Arguments;
class Runtime;

using Builtin = Value (*)(Runtime&, const Value& self, const Arguments&);

/// What a template can call: a built-in function, a method bound to `self`, a macro (or the body of a call
/// block) with the scope it was defined in.
struct Callable {
  std::string_view name;
  Builtin builtin = nullptr;
  Value self;
  const Statement* macro = nullptr;
  Scope* scope = nullptr;
};

/// The `loop` variable of one running for loop. `source` is evaluated; the loop's own condition is asked for
/// lazily.
struct Loop {
  const Statement* statement = nullptr;
  Scope* scope = nullptr;  ///< around the loop
  List* source = nullptr;
  size_t n_taken = 0;  ///< of source
  bool has_peeked = false;
  bool has_next = false;  ///< valid where has_peeked
  Value next;
  int64_t index0 = -1;
  int64_t depth0 = 0;
  Value previous, current;
  Value last_changed;
};

/// Owns every object of one render, to its end: what is made counts against the limit of bytes for good.
/// `charge` is called before work is done, the others before memory is taken; all throw Error(kUsage) past
/// the limit.
class Heap {
 public:
  explicit Heap(const Limits& limits)
      : limits_(limits), steps_left_(limits.steps), bytes_left_(limits.heap_bytes) {}
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  const Limits& limits() const { return limits_; }
  int line = 0;  ///< of the template, being evaluated now

  void charge(size_t n_steps) {
    if (n_steps > static_cast<size_t>(steps_left_)) out_of_steps();
    steps_left_ -= static_cast<int64_t>(n_steps);
  }
  /// Work on this many bytes of text; refuses what is over the limit of one text.
  void charge_text(size_t n_bytes);
  /// Before `more` bytes are appended to a text of `have`; with marks, their footprints.
  void charge_growth(size_t have, size_t more);
  void charge_growth(const MarkedText& have, const MarkedText& more) {
    charge_growth(have.footprint(), more.footprint());
  }
  /// Refuses a text over the limit of one text; no work.
  void check_text(size_t n_bytes) const;
  /// Memory that lives until the end of the render.
  void charge_bytes(size_t n_bytes) {
    if (n_bytes > bytes_left_) out_of_bytes();
    bytes_left_ -= n_bytes;
  }
  /// The work and the memory of `n` elements of a list, or of twice as many for the entries of a dict.
  void charge_items(size_t n) {
    charge(n);
    charge_bytes(n * sizeof(Value));
  }
  [[noreturn]] void fail(const std::string& message) const;  ///< Error(kUsage) naming the line

  Value text(MarkedText text);
  Value text(std::string bytes) { return text(MarkedText(std::move(bytes))); }
  const MarkedText* name(std::string_view bytes);  ///< for undefined values
  List* list(ListFlavour flavour = ListFlavour::kList);
  List* list(ListFlavour flavour, std::vector<Value> items);
  /// One more element of a list; one step.
  void push(List& list, const Value& item) {
    charge_items(1);
    list.items.push_back(item);
  }
  Dict* dict();
  Namespace* name_space();
  Callable* callable(const Callable& callable);
  Loop* loop();

 private:
  [[noreturn]] void out_of_steps() const;
  [[noreturn]] void out_of_bytes() const;

  Limits limits_;
  int64_t steps_left_;
  size_t bytes_left_;
  std::deque<MarkedText> texts_;
  std::deque<List> lists_;
  std::deque<Dict> dicts_;
  std::deque<Namespace> namespaces_;
  std::deque<Callable> callables_;
  std::deque<Loop> loops_;
};

}  // namespace chaski::jinja
