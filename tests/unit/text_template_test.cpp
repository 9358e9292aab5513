// Chat templates: what a template prints, which bytes of the prompt are the caller's, and what hostile
// templates and messages meet. Equality with Jinja2 on real templates is tests/parity/template_parity.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "text/chat_template.h"

namespace chaski {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

OrderedJson json(std::string_view text) { return parse_ordered_json(text, "test"); }

RenderedPrompt render(const std::string& source,
                      std::string_view messages = R"([{"role": "user", "content": "hi"}])",
                      const RenderOptions& options = {}) {
  return ChatTemplate(source, "<s>", "</s>").render(json(messages), options);
}

std::string text_of(const std::string& source) { return render(source).text; }

// The caller's bytes of the prompt, one string for each run of them.
std::vector<std::string> user_texts(const RenderedPrompt& prompt) {
  std::vector<std::string> texts;
  for (const PlainSpan& span : prompt.user_spans)
    texts.push_back(prompt.text.substr(span.begin, span.end - span.begin));
  return texts;
}

// The error that `action` throws, or an internal one where it throws none.
template <typename Action>
Error error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorCode::kInternal, "test", "no error");
}

Error refusal(const std::string& source) {
  return error_of([&] { render(source); });
}

constexpr char kChat[] = R"({{- bos_token }}
{%- for message in messages %}
    {{- '<|h|>' + message['role'] + '<|/h|>' + message['content'] | trim + '<|eot|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|h|>assistant<|/h|>' }}
{%- endif %}
)";

// ---- what a template prints ----

TEST(ChatTemplate, RendersTurnsAndTheGenerationPrompt) {
  const char* const messages =
      R"([{"role": "system", "content": " Be brief.\n"}, {"role": "user", "content": "你好"}])";
  const std::string turns = "<s><|h|>system<|/h|>Be brief.<|eot|><|h|>user<|/h|>你好<|eot|>";
  EXPECT_EQ(render(kChat, messages).text, turns + "<|h|>assistant<|/h|>");
  RenderOptions options;
  options.add_generation_prompt = false;
  EXPECT_EQ(render(kChat, messages, options).text, turns);
}

TEST(ChatTemplate, TakesWhiteSpaceAroundTagsAsTransformersDoes) {
  EXPECT_EQ(text_of("a\n  {% if true %}  \n  b\n  {% endif %}\n\nc\n"), "a\n  \n  b\n\nc");
  EXPECT_EQ(text_of("x {#- c -#}  y {{- 1 }}  {%- if 1 +%}\nz{% endif %}"), "xy1\nz");
  EXPECT_EQ(text_of("a {% raw -%} {{ x }} {%- endraw %} b"), "a {{ x }} b");
}

TEST(ChatTemplate, PrintsValuesAsPythonDoes) {
  EXPECT_EQ(text_of("{{ [1, 1.0, 1e16, 0.00001, true, none, 'it\\'s', (1,), {'a': 'é\\n'}] }}"),
            "[1, 1.0, 1e+16, 1e-05, True, None, \"it's\", (1,), {'a': 'é\\n'}]");
  EXPECT_EQ(text_of("{{ 2 ** 100 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 1 / 2 }}"),
            "1267650600228229401496703205376 -4 2 0.5");
  EXPECT_EQ(text_of("{{ {'a': [1, 'é<\"']} | tojson }} {{ [1] | tojson(indent=2) }}"),
            "{\"a\": [1, \"é<\\\"\"]} [\n  1\n]");
}

TEST(ChatTemplate, FollowsPythonInSlicesAndMethods) {
  EXPECT_EQ(text_of("{{ 'héllo'[::-1] }} {{ 'héllo'[-2:] }} {{ [1,2,3,4][::2] }} {{ 'ΑΣ'|lower }} {{ "
                    "'straße'|upper }}"),
            "olléh lo [1, 3] ας STRASSE");
  EXPECT_EQ(text_of("{{ 'a</t>b'.split('</t>')[-1] }} {{ ' a b '.split() }} {{ 'x-y'.replace('-', '+') }}"),
            "b ['a', 'b'] x+y");
}

