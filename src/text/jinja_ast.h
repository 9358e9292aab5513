// The syntax tree of a template. Names are numbers (NameTable), so that scopes are short lists of numbers.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/jinja_value.h"

namespace chaski::jinja {

using NameId = int;

class NameTable {
 public:
  NameId id(std::string_view name);
  /// The number of a name that the template uses, or −1.
  NameId find(std::string_view name) const;
  const std::string& name(NameId id) const { return names_[static_cast<size_t>(id)]; }

 private:
  std::unordered_map<std::string, NameId> ids_;
  std::deque<std::string> names_;
};

enum class ExpressionKind : uint8_t {
  kConstant,   // constant
  kName,       // name
  kList,       // operands
  kTuple,      // operands
  kDict,       // operands: key, value, …
  kAttribute,  // operands[0] . text
  kItem,       // operands[0] [ operands[1] ]
  kSlice,      // only inside kItem: operands start, stop, step, each may be null
  kCall,       // operands[0] ( rest, the last of them with the keywords )
  kFilter,     // operands[0] | text ( rest ); operands[0] is null in a filter block
  kTest,       // operands[0] is text ( rest )
  kNot,
  kNegate,
  kPlus,
  kAnd,
  kOr,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kConcat,       // operands joined by ~
  kCompare,      // operands[0] comparisons[0] operands[1] …
  kConditional,  // operands: value, condition, otherwise (may be null)
};

enum class Comparison : uint8_t {
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kIn,
  kNotIn
};

struct Expression {
  ExpressionKind kind;
  int line = 0;
  int height = 1;  ///< of the tree below, limited when it is built
  NameId name = -1;
  std::string text;
  Value constant;
  std::vector<std::unique_ptr<Expression>> operands;
  std::vector<std::string> keywords;  ///< of the last operands of a call, filter or test
  std::vector<Comparison> comparisons;
};

using ExpressionPtr = std::unique_ptr<Expression>;

/// Where a value goes: a name, an attribute of a namespace, or a tuple of targets.
struct Target {
  NameId name = -1;
  std::string attribute;  ///< not empty: of the namespace `name`
  std::vector<Target> tuple;
};

enum class StatementKind : uint8_t {
  kText,         // text
  kOutput,       // expressions
  kIf,           // branches; body is the else part
  kFor,          // target, expressions[0] the iterable, condition may be null; body, otherwise; is_recursive
  kSet,          // target, expressions[0]
  kSetBlock,     // target, filter may be null, body
  kMacro,        // name, parameters, defaults of the last parameters, body
  kCallBlock,    // expressions[0] the call; parameters, defaults, body
  kFilterBlock,  // filter, body
  kWith,         // targets and expressions, body
  kGeneration,   // body
  kBreak,
  kContinue,
};

struct Statement;
using StatementPtr = std::unique_ptr<Statement>;
using Block = std::vector<StatementPtr>;

struct Branch {
  ExpressionPtr condition;
  Block body;
};

struct Statement {
  StatementKind kind;
  int line = 0;
  NameId name = -1;
  const MarkedText* text = nullptr;
  Target target;
  std::vector<Target> targets;
  std::vector<ExpressionPtr> expressions;
  ExpressionPtr condition;
  ExpressionPtr filter;
  std::vector<Branch> branches;
  Block body;
  Block otherwise;
  std::vector<NameId> parameters;
  std::vector<ExpressionPtr> defaults;
  bool is_recursive = false;
  bool uses_varargs = false;
  bool uses_kwargs = false;
  bool uses_caller = false;
};

/// A parsed template: the tree, its names and its constants. Immutable; may be rendered by several threads.
struct Program {
  NameTable names;
  std::deque<MarkedText> texts;
  Block body;
};

}  // namespace chaski::jinja
