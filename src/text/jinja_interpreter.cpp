// The evaluator. Depth is counted in every function that recurses, work in every statement and expression.
#include "text/jinja_interpreter.h"

#include <algorithm>

#include "base/error.h"

namespace chaski::jinja {

class Interpreter::DepthGuard {
 public:
  DepthGuard(Interpreter& interpreter, int line)
      : interpreter_(interpreter), outer_line_(interpreter.heap.line) {
    interpreter.heap.line = line;
    interpreter.heap.charge(1);
    if (interpreter.evaluation_depth_ >= interpreter.heap.limits().evaluation_depth) {
      interpreter.fail("the template nests calls and expressions too deeply");
    }
    ++interpreter.evaluation_depth_;
  }
  ~DepthGuard() {
    --interpreter_.evaluation_depth_;
    interpreter_.heap.line = outer_line_;
  }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

 private:
  Interpreter& interpreter_;
  int outer_line_;
};

class Interpreter::MacroGuard {
 public:
  explicit MacroGuard(Interpreter& interpreter) : interpreter_(interpreter) {
    const int limit = interpreter.heap.limits().macro_depth;
    if (interpreter.macro_depth_ >= limit) {
      interpreter.fail(fmt::format("macros call each other to a depth of more than {}", limit));
    }
    ++interpreter.macro_depth_;
  }
  ~MacroGuard() { --interpreter_.macro_depth_; }
  MacroGuard(const MacroGuard&) = delete;
  MacroGuard& operator=(const MacroGuard&) = delete;