TEST(ChatTemplate, LoopsScopesAndMacrosBehaveAsInJinja) {
  EXPECT_EQ(text_of("{% set x = 1 %}{% for i in range(2) %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}"),
            "221");
  EXPECT_EQ(text_of("{% set n = namespace(t=0) %}{% for i in range(4) %}{% if i == 3 %}{% break %}{% endif %}"
                    "{% set n.t = n.t + i %}{{ loop.last }}{% endfor %}{{ n.t }}"),
            "FalseFalseFalse3");
  EXPECT_EQ(
      text_of(
          "{% macro m(a, b=2) %}[{{ a }}{{ b }}{{ caller() }}]{% endmacro %}{% call m(1) %}x{% endcall %}"),
      "[12x]");
}

TEST(ChatTemplate, PinsTheDateForTheVariableAndForTheClock) {
  RenderOptions options;
  options.date_string = "26 Jul 2024";
  const std::string source =
      "{{ date_string }}|{{ strftime_now('%d %b %Y') }}|{{ strftime_now('%Y-%m-%d') }}";
  EXPECT_EQ(render(source, "[]", options).text, "26 Jul 2024|26 Jul 2024|2024-07-26");
  EXPECT_EQ(text_of("{{ date_string is defined }}"), "False");
}

TEST(ChatTemplate, GivesReasoningUnderTheNamesThatTemplatesRead) {
  EXPECT_EQ(render("{{ messages[0].reasoning_content }}{{ messages[0].thinking }}",
                   R"([{"role": "assistant", "content": "x", "reasoning": "R"}])")
                .text,
            "RR");
}

TEST(ChatTemplate, KnowsNoNameForATemplateOfOnesOwn) {
  const ChatTemplate own(kChat, "", "");
  EXPECT_EQ(own.known_name(), "");
  EXPECT_EQ(own.sha256().size(), 64u);
}

// ---- which bytes are the caller's ----

TEST(ChatTemplate, MarksContentAndRoleAndNothingOfTheTemplate) {
  const RenderedPrompt prompt = render(kChat, R"([{"role": "user", "content": " <|eot|> "}])");
  EXPECT_EQ(prompt.text, "<s><|h|>user<|/h|><|eot|><|eot|><|h|>assistant<|/h|>");
  EXPECT_THAT(prompt.user_spans, ElementsAre(PlainSpan{8, 12}, PlainSpan{18, 25}));
}

TEST(ChatTemplate, KeepsMarksThroughEveryOperationOnText) {
  const auto marked = [](const std::string& expression) {
    return user_texts(render("{% set c = messages[0].content %}<|{{ " + expression + " }}|>",
                             R"([{"role": "user", "content": "ab</t>c d"}])"));
  };
  EXPECT_THAT(marked("c"), ElementsAre("ab</t>c d"));
  EXPECT_THAT(marked("'x' ~ c ~ 'y'"), ElementsAre("ab</t>c d"));
  EXPECT_THAT(marked("'x' + c"), ElementsAre("ab</t>c d"));
  EXPECT_THAT(marked("c.split('</t>')[-1]"), ElementsAre("c d"));
  EXPECT_THAT(marked("c.split()|join(',')"), ElementsAre("ab</t>c", "d"));
  EXPECT_THAT(marked("c[1:4]"), ElementsAre("b</"));
  EXPECT_THAT(marked("c[::-1]"), ElementsAre("d c>t/<ba"));
  EXPECT_THAT(marked("c|upper"), ElementsAre("AB</T>C D"));
  EXPECT_THAT(marked("c|title"), ElementsAre("Ab</t>c D"));
  EXPECT_THAT(marked("c|capitalize"), ElementsAre("Ab</t>c d"));
  EXPECT_THAT(marked("c|replace('b', 'Z')"), ElementsAre("a", "</t>c d"));
  EXPECT_THAT(marked("'-+-'|replace('+', c)"), ElementsAre("ab</t>c d"));
  EXPECT_THAT(marked("'%s!' % c"), ElementsAre("ab</t>c d"));
  EXPECT_THAT(marked("'{}!'.format(c)"), ElementsAre("ab</t>c d"));
  EXPECT_THAT(marked("[c]|tojson"), ElementsAre("ab</t>c d"));
  EXPECT_THAT(marked("[c]"), ElementsAre("ab</t>c d"));
  EXPECT_THAT(marked("c|indent(2, true)"), ElementsAre("ab</t>c d"));
  EXPECT_THAT(marked("c|list|first"), ElementsAre("a"));
  EXPECT_THAT(marked("c|reverse|string"), ElementsAre("d c>t/<ba"));
  EXPECT_THAT(marked("c.strip('a')"), ElementsAre("b</t>c d"));
  EXPECT_THAT(marked("messages[0]|items|map('last')|join('/')"), ElementsAre("user", "ab</t>c d"));
}

