// A recursive-descent parser with a counter of its depth.
#include "text/jinja_parser.h"

#include <charconv>
#include <initializer_list>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "text/jinja_lexer.h"

namespace chaski::jinja {

NameId NameTable::id(std::string_view name) {
  const auto [found, is_new] = ids_.try_emplace(std::string(name), static_cast<NameId>(names_.size()));
  if (is_new) names_.emplace_back(name);
  return found->second;
}

NameId NameTable::find(std::string_view name) const {
  const auto found = ids_.find(std::string(name));
  return found == ids_.end() ? -1 : found->second;
}

namespace {

constexpr size_t kMaxSourceBytes = 1u << 20;
constexpr int kMaxNesting = 64;
constexpr int kMaxHeight = 500;  // of one expression's tree: long chains of operators lean to the left

class Parser {
 public:
  Parser(std::string_view source, Program& program) : tokens_(tokenize(source)), program_(program) {}

  void run() {
    program_.body = parse_block({});
    CHECK(current().kind == TokenKind::kEnd, "the parser stopped at line {}", current().line);
  }

 private:
  // Counts open brackets, tags and operators that nest to the right.
  class Depth {
   public:
    explicit Depth(Parser& parser) : parser_(parser) {
      if (++parser_.depth_ > kMaxNesting) {
        --parser_.depth_;
        syntax_error(parser_.current().line, fmt::format("nested deeper than {} levels", kMaxNesting));
      }
    }
    ~Depth() { --parser_.depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;

   private:
    Parser& parser_;
  };

