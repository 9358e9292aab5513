// The tags of a template; their expressions are read in jinja_expressions.cpp.
#include "text/jinja_parser.h"

#include <initializer_list>
#include <utility>

#include "base/error.h"
#include "base/utf8.h"
#include "text/jinja_expressions.h"

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

class Parser : private ExpressionParser {
 public:
  Parser(std::string_view source, Program& program) : ExpressionParser(source, program) {}

  void run() {
    program_.body = parse_block({});
    CHECK(current().kind == TokenKind::kEnd, "the parser stopped at line {}", current().line);
  }

 private:
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

  int loops_ = 0;  // open around the current tag, within its macro
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