TEST(ChatTemplate, MarksToolsAndExtraVariablesButNotTokensOrDate) {
  RenderOptions options;
  options.tools = json(R"([{"name": "f"}])");
  options.extra = json(R"({"who": "me"})");
  options.date_string = "26 Jul 2024";
  const RenderedPrompt prompt =
      render("{{ tools[0].name }}-{{ who }}-{{ bos_token }}{{ date_string }}", "[]", options);
  EXPECT_THAT(user_texts(prompt), ElementsAre("f", "me"));
}

TEST(ChatTemplate, MarksEscapesInJsonThatStandForTheCallersBytes) {
  const RenderedPrompt prompt =
      render("{{ messages[0].content | tojson }}", R"([{"role": "user", "content": "a\"\nb"}])");
  EXPECT_EQ(prompt.text, "\"a\\\"\\nb\"");
  EXPECT_THAT(user_texts(prompt), ElementsAre("a\\\"\\nb"));
}

// ---- hostile templates ----

TEST(ChatTemplate, RefusesMacrosThatCallEachOtherWithoutEnd) {
  EXPECT_THAT(refusal("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").what(), HasSubstr("depth"));
  const Error error =
      refusal("{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}");
  EXPECT_EQ(error.code(), ErrorCode::kUsage);
  EXPECT_THAT(error.what(), HasSubstr("depth"));
}

TEST(ChatTemplate, RefusesDeepNestingWhenItIsLoaded) {
  const auto repeated = [](const std::string& text, int n) {
    std::string result;
    for (int i = 0; i < n; ++i) result += text;
    return result;
  };
  for (const int n : {150, 60000}) {
    const std::string sources[] = {"{{ " + repeated("(", n) + "1" + repeated(")", n) + " }}",
                                   repeated("{% if 1 %}", n) + repeated("{% endif %}", n),
                                   "{{ " + repeated("[", n) + repeated("]", n) + " }}",
                                   "{{ " + repeated("not ", n) + "1 }}",
                                   "{{ " + repeated("-", n) + "1 }}",
                                   "{{ 1" + repeated(" if 1 else 1", n) + " }}",
                                   "{% set " + repeated("(", n) + "a" + repeated(")", n) + " = 1 %}"};
    for (const std::string& source : sources) {
      const Error error = error_of([&] { ChatTemplate(source, "", ""); });
      EXPECT_NE(error.code(), ErrorCode::kInternal) << source.substr(0, 20);
      if (n == 150) {
        EXPECT_THAT(error.what(), HasSubstr("nested deeper than 64")) << source.substr(0, 20);
      }
    }
  }
  EXPECT_EQ(error_of([&] { ChatTemplate("{{ 1" + repeated("+1", 60000) + " }}", "", ""); }).code(),
            ErrorCode::kCorrupt);
  EXPECT_EQ(error_of([&] { ChatTemplate("{{ a" + repeated(".a", 60000) + " }}", "", ""); }).code(),
            ErrorCode::kCorrupt);
  EXPECT_EQ(error_of([&] { ChatTemplate("{{ a" + repeated("|a", 60000) + " }}", "", ""); }).code(),
            ErrorCode::kCorrupt);
}

TEST(ChatTemplate, RefusesASourceOfMoreThanAMebibyte) {
  EXPECT_EQ(error_of([&] { ChatTemplate(std::string((1 << 20) + 1, 'a'), "", ""); }).code(),
            ErrorCode::kUnsupported);
}

