// The part of the template parser that reads expressions, and the tokens under it. Tags are in
// jinja_parser.cpp.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "text/jinja_ast.h"
#include "text/jinja_lexer.h"

namespace chaski::jinja {

/// A recursive descent over the tokens of one template, with a counter of its depth.
class ExpressionParser {
 protected:
  ExpressionParser(std::string_view source, Program& program)
      : tokens_(tokenize(source)), program_(program) {}

  static constexpr int kMaxNesting = 64;

  // Counts open brackets, tags and operators that nest to the right.
  class Depth {
   public:
    explicit Depth(ExpressionParser& parser) : parser_(parser) {
      if (++parser_.depth_ > kMaxNesting) {
        --parser_.depth_;
        syntax_error(parser_.current().line, fmt::format("nested deeper than {} levels", kMaxNesting));
      }
    }
    ~Depth() { --parser_.depth_; }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;

   private:
    ExpressionParser& parser_;
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

  [[noreturn]] void unexpected(std::string_view expected) const;
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

  static ExpressionPtr make(ExpressionKind kind, int line) {
    auto node = std::make_unique<Expression>();
    node->kind = kind;
    node->line = line;
    return node;
  }
  static void adopt(Expression& parent, ExpressionPtr child);
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

  ExpressionPtr parse_expression();
  ExpressionPtr parse_or();
  ExpressionPtr parse_and();
  ExpressionPtr parse_not();
  bool take_comparison(Comparison& comparison);
  ExpressionPtr parse_compare();
  ExpressionPtr parse_sum();
  ExpressionPtr parse_concat();
  ExpressionPtr parse_product();
  ExpressionPtr parse_power();
  ExpressionPtr parse_unary(bool with_filter);
  ExpressionPtr parse_primary();
  ExpressionPtr name_node(const std::string& word, int line);
  static Int parse_integer(const Token& token);
  static double parse_float(const Token& token);
  bool at_tuple_end() const;
  // Expressions separated by commas; one without a comma is itself. `close` only says whether () may be
  // empty.
  ExpressionPtr parse_tuple(std::string_view close, bool with_condition, std::string_view end_word = {});
  ExpressionPtr parse_list();
  ExpressionPtr parse_dict();
  ExpressionPtr parse_postfix(ExpressionPtr node);
  ExpressionPtr parse_filters(ExpressionPtr node);
  ExpressionPtr parse_subscript(ExpressionPtr node);
  ExpressionPtr parse_index();
  void parse_arguments(Expression& node);
  ExpressionPtr parse_call(ExpressionPtr callee);
  std::string parse_dotted_name();
  // `| name(…)`, any number of times; with `is_inline` the first without its bar, as in a filter block.
  ExpressionPtr parse_filter(ExpressionPtr node, bool is_inline);
  ExpressionPtr parse_test(ExpressionPtr node);

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
  std::vector<Statement*> macros_;  // open around the current tag
  Program& program_;
};

}  // namespace chaski::jinja
