#include "text/jinja_expressions.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>

namespace chaski::jinja {
namespace {

constexpr int kMaxHeight = 500;  // of one expression's tree: long chains of operators lean to the left

}  // namespace

void ExpressionParser::unexpected(std::string_view expected) const {
  const Token& token = current();
  std::string found;
  switch (token.kind) {
    case TokenKind::kEnd:
      found = "the end of the template";
      break;
    case TokenKind::kBlockEnd:
      found = "'%}'";
      break;
    case TokenKind::kVariableEnd:
      found = "'}}'";
      break;
    case TokenKind::kData:
      found = "text";
      break;
    default:
      found = fmt::format("'{}'", printable(token.text));
  }
  syntax_error(token.line, fmt::format("expected {}, found {}", expected, found));
}

void ExpressionParser::adopt(Expression& parent, ExpressionPtr child) {
  if (child) {
    parent.height = std::max(parent.height, child->height + 1);
    if (parent.height > kMaxHeight) {
      syntax_error(parent.line, fmt::format("an expression of more than {} steps", kMaxHeight));
    }
  }
  parent.operands.push_back(std::move(child));
}

ExpressionPtr ExpressionParser::parse_expression() {
  const Depth depth(*this);
  int line = current().line;
  ExpressionPtr value = parse_or();
  while (skip_word("if")) {
    ExpressionPtr condition = parse_or();
    ExpressionPtr otherwise = skip_word("else") ? parse_expression() : nullptr;
    value = make(ExpressionKind::kConditional, line, std::move(value), std::move(condition),
                 std::move(otherwise));
    line = current().line;
  }
  return value;
}

ExpressionPtr ExpressionParser::parse_or() {
  ExpressionPtr left = parse_and();
  while (at_word("or")) {
    const int line = take().line;
    left = make(ExpressionKind::kOr, line, std::move(left), parse_and());
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_and() {
  ExpressionPtr left = parse_not();
  while (at_word("and")) {
    const int line = take().line;
    left = make(ExpressionKind::kAnd, line, std::move(left), parse_not());
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_not() {
  if (!at_word("not")) return parse_compare();
  const Depth depth(*this);
  const int line = take().line;
  return make(ExpressionKind::kNot, line, parse_not());
}

bool ExpressionParser::take_comparison(Comparison& comparison) {
  static constexpr std::pair<std::string_view, Comparison> kOperators[] = {
      {"==", Comparison::kEqual},     {"!=", Comparison::kNotEqual}, {"<", Comparison::kLess},
      {"<=", Comparison::kLessEqual}, {">", Comparison::kGreater},   {">=", Comparison::kGreaterEqual}};
  for (const auto& [op, meaning] : kOperators) {
    if (skip_op(op)) return comparison = meaning, true;
  }
  if (skip_word("in")) return comparison = Comparison::kIn, true;
  if (at_word("not") && is_word(ahead(), "in")) {
    take();
    take();
    return comparison = Comparison::kNotIn, true;
  }
  return false;
}

ExpressionPtr ExpressionParser::parse_compare() {
  const int line = current().line;
  ExpressionPtr left = parse_sum();
  Comparison comparison{};
  if (!take_comparison(comparison)) return left;
  ExpressionPtr node = make(ExpressionKind::kCompare, line, std::move(left));
  do {
    node->comparisons.push_back(comparison);
    adopt(*node, parse_sum());
  } while (take_comparison(comparison));
  return node;
}

ExpressionPtr ExpressionParser::parse_sum() {
  ExpressionPtr left = parse_concat();
  while (at_op("+") || at_op("-")) {
    const Token& op = take();
    const ExpressionKind kind = op.text == "+" ? ExpressionKind::kAdd : ExpressionKind::kSubtract;
    left = make(kind, op.line, std::move(left), parse_concat());
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_concat() {
  const int line = current().line;
  ExpressionPtr first = parse_product();
  if (!at_op("~")) return first;
  ExpressionPtr node = make(ExpressionKind::kConcat, line, std::move(first));
  while (skip_op("~")) adopt(*node, parse_product());
  return node;
}

ExpressionPtr ExpressionParser::parse_product() {
  ExpressionPtr left = parse_power();
  while (at_op("*") || at_op("/") || at_op("//") || at_op("%")) {
    const Token& op = take();
    const ExpressionKind kind = op.text == "*"    ? ExpressionKind::kMultiply
                                : op.text == "/"  ? ExpressionKind::kDivide
                                : op.text == "//" ? ExpressionKind::kFloorDivide
                                                  : ExpressionKind::kModulo;
    left = make(kind, op.line, std::move(left), parse_power());
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_power() {
  ExpressionPtr left = parse_unary(true);
  while (at_op("**")) {
    const int line = take().line;
    left = make(ExpressionKind::kPower, line, std::move(left), parse_unary(true));
  }
  return left;
}

ExpressionPtr ExpressionParser::parse_unary(bool with_filter) {
  ExpressionPtr node;
  if (at_op("-") || at_op("+")) {
    const Depth depth(*this);
    const Token& op = take();
    node =
        make(op.text == "-" ? ExpressionKind::kNegate : ExpressionKind::kPlus, op.line, parse_unary(false));
  } else {
    node = parse_primary();
  }
  node = parse_postfix(std::move(node));
  return with_filter ? parse_filters(std::move(node)) : std::move(node);
}

ExpressionPtr ExpressionParser::parse_primary() {
  const Token& token = current();
  switch (token.kind) {
    case TokenKind::kName: {
      take();
      const std::string& word = token.text;
      if (word == "true" || word == "True") return constant(token.line, Value::of(true));
      if (word == "false" || word == "False") return constant(token.line, Value::of(false));
      if (word == "none" || word == "None") return constant(token.line, Value::none());
      return name_node(word, token.line);
    }
    case TokenKind::kString: {
      std::string text = take().text;
      while (current().kind == TokenKind::kString) text += take().text;
      return constant(token.line, Value::of(keep(std::move(text))));
    }
    case TokenKind::kInteger:
      return constant(token.line, Value::of(parse_integer(take())));
    case TokenKind::kFloat:
      return constant(token.line, Value::of(parse_float(take())));
    case TokenKind::kOperator:
      if (token.text == "(") {
        take();
        ExpressionPtr node = parse_tuple(")", true);
        expect_op(")");
        return node;
      }
      if (token.text == "[") return parse_list();
      if (token.text == "{") return parse_dict();
      break;
    default:
      break;
  }
  unexpected("an expression");
}

ExpressionPtr ExpressionParser::name_node(const std::string& word, int line) {
  ExpressionPtr node = make(ExpressionKind::kName, line);
  node->name = program_.names.id(word);
  if (!macros_.empty()) {
    macros_.back()->uses_varargs |= word == "varargs";
    macros_.back()->uses_kwargs |= word == "kwargs";
    macros_.back()->uses_caller |= word == "caller";
  }
  return node;
}

Int ExpressionParser::parse_integer(const Token& token) {
  if (token.text.size() > 37) unsupported(token.line, "an integer of more than 37 digits");
  Int value = 0;
  for (const char c : token.text) value = value * 10 + (c - '0');
  return value;
}

double ExpressionParser::parse_float(const Token& token) {
  double value = 0;
  const auto [end, error] = std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
  if (error != std::errc{} || end != token.text.data() + token.text.size()) {
    unsupported(token.line, "a number out of range");
  }
  return value;
}

bool ExpressionParser::at_tuple_end() const {
  return current().kind == TokenKind::kVariableEnd || current().kind == TokenKind::kBlockEnd || at_op(")");
}

ExpressionPtr ExpressionParser::parse_tuple(std::string_view close, bool with_condition,
                                            std::string_view end_word) {
  const int line = current().line;
  ExpressionPtr tuple = make(ExpressionKind::kTuple, line);
  bool is_tuple = false;
  while (!at_tuple_end() && (end_word.empty() || !at_word(end_word))) {
    ExpressionPtr item = with_condition ? parse_expression() : parse_or();
    if (!at_op(",")) {
      if (!is_tuple) return item;
      adopt(*tuple, std::move(item));
      break;
    }
    adopt(*tuple, std::move(item));
    take();
    is_tuple = true;
  }
  if (!is_tuple && close.empty()) unexpected("an expression");
  return tuple;
}

ExpressionPtr ExpressionParser::parse_list() {
  ExpressionPtr node = make(ExpressionKind::kList, take().line);
  while (!at_op("]")) {
    adopt(*node, parse_expression());
    if (!skip_op(",")) break;
  }
  expect_op("]");
  return node;
}

ExpressionPtr ExpressionParser::parse_dict() {
  ExpressionPtr node = make(ExpressionKind::kDict, take().line);
  while (!at_op("}")) {
    adopt(*node, parse_expression());
    expect_op(":");
    adopt(*node, parse_expression());
    if (!skip_op(",")) break;
  }
  expect_op("}");
  return node;
}

ExpressionPtr ExpressionParser::parse_postfix(ExpressionPtr node) {
  while (true) {
    if (at_op(".") || at_op("[")) {
      node = parse_subscript(std::move(node));
    } else if (at_op("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExpressionPtr ExpressionParser::parse_filters(ExpressionPtr node) {
  while (true) {
    if (at_op("|")) {
      node = parse_filter(std::move(node), false);
    } else if (at_word("is")) {
      node = parse_test(std::move(node));
    } else if (at_op("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExpressionPtr ExpressionParser::parse_subscript(ExpressionPtr node) {
  const Token& token = take();
  if (token.text == ".") {
    if (current().kind == TokenKind::kName) {
      ExpressionPtr attribute = make(ExpressionKind::kAttribute, token.line, std::move(node));
      attribute->text = take().text;
      return attribute;
    }
    if (current().kind != TokenKind::kInteger) unexpected("a name or a number");
    const Token& index = take();
    return make(ExpressionKind::kItem, token.line, std::move(node),
                constant(index.line, Value::of(parse_integer(index))));
  }
  std::vector<ExpressionPtr> indices;
  while (!at_op("]")) {
    indices.push_back(parse_index());
    if (!skip_op(",")) break;
  }
  expect_op("]");
  if (indices.size() == 1)
    return make(ExpressionKind::kItem, token.line, std::move(node), std::move(indices[0]));
  ExpressionPtr tuple = make(ExpressionKind::kTuple, token.line);
  for (ExpressionPtr& index : indices) {
    if (index->kind == ExpressionKind::kSlice) unsupported(token.line, "a tuple of slices");
    adopt(*tuple, std::move(index));
  }
  return make(ExpressionKind::kItem, token.line, std::move(node), std::move(tuple));
}

ExpressionPtr ExpressionParser::parse_index() {
  const int line = current().line;
  ExpressionPtr start;
  if (!at_op(":")) {
    start = parse_expression();
    if (!at_op(":")) return start;
  }
  take();
  const auto part = [&]() -> ExpressionPtr {
    return at_op(":") || at_op("]") || at_op(",") ? nullptr : parse_expression();
  };
  ExpressionPtr stop = part();
  ExpressionPtr step = skip_op(":") ? part() : nullptr;
  return make(ExpressionKind::kSlice, line, std::move(start), std::move(stop), std::move(step));
}

void ExpressionParser::parse_arguments(Expression& node) {
  expect_op("(");
  while (!at_op(")")) {
    if (at_op("*") || at_op("**")) unsupported(current().line, "an argument with a star");
    if (current().kind == TokenKind::kName && is_op(ahead(), "=")) {
      node.keywords.push_back(take().text);
      take();
      adopt(node, parse_expression());
    } else {
      if (!node.keywords.empty()) syntax_error(current().line, "a positional argument after a named one");
      adopt(node, parse_expression());
    }
    if (!skip_op(",")) break;
  }
  expect_op(")");
}

ExpressionPtr ExpressionParser::parse_call(ExpressionPtr callee) {
  ExpressionPtr node = make(ExpressionKind::kCall, current().line, std::move(callee));
  parse_arguments(*node);
  return node;
}

std::string ExpressionParser::parse_dotted_name() {
  std::string name = expect_name();
  while (skip_op(".")) name.append(".").append(expect_name());
  return name;
}

ExpressionPtr ExpressionParser::parse_filter(ExpressionPtr node, bool is_inline) {
  while (is_inline || skip_op("|")) {
    is_inline = false;
    const int line = current().line;
    ExpressionPtr filter = make(ExpressionKind::kFilter, line, std::move(node));
    filter->text = parse_dotted_name();
    if (at_op("(")) parse_arguments(*filter);
    node = std::move(filter);
  }
  return node;
}

ExpressionPtr ExpressionParser::parse_test(ExpressionPtr node) {
  const int line = take().line;
  const bool is_negated = skip_word("not");
  ExpressionPtr test = make(ExpressionKind::kTest, line, std::move(node));
  test->text = parse_dotted_name();
  const Token& next = current();
  if (at_op("(")) {
    parse_arguments(*test);
  } else if ((next.kind == TokenKind::kName && !at_word("else") && !at_word("or") && !at_word("and")) ||
             next.kind == TokenKind::kString || next.kind == TokenKind::kInteger ||
             next.kind == TokenKind::kFloat || at_op("[") || at_op("{")) {
    if (at_word("is")) syntax_error(next.line, "tests cannot be chained with is");
    const Depth depth(*this);
    adopt(*test, parse_postfix(parse_primary()));
  }
  if (!is_negated) return test;
  return make(ExpressionKind::kNot, line, std::move(test));
}

}  // namespace chaski::jinja