  const Token& current() const { return tokens_[at_]; }
  const Token& ahead() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  const Token& take() {
    const Token& token = tokens_[at_];
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  static bool is_op(const Token& token, std::string_view op) {
    return token.kind == TokenKind::kOperator && token.text == op;
  }
  static bool is_word(const Token& token, std::string_view word) {
    return token.kind == TokenKind::kName && token.text == word;
  }
  bool at_op(std::string_view op) const { return is_op(current(), op); }
  bool at_word(std::string_view word) const { return is_word(current(), word); }
  bool skip_op(std::string_view op) { return at_op(op) && (take(), true); }
  bool skip_word(std::string_view word) { return at_word(word) && (take(), true); }

  [[noreturn]] void unexpected(std::string_view expected) const {
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
  [[noreturn]] static void unsupported(int line, std::string_view what) {
    throw Error(ErrorCode::kUnsupported, "template",
                fmt::format("{} is not supported (template line {})", what, line));
  }
  void expect_op(std::string_view op) {
    if (!skip_op(op)) unexpected(fmt::format("'{}'", op));
  }
  std::string expect_name() {
    if (current().kind != TokenKind::kName) unexpected("a name");
    return take().text;
  }
  void expect_block_end() {
    if (current().kind != TokenKind::kBlockEnd) unexpected("'%}'");
    take();
  }

  const MarkedText* keep(std::string text) { return &program_.texts.emplace_back(std::move(text)); }

  // ---- expressions ----

  static ExpressionPtr make(ExpressionKind kind, int line) {
    auto node = std::make_unique<Expression>();
    node->kind = kind;
    node->line = line;
    return node;
  }
  static void adopt(Expression& parent, ExpressionPtr child) {
    if (child) {
      parent.height = std::max(parent.height, child->height + 1);
      if (parent.height > kMaxHeight) {
        syntax_error(parent.line, fmt::format("an expression of more than {} steps", kMaxHeight));
      }
    }
    parent.operands.push_back(std::move(child));
  }
  template <typename... Children>
  static ExpressionPtr make(ExpressionKind kind, int line, Children... children) {
    ExpressionPtr node = make(kind, line);
    (adopt(*node, std::move(children)), ...);
    return node;
  }
  static ExpressionPtr constant(int line, const Value& value) {
    ExpressionPtr node = make(ExpressionKind::kConstant, line);
    node->constant = value;
    return node;
  }

  ExpressionPtr parse_expression() {
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

  ExpressionPtr parse_or() {
    ExpressionPtr left = parse_and();
    while (at_word("or")) {
      const int line = take().line;
      left = make(ExpressionKind::kOr, line, std::move(left), parse_and());
    }
    return left;
  }

  ExpressionPtr parse_and() {
    ExpressionPtr left = parse_not();
    while (at_word("and")) {
      const int line = take().line;
      left = make(ExpressionKind::kAnd, line, std::move(left), parse_not());
    }
    return left;
  }

  ExpressionPtr parse_not() {
    if (!at_word("not")) return parse_compare();
    const Depth depth(*this);
    const int line = take().line;
    return make(ExpressionKind::kNot, line, parse_not());
  }

  bool take_comparison(Comparison& comparison) {
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

  ExpressionPtr parse_compare() {
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

  ExpressionPtr parse_sum() {
    ExpressionPtr left = parse_concat();
    while (at_op("+") || at_op("-")) {
      const Token& op = take();
      const ExpressionKind kind = op.text == "+" ? ExpressionKind::kAdd : ExpressionKind::kSubtract;
      left = make(kind, op.line, std::move(left), parse_concat());
    }
    return left;
  }

  ExpressionPtr parse_concat() {
    const int line = current().line;
    ExpressionPtr first = parse_product();
    if (!at_op("~")) return first;
    ExpressionPtr node = make(ExpressionKind::kConcat, line, std::move(first));
    while (skip_op("~")) adopt(*node, parse_product());
    return node;
  }

  ExpressionPtr parse_product() {
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

  ExpressionPtr parse_power() {
    ExpressionPtr left = parse_unary(true);
    while (at_op("**")) {
      const int line = take().line;
      left = make(ExpressionKind::kPower, line, std::move(left), parse_unary(true));
    }
    return left;
  }

  ExpressionPtr parse_unary(bool with_filter) {
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

  ExpressionPtr parse_primary() {
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

  ExpressionPtr name_node(const std::string& word, int line) {
    ExpressionPtr node = make(ExpressionKind::kName, line);
    node->name = program_.names.id(word);
    if (!macros_.empty()) {
      macros_.back()->uses_varargs |= word == "varargs";
      macros_.back()->uses_kwargs |= word == "kwargs";
      macros_.back()->uses_caller |= word == "caller";
    }
    return node;
  }

  static Int parse_integer(const Token& token) {
    if (token.text.size() > 37) unsupported(token.line, "an integer of more than 37 digits");
    Int value = 0;
    for (const char c : token.text) value = value * 10 + (c - '0');
    return value;
  }

  static double parse_float(const Token& token) {
    double value = 0;
    const auto [end, error] =
        std::from_chars(token.text.data(), token.text.data() + token.text.size(), value);
    if (error != std::errc{} || end != token.text.data() + token.text.size()) {
      unsupported(token.line, "a number out of range");
    }
    return value;
  }

  bool at_tuple_end() const {
    return current().kind == TokenKind::kVariableEnd || current().kind == TokenKind::kBlockEnd || at_op(")");
  }

  // Expressions separated by commas; one without a comma is itself. `close` only says whether () may be
  // empty.
  ExpressionPtr parse_tuple(std::string_view close, bool with_condition, std::string_view end_word = {}) {
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

  ExpressionPtr parse_list() {
    ExpressionPtr node = make(ExpressionKind::kList, take().line);
    while (!at_op("]")) {
      adopt(*node, parse_expression());
      if (!skip_op(",")) break;
    }
    expect_op("]");
    return node;
  }

  ExpressionPtr parse_dict() {
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

  ExpressionPtr parse_postfix(ExpressionPtr node) {
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

  ExpressionPtr parse_filters(ExpressionPtr node) {
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

  ExpressionPtr parse_subscript(ExpressionPtr node) {
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

  ExpressionPtr parse_index() {
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

  void parse_arguments(Expression& node) {
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

  ExpressionPtr parse_call(ExpressionPtr callee) {
    ExpressionPtr node = make(ExpressionKind::kCall, current().line, std::move(callee));
    parse_arguments(*node);
    return node;
  }

  std::string parse_dotted_name() {
    std::string name = expect_name();
    while (skip_op(".")) name.append(".").append(expect_name());
    return name;
  }

  // `| name(…)`, any number of times; with `is_inline` the first without its bar, as in a filter block.
  ExpressionPtr parse_filter(ExpressionPtr node, bool is_inline) {
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

  ExpressionPtr parse_test(ExpressionPtr node) {
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

  // ---- statements ----

  static StatementPtr make_statement(StatementKind kind, int line) {
    auto node = std::make_unique<Statement>();
    node->kind = kind;
    node->line = line;
    return node;
  }

  // Statements until a tag that begins with one of `ends`; its word is then the current token.
  Block parse_block(std::initializer_list<std::string_view> ends) {
    const Depth depth(*this);
    Block block;
    while (true) {
      const Token& token = current();
      if (token.kind == TokenKind::kEnd) {
        if (ends.size() != 0) unexpected(fmt::format("'{}'", *(ends.end() - 1)));
        return block;
      }
      take();
      if (token.kind == TokenKind::kData) {
        StatementPtr text = make_statement(StatementKind::kText, token.line);
        text->text = keep(token.text);
        block.push_back(std::move(text));
      } else if (token.kind == TokenKind::kVariableBegin) {
        StatementPtr output = make_statement(StatementKind::kOutput, token.line);
        output->expressions.push_back(parse_tuple("", true));
        if (current().kind != TokenKind::kVariableEnd) unexpected("'}}'");
        take();
        block.push_back(std::move(output));
      } else {
        CHECK(token.kind == TokenKind::kBlockBegin, "a token outside a tag at line {}", token.line);
        for (const std::string_view end : ends) {
          if (at_word(end)) return block;
        }
        block.push_back(parse_statement());
        expect_block_end();
      }
    }
  }

  // The body of a tag: its '%}', statements, and the end tag up to (not with) its '%}'. Gives the word that
  // ended it.
  std::string parse_body(Block& body, std::initializer_list<std::string_view> ends) {
    skip_op(":");
    expect_block_end();
    body = parse_block(ends);
    return take().text;
  }

  StatementPtr parse_statement() {
    const int line = current().line;
    if (current().kind != TokenKind::kName) unexpected("a tag name");
    const std::string word = take().text;
    if (word == "if") return parse_if(line);
    if (word == "for") return parse_for(line);
    if (word == "set") return parse_set(line);
    if (word == "macro") return parse_macro(line);
    if (word == "call") return parse_call_block(line);
    if (word == "with") return parse_with(line);
    if (word == "filter") {
      StatementPtr node = make_statement(StatementKind::kFilterBlock, line);
      node->filter = parse_filter(nullptr, true);
      parse_body(node->body, {"endfilter"});
      return node;
    }
    if (word == "generation") {
      StatementPtr node = make_statement(StatementKind::kGeneration, line);
      const int outer_loops = std::exchange(loops_, 0);
      parse_body(node->body, {"endgeneration"});
      loops_ = outer_loops;
      return node;
    }
    if (word == "print") {
      StatementPtr node = make_statement(StatementKind::kOutput, line);
      while (current().kind != TokenKind::kBlockEnd) {
        node->expressions.push_back(parse_expression());
        if (!skip_op(",")) break;
      }
      return node;
    }
    if (word == "break" || word == "continue") {
      if (loops_ == 0) syntax_error(line, fmt::format("'{}' outside a loop", word));
      return make_statement(word == "break" ? StatementKind::kBreak : StatementKind::kContinue, line);
    }
    for (const std::string_view known : {"include", "import", "from", "extends", "block", "autoescape"}) {
      if (word == known) unsupported(line, fmt::format("the tag '{}'", word));
    }
    syntax_error(line, fmt::format("unknown tag '{}'", printable(word)));
  }

  StatementPtr parse_if(int line) {
    StatementPtr node = make_statement(StatementKind::kIf, line);
    std::string end = "elif";
    while (end == "elif") {
      Branch& branch = node->branches.emplace_back();
      branch.condition = parse_tuple("", false);
      end = parse_body(branch.body, {"elif", "else", "endif"});
    }
    if (end == "else") parse_body(node->body, {"endif"});
    return node;
  }

  StatementPtr parse_for(int line) {
    StatementPtr node = make_statement(StatementKind::kFor, line);
    node->target = parse_target("in", false);
    if (!skip_word("in")) unexpected("'in'");
    node->expressions.push_back(parse_tuple("", false, "recursive"));
    if (skip_word("if")) node->condition = parse_expression();
    node->is_recursive = skip_word("recursive");
    ++loops_;
    const std::string end = parse_body(node->body, {"endfor", "else"});
    --loops_;
    if (end == "else") parse_body(node->otherwise, {"endfor"});
    return node;
  }

  StatementPtr parse_set(int line) {
    StatementPtr node = make_statement(StatementKind::kSet, line);
    node->target = parse_target({}, true);
    if (skip_op("=")) {
      node->expressions.push_back(parse_tuple("", true));
      return node;
    }
    node->kind = StatementKind::kSetBlock;
    if (at_op("|")) node->filter = parse_filter(nullptr, false);
    parse_body(node->body, {"endset"});
    return node;
  }

  NameId parse_parameter_name() {
    const int line = current().line;
    const std::string name = expect_name();
    if (name == "true" || name == "false" || name == "none" || name == "True" || name == "False" ||
        name == "None") {
      syntax_error(line, fmt::format("can't assign to '{}'", name));
    }
    return program_.names.id(name);
  }

  Target parse_target(std::string_view end_word, bool with_namespace) {
    const Depth depth(*this);
    Target first = parse_one_target(with_namespace);
    if (!at_op(",")) return first;
    Target target;
    target.tuple.push_back(std::move(first));
    while (skip_op(",")) {
      if (at_tuple_end() || at_op("=") || (!end_word.empty() && at_word(end_word))) break;
      target.tuple.push_back(parse_one_target(with_namespace));
    }
    return target;
  }

  Target parse_one_target(bool with_namespace) {
    if (skip_op("(")) {
      Target target = parse_target({}, with_namespace);
      expect_op(")");
      return target;
    }
    Target target;
    if (loops_ > 0 && at_word("loop")) syntax_error(current().line, "can't assign to 'loop' inside a loop");
    target.name = parse_parameter_name();
    if (with_namespace && skip_op(".")) target.attribute = expect_name();
    return target;
  }

  void parse_signature(Statement& node) {
    expect_op("(");
    while (!at_op(")")) {
      node.parameters.push_back(parse_parameter_name());
      if (skip_op("=")) {
        node.defaults.push_back(parse_expression());
      } else if (!node.defaults.empty()) {
        syntax_error(current().line, "a parameter without a default after one with");
      }
      if (!skip_op(",")) break;
    }
    expect_op(")");
  }

  void parse_macro_body(Statement& node, std::string_view end) {
    const int outer_loops = std::exchange(loops_, 0);
    parse_body(node.body, {end});
    loops_ = outer_loops;
    macros_.pop_back();
  }

  StatementPtr parse_macro(int line) {
    StatementPtr node = make_statement(StatementKind::kMacro, line);
    node->name = parse_parameter_name();
    macros_.push_back(node.get());
    parse_signature(*node);
    parse_macro_body(*node, "endmacro");
    return node;
  }

  StatementPtr parse_call_block(int line) {
    StatementPtr node = make_statement(StatementKind::kCallBlock, line);
    macros_.push_back(node.get());
    if (at_op("(")) parse_signature(*node);
    node->expressions.push_back(parse_expression());
    if (node->expressions[0]->kind != ExpressionKind::kCall) syntax_error(line, "expected a call");
    parse_macro_body(*node, "endcall");
    return node;
  }

  StatementPtr parse_with(int line) {
    StatementPtr node = make_statement(StatementKind::kWith, line);
    while (current().kind != TokenKind::kBlockEnd) {
      node->targets.push_back(parse_one_target(false));
      expect_op("=");
      node->expressions.push_back(parse_expression());
      if (!skip_op(",")) break;
    }
    parse_body(node->body, {"endwith"});
    return node;
  }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  int loops_ = 0;  // open around the current tag, within its macro
  std::vector<Statement*> macros_;
  Program& program_;
};

}  // namespace

std::unique_ptr<const Program> parse_template(std::string_view source) {
  if (source.size() > kMaxSourceBytes) {
    throw Error(ErrorCode::kUnsupported, "template",
                fmt::format("a template of {} bytes, expected at most {}", source.size(), kMaxSourceBytes));
  }
  if (!is_valid_utf8(source)) throw Error(ErrorCode::kCorrupt, "template", "the template is not valid UTF-8");
  auto program = std::make_unique<Program>();
  Parser(source, *program).run();
  return program;
}

}  // namespace chaski::jinja