 private:
  Interpreter& interpreter_;
};

Interpreter::Interpreter(const Program& program, const Limits& limits)
    : Runtime(limits),
      program_(program),
      globals_(new_scope(nullptr)),
      loop_name_(program.names.find("loop")),
      caller_name_(program.names.find("caller")),
      varargs_name_(program.names.find("varargs")),
      kwargs_name_(program.names.find("kwargs")) {
  for (const auto& [name, function] : global_functions()) {
    Callable callable;
    callable.name = name;
    callable.builtin = function;
    define(name, Value::of(heap.callable(callable)));
  }
}

void Interpreter::define(std::string_view name, const Value& value) {
  const NameId id = program_.names.find(name);
  if (id >= 0) store(*globals_, id, value);
}

MarkedText Interpreter::run() {
  MarkedText out;
  run_block(program_.body, *new_scope(globals_), out);
  return out;
}

// ---- scopes ----

Scope* Interpreter::new_scope(Scope* parent) {
  heap.charge(1);
  heap.charge_bytes(sizeof(Scope));
  Scope& scope = scopes_.emplace_back();
  scope.parent = parent;
  return &scope;
}

const Value* Interpreter::look_up(const Scope* scope, NameId name) const {
  for (; scope != nullptr; scope = scope->parent) {
    for (const auto& [id, value] : scope->values) {
      if (id == name) return &value;
    }
  }
  return nullptr;
}

void Interpreter::store(Scope& scope, NameId name, const Value& value) {
  if (name < 0) return;
  for (auto& [id, old] : scope.values) {
    if (id == name) {
      old = value;
      return;
    }
  }
  heap.charge_bytes(sizeof(scope.values[0]));
  scope.values.emplace_back(name, value);
}

void Interpreter::assign(Scope& scope, const Target& target, const Value& value) {
  if (!target.tuple.empty()) {
    const auto& items = iterate(value)->items;
    if (items.size() != target.tuple.size()) {
      fail(fmt::format("cannot unpack {} values into {} names", items.size(), target.tuple.size()));
    }
    for (size_t i = 0; i < items.size(); ++i) assign(scope, target.tuple[i], items[i]);
    return;
  }
  if (target.attribute.empty()) return store(scope, target.name, value);
  const Value* object = look_up(&scope, target.name);
  if (object == nullptr || !object->is(Kind::kNamespace))
    fail("cannot assign attribute on non-namespace object");
  if (target.attribute.front() == '_') {
    fail("chat templates cannot store underscore-prefixed attributes on a namespace");
  }
  heap.charge(1);
  auto& attributes = object->name_space().attributes;
  for (auto& [name, old] : attributes) {
    if (name == target.attribute) {
      old = value;
      return;
    }
  }
  heap.charge_bytes(sizeof(attributes[0]) + target.attribute.size());
  attributes.emplace_back(target.attribute, value);
}

// ---- expressions ----

Value Interpreter::evaluate(const Expression& node, Scope& scope) {
  const DepthGuard guard(*this, node.line);
  const auto operand = [&](size_t i) { return evaluate(*node.operands[i], scope); };
  switch (node.kind) {
    case ExpressionKind::kConstant:
      return node.constant;
    case ExpressionKind::kName: {
      const Value* value = look_up(&scope, node.name);
      return value != nullptr ? *value : Value::undefined(heap.name(program_.names.name(node.name)));
    }
    case ExpressionKind::kList:
    case ExpressionKind::kTuple: {
      List* list = heap.list(node.kind == ExpressionKind::kList ? ListFlavour::kList : ListFlavour::kTuple);
      for (const ExpressionPtr& item : node.operands) heap.push(*list, evaluate(*item, scope));
      return Value::of(list);
    }
    case ExpressionKind::kDict: {
      Dict* dict = heap.dict();
      for (size_t i = 0; i + 1 < node.operands.size(); i += 2) {
        const Value key = operand(i);
        set(*dict, key, operand(i + 1));
      }
      return Value::of(dict);
    }
    case ExpressionKind::kAttribute:
      return attribute(operand(0), node.text);
    case ExpressionKind::kItem:
      return evaluate_item(node, scope);
    case ExpressionKind::kCall: {
      const Value callee = operand(0);
      return call(callee, evaluate_arguments(node, scope));
    }
    case ExpressionKind::kFilter: {
      const Value value = operand(0);
      return call_filter(node.text, value, evaluate_arguments(node, scope));
    }
    case ExpressionKind::kTest: {
      const Value value = operand(0);
      return Value::of(call_test(node.text, value, evaluate_arguments(node, scope)));
    }
    case ExpressionKind::kNot:
      return Value::of(!truth(operand(0)));
    case ExpressionKind::kNegate:
      return negate(operand(0));
    case ExpressionKind::kPlus:
      return negate(negate(operand(0)));
    case ExpressionKind::kAnd: {
      const Value left = operand(0);
      return truth(left) ? operand(1) : left;
    }
    case ExpressionKind::kOr: {
      const Value left = operand(0);
      return truth(left) ? left : operand(1);
    }
    case ExpressionKind::kConcat:
      return evaluate_concat(node, scope);
    case ExpressionKind::kCompare:
      return evaluate_compare(node, scope);
    case ExpressionKind::kConditional:
      if (truth(operand(1))) return operand(0);
      return node.operands[2] ? operand(2) : Value::undefined(heap.name("the else part of an inline if"));
    case ExpressionKind::kSlice:
      fail("a slice outside brackets");
    default:
      break;
  }
  const Value left = operand(0);
  return binary(node.kind, left, operand(1));
}

Value Interpreter::evaluate_concat(const Expression& node, Scope& scope) {
  MarkedText text;
  for (const ExpressionPtr& part : node.operands) append_str(text, evaluate(*part, scope));
  return heap.text(std::move(text));
}

Value Interpreter::evaluate_compare(const Expression& node, Scope& scope) {
  Value left = evaluate(*node.operands[0], scope);
  for (size_t i = 0; i < node.comparisons.size(); ++i) {
    const Value right = evaluate(*node.operands[i + 1], scope);
    const auto is_nan = [](const Value& v) { return v.is(Kind::kFloat) && v.real() != v.real(); };
    const bool is_unordered = is_nan(left) || is_nan(right);
    bool holds = false;
    switch (node.comparisons[i]) {
      case Comparison::kEqual:
        holds = equals(left, right);
        break;
      case Comparison::kNotEqual:
        holds = !equals(left, right);
        break;
      case Comparison::kLess:
        holds = compare(left, right, "<") < 0 && !is_unordered;
        break;
      case Comparison::kLessEqual:
        holds = compare(left, right, "<=") <= 0 && !is_unordered;
        break;
      case Comparison::kGreater:
        holds = compare(left, right, ">") > 0 && !is_unordered;
        break;
      case Comparison::kGreaterEqual:
        holds = compare(left, right, ">=") >= 0 && !is_unordered;
        break;
      case Comparison::kIn:
        holds = contains(right, left);
        break;
      case Comparison::kNotIn:
        holds = !contains(right, left);
        break;
    }
    if (!holds) return Value::of(false);
    left = right;
  }
  return Value::of(true);
}

Value Interpreter::evaluate_item(const Expression& node, Scope& scope) {
  const Value object = evaluate(*node.operands[0], scope);
  const Expression& index = *node.operands[1];
  if (index.kind != ExpressionKind::kSlice) return item(object, evaluate(index, scope));
  std::optional<Value> parts[3];
  for (size_t i = 0; i < 3; ++i) {
    if (index.operands[i]) parts[i] = evaluate(*index.operands[i], scope);
  }
  return slice(object, parts[0], parts[1], parts[2]);
}

Arguments Interpreter::evaluate_arguments(const Expression& node, Scope& scope) {
  Arguments arguments;
  const size_t first_named = node.operands.size() - node.keywords.size();
  for (size_t i = 1; i < node.operands.size(); ++i) {
    const Value value = evaluate(*node.operands[i], scope);
    if (i < first_named) {
      arguments.positional.push_back(value);
    } else {
      arguments.named.emplace_back(node.keywords[i - first_named], value);
    }
  }
  return arguments;
}

Value Interpreter::apply_filter(const Expression& filter, const Value& text, Scope& scope) {
  const DepthGuard guard(*this, filter.line);
  const Value inner = filter.operands[0] ? apply_filter(*filter.operands[0], text, scope) : text;
  return call_filter(filter.text, inner, evaluate_arguments(filter, scope));
}

// ---- calls ----

Value Interpreter::call(const Value& callee, const Arguments& arguments) {
  require_defined(callee);
  if (callee.is(Kind::kLoop)) {
    Loop& loop = callee.loop();
    if (!loop.statement->is_recursive)
      fail("The loop must have the 'recursive' marker to be called recursively.");
    const auto bound = bind("loop()", arguments, {"iterable"}, 1);
    const MacroGuard guard(*this);
    MarkedText text;
    run_for(*loop.statement, *loop.scope, *bound[0], loop.depth0 + 1, text);
    return heap.text(std::move(text));
  }
  if (!callee.is(Kind::kCallable)) fail(fmt::format("'{}' object is not callable", type_name(callee)));
  const Callable& callable = callee.callable();
  if (callable.builtin != nullptr) return callable.builtin(*this, callable.self, arguments);
  return call_macro(callable, arguments);
}

Value Interpreter::call_macro(const Callable& macro, const Arguments& arguments) {
  const MacroGuard guard(*this);
  const Statement& node = *macro.macro;
  Scope& scope = *new_scope(macro.scope);
  const size_t n_parameters = node.parameters.size();
  std::vector<bool> is_given(n_parameters, false);
  for (size_t i = 0; i < std::min(n_parameters, arguments.positional.size()); ++i) {
    store(scope, node.parameters[i], arguments.positional[i]);
    is_given[i] = true;
  }
  List* varargs = heap.list(ListFlavour::kTuple);
  for (size_t i = n_parameters; i < arguments.positional.size(); ++i) {
    if (!node.uses_varargs)
      fail(fmt::format("macro '{}' takes not more than {} arguments", macro.name, n_parameters));
    heap.push(*varargs, arguments.positional[i]);
  }
  Dict* kwargs = heap.dict();
  std::optional<Value> caller;
  for (const auto& [name, value] : arguments.named) {
    const NameId id = program_.names.find(name);
    const auto found = std::find(node.parameters.begin(), node.parameters.end(), id);
    if (id >= 0 && found != node.parameters.end()) {
      const auto index = static_cast<size_t>(found - node.parameters.begin());
      if (is_given[index])
        fail(fmt::format("macro '{}' got two values for '{}'", macro.name, printable(name)));
      store(scope, id, value);
      is_given[index] = true;
    } else if (name == "caller" && node.uses_caller) {
      caller = value;
    } else if (node.uses_kwargs) {
      set(*kwargs, heap.text(std::string(name)), value);
    } else {
      fail(fmt::format("macro '{}' takes no keyword argument '{}'", macro.name, printable(name)));
    }
  }
  const size_t first_default = n_parameters - node.defaults.size();
  for (size_t i = 0; i < n_parameters; ++i) {
    if (is_given[i]) continue;
    const Value value = i >= first_default
                            ? evaluate(*node.defaults[i - first_default], scope)
                            : Value::undefined(heap.name(program_.names.name(node.parameters[i])));
    store(scope, node.parameters[i], value);
  }
  if (node.uses_caller) store(scope, caller_name_, caller.value_or(Value::undefined(heap.name("caller"))));
  if (node.uses_varargs) store(scope, varargs_name_, Value::of(varargs));
  if (node.uses_kwargs) store(scope, kwargs_name_, Value::of(kwargs));
  MarkedText text;
  run_block(node.body, scope, text);
  return heap.text(std::move(text));
}

void Interpreter::run_call_block(const Statement& node, Scope& scope, MarkedText& out) {
  const Expression& expression = *node.expressions[0];
  const Value callee = evaluate(*expression.operands[0], scope);
  Arguments arguments = evaluate_arguments(expression, scope);
  Callable body;
  body.name = "caller";
  body.macro = &node;
  body.scope = &scope;
  arguments.named.emplace_back("caller", Value::of(heap.callable(body)));
  append_str(out, call(callee, arguments));
}

// ---- loops ----

std::optional<Value> Interpreter::take_next(Loop& loop) {
  const Statement& node = *loop.statement;
  while (loop.n_taken < loop.source->items.size()) {
    heap.charge(1);
    const Value value = loop.source->items[loop.n_taken++];
    if (!node.condition) return value;
    Scope& scope = *new_scope(loop.scope);
    assign(scope, node.target, value);
    if (truth(evaluate(*node.condition, scope))) return value;
  }
  return std::nullopt;
}

bool Interpreter::peek(Loop& loop) {
  if (!loop.has_peeked) {
    const std::optional<Value> next = take_next(loop);
    loop.has_peeked = true;
    loop.has_next = next.has_value();
    loop.next = next.value_or(Value());
  }
  return loop.has_next;
}

bool Interpreter::advance(Loop& loop) {
  if (!peek(loop)) return false;
  loop.has_peeked = false;
  loop.previous = loop.current;
  loop.current = loop.next;
  ++loop.index0;
  return true;
}

size_t Interpreter::loop_length(Loop& loop) {
  const auto done = static_cast<size_t>(loop.index0 + 1);
  if (!loop.statement->condition) return loop.source->items.size();
  // With a condition the rest has to be asked for; it is then the source.
  List* rest = heap.list();
  while (peek(loop)) {
    heap.push(*rest, loop.next);
    loop.has_peeked = false;
  }
  loop.has_peeked = false;
  List* all = heap.list();
  heap.charge_items(done + rest->items.size());
  all->items.assign(done, Value());
  all->items.insert(all->items.end(), rest->items.begin(), rest->items.end());
  loop.source = all;
  loop.n_taken = done;
  return all->items.size();
}

namespace {

Value loop_cycle(Runtime& rt, const Value& self, const Arguments& arguments) {
  if (arguments.positional.empty()) rt.fail("no items for cycling given");
  return arguments.positional[static_cast<size_t>(self.loop().index0) % arguments.positional.size()];
}

Value loop_changed(Runtime& rt, const Value& self, const Arguments& arguments) {
  const Value now = Value::of(rt.heap.list(ListFlavour::kTuple, arguments.positional));
  Loop& loop = self.loop();
  if (rt.equals(loop.last_changed, now)) return Value::of(false);
  loop.last_changed = now;
  return Value::of(true);
}

}  // namespace

std::optional<Value> Interpreter::loop_attribute(Loop& loop, std::string_view name) {
  const Int index0 = loop.index0;
  if (name == "index") return Value::of(index0 + 1);
  if (name == "index0") return Value::of(index0);
  if (name == "first") return Value::of(index0 == 0);
  if (name == "last") return Value::of(!peek(loop));
  if (name == "length") return Value::of(static_cast<Int>(loop_length(loop)));
  if (name == "revindex") return Value::of(static_cast<Int>(loop_length(loop)) - index0);
  if (name == "revindex0") return Value::of(static_cast<Int>(loop_length(loop)) - index0 - 1);
  if (name == "depth") return Value::of(Int{loop.depth0} + 1);
  if (name == "depth0") return Value::of(Int{loop.depth0});
  if (name == "previtem") return index0 == 0 ? Value::undefined(heap.name("previtem")) : loop.previous;
  if (name == "nextitem") return peek(loop) ? loop.next : Value::undefined(heap.name("nextitem"));
  if (name == "cycle" || name == "changed") {
    Callable callable;
    callable.name = name == "cycle" ? "cycle" : "changed";
    callable.builtin = name == "cycle" ? loop_cycle : loop_changed;
    callable.self = Value::of(&loop);
    return Value::of(heap.callable(callable));
  }
  return std::nullopt;
}

void Interpreter::run_for(const Statement& node, Scope& scope, const Value& iterable, int64_t depth0,
                          MarkedText& out) {
  Loop& loop = *heap.loop();
  loop.statement = &node;
  loop.scope = &scope;
  loop.source = iterate(iterable);
  loop.depth0 = depth0;
  while (advance(loop)) {
    Scope& body = *new_scope(&scope);
    store(body, loop_name_, Value::of(&loop));
    assign(body, node.target, loop.current);
    if (run_block(node.body, body, out) == Flow::kBreak) break;
  }
  if (loop.index0 < 0 && !node.otherwise.empty()) run_block(node.otherwise, *new_scope(&scope), out);
}

// ---- statements ----

Interpreter::Flow Interpreter::run_block(const Block& block, Scope& scope, MarkedText& out) {
  for (const StatementPtr& statement : block) {
    const Flow flow = run_statement(*statement, scope, out);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::run_statement(const Statement& node, Scope& scope, MarkedText& out) {
  const DepthGuard guard(*this, node.line);
  switch (node.kind) {
    case StatementKind::kText:
      append_str(out, Value::of(node.text));
      break;
    case StatementKind::kOutput:
      for (const ExpressionPtr& expression : node.expressions) append_str(out, evaluate(*expression, scope));
      break;
    case StatementKind::kIf:
      for (const Branch& branch : node.branches) {
        if (truth(evaluate(*branch.condition, scope))) return run_block(branch.body, scope, out);
      }
      return run_block(node.body, scope, out);
    case StatementKind::kFor:
      run_for(node, scope, evaluate(*node.expressions[0], scope), 0, out);
      break;
    case StatementKind::kSet:
      assign(scope, node.target, evaluate(*node.expressions[0], scope));
      break;
    case StatementKind::kSetBlock:
    case StatementKind::kFilterBlock: {
      MarkedText text;
      Scope& body = *new_scope(&scope);
      run_block(node.body, body, text);
      Value value = heap.text(std::move(text));
      if (node.filter) value = apply_filter(*node.filter, value, scope);
      if (node.kind == StatementKind::kSetBlock) {
        assign(scope, node.target, value);
      } else {
        append_str(out, value);
      }
      break;
    }
    case StatementKind::kMacro: {
      Callable macro;
      macro.name = program_.names.name(node.name);
      macro.macro = &node;
      macro.scope = &scope;
      store(scope, node.name, Value::of(heap.callable(macro)));
      break;
    }
    case StatementKind::kCallBlock:
      run_call_block(node, scope, out);
      break;
    case StatementKind::kWith: {
      Scope& body = *new_scope(&scope);
      for (size_t i = 0; i < node.targets.size(); ++i) {
        assign(body, node.targets[i], evaluate(*node.expressions[i], scope));
      }
      run_block(node.body, body, out);
      break;
    }
    case StatementKind::kGeneration:
      run_block(node.body, *new_scope(&scope), out);
      break;
    case StatementKind::kBreak:
      return Flow::kBreak;
    case StatementKind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNormal;
}

}  // namespace chaski::jinja