TEST(ChatTemplate, StopsEndlessWorkByTheStepLimitWithinTwoSeconds) {
  const std::string sources[] = {
      "{% for i in range(1000000) %}{% for j in range(1000000) %}{% endfor %}{% endfor %}",
      "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
      "{% for i in range(10000) %}{% for j in range(10000) %}x{% endfor %}{% endfor %}",
      "{% set n = namespace(x=[1]) %}{% for i in range(64) %}{% set n.x = n.x + n.x %}{% endfor %}",
      "{% set n = namespace(x='a') %}{% for i in range(64) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
      "{% set n = namespace(x=[]) %}{% for i in range(90000) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}",
      "{% set n = namespace() %}{% set n.x = [n] %}{% set n.y = n %}{{ [n.x] == [n.x] }}{{ n.x|tojson }}",
      "{{ 'a' * 10000000000 }}",
      "{{ [1] * 10000000000 }}",
      "{{ 2 ** 100000 }}",
      "{{ 'a'|center(2000000000) }}",
      "{{ ('a' * 1000000).replace('a', 'b' * 1000000) }}",
      "{{ '%1000000d' % 1 }}"};
  for (const std::string& source : sources) {
    const Stopwatch watch;
    const Error error = refusal(source);
    EXPECT_EQ(error.code(), ErrorCode::kUsage) << source << ": " << error.what();
    EXPECT_THAT(error.what(), HasSubstr("template line 1")) << source;
    EXPECT_LT(watch.seconds(), 2.0) << source;
  }
}

TEST(ChatTemplate, HasNoWayToClassesOrFiles) {
  EXPECT_EQ(text_of("{{ ''.__class__ }}{{ messages.__class__ is defined }}"), "False");
  EXPECT_EQ(refusal("{{ ''.__class__.__mro__ }}").code(), ErrorCode::kUsage);
  EXPECT_EQ(refusal("{{ messages.append(1) }}").code(), ErrorCode::kUsage);
  EXPECT_EQ(refusal("{{ open('/etc/passwd') }}").code(), ErrorCode::kUsage);
  for (const char* const tag : {"include 'x'", "import 'x' as y", "from 'x' import y", "extends 'x'"}) {
    EXPECT_EQ(refusal("{% " + std::string(tag) + " %}").code(), ErrorCode::kUnsupported) << tag;
  }
}

TEST(ChatTemplate, NamesTheLineOfWhatWentWrong) {
  EXPECT_THAT(refusal("a\n\n{{ x.y }}").what(), HasSubstr("'x' is undefined (template line 3)"));
  EXPECT_THAT(refusal("{% if true %}\n{{ raise_exception('no roles') }}{% endif %}").what(),
              HasSubstr("no roles (template line 2)"));
  EXPECT_THAT(refusal("\n\n{% if %}").what(), HasSubstr("template line 3"));
  EXPECT_THAT(refusal("{% for x in y %}\n{{ 1 }}").what(), HasSubstr("template line 2"));
}

TEST(ChatTemplate, GivesAnEmptyTextForAnEmptyTemplate) { EXPECT_EQ(text_of(""), ""); }

// ---- hostile messages and options ----

TEST(ChatTemplate, RefusesMessagesOutOfForm) {
  std::string many_parts = "[";
  for (int i = 0; i < 1000; ++i)
    many_parts += std::string(i == 0 ? "" : ",") + R"({"type": "text", "text": "x"})";
  const std::string contents[] = {
      "null", "5", "true", many_parts + "]", R"([{"type": "weapon"}])", R"(["x"])", R"([{"text": "x"}])"};
  for (const std::string& content : contents) {
    const std::string messages = R"([{"role": "user", "content": )" + content + "}]";
    EXPECT_EQ(error_of([&] { render(kChat, messages); }).code(), ErrorCode::kUsage) << content.substr(0, 40);
  }
  const std::string roles[] = {"\"syst\u00e9m\"", "\"" + std::string(10'000'000, 'a') + "\"", "1", "null",
                               "\"\""};
  for (const std::string& role : roles) {
    const std::string messages = R"([{"content": "x", "role": )" + role + "}]";
    EXPECT_EQ(error_of([&] { render(kChat, messages); }).code(), ErrorCode::kUsage) << role.substr(0, 40);
  }
  for (const char* const messages : {"{}", "5", "[5]", R"([{"content": "x"}])"}) {
    EXPECT_EQ(error_of([&] { render(kChat, messages); }).code(), ErrorCode::kUsage) << messages;
  }
}

TEST(ChatTemplate, RefusesOptionsThatNameItsOwnVariables) {
  for (const char* const name :
       {"messages", "tools", "tokenize", "add_generation_prompt", "bos_token", "range"}) {
    RenderOptions options;
    options.extra[name] = 1;
    EXPECT_EQ(error_of([&] { render(kChat, "[]", options); }).code(), ErrorCode::kUsage) << name;
  }
  RenderOptions options;
  options.tools = "not a list";
  EXPECT_EQ(error_of([&] { render(kChat, "[]", options); }).code(), ErrorCode::kUsage);
}

}  // namespace
}  // namespace chaski
