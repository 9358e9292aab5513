// Walks the tree of a template: statements, scopes, loops, macros. What values do is in jinja_runtime.h.
#pragma once

#include <functional>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja_ast.h"
#include "text/jinja_runtime.h"

namespace chaski::jinja {

/// Names and their values within one body; `parent` is the body around it.
struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<NameId, Value>> values;
};

/// One render of a program. Not reusable: limits are of one render.
class Interpreter : public Runtime {
 public:
  Interpreter(const Program& program, const Limits& limits);

  /// A variable that the template sees. A name that the template never mentions is dropped.
  void define(std::string_view name, const Value& value);
  /// Throws Error(kUsage) naming the line of the template.
  MarkedText run();

  Value call(const Value& callee, const Arguments& arguments) override;
  std::optional<Value> loop_attribute(Loop& loop, std::string_view name) override;

 private:
  enum class Flow { kNormal, kBreak, kContinue };
  class DepthGuard;
  class MacroGuard;

  Scope* new_scope(Scope* parent);
  const Value* look_up(const Scope* scope, NameId name) const;
  void store(Scope& scope, NameId name, const Value& value);
  void assign(Scope& scope, const Target& target, const Value& value);

  Value evaluate(const Expression& node, Scope& scope);
  Value evaluate_compare(const Expression& node, Scope& scope);
  Value evaluate_item(const Expression& node, Scope& scope);
  Value evaluate_concat(const Expression& node, Scope& scope);
  Arguments evaluate_arguments(const Expression& node, Scope& scope);
  /// The filters of a filter or set block, innermost first, applied to `text`.
  Value apply_filter(const Expression& filter, const Value& text, Scope& scope);

  Flow run_block(const Block& block, Scope& scope, MarkedText& out);
  Flow run_statement(const Statement& node, Scope& scope, MarkedText& out);
  void run_for(const Statement& node, Scope& scope, const Value& iterable, int64_t depth0, MarkedText& out);
  void run_call_block(const Statement& node, Scope& scope, MarkedText& out);
  Value call_macro(const Callable& macro, const Arguments& arguments);
  bool advance(Loop& loop);
  bool peek(Loop& loop);
  size_t loop_length(Loop& loop);
  std::optional<Value> take_next(Loop& loop);

  const Program& program_;
  std::deque<Scope> scopes_;
  Scope* globals_;
  int evaluation_depth_ = 0;
  int macro_depth_ = 0;
  NameId loop_name_;
  NameId caller_name_;
  NameId varargs_name_;
  NameId kwargs_name_;
};

}  // namespace chaski::jinja
