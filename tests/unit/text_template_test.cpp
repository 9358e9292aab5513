// Chat templates: what a template prints, which bytes of the prompt are the caller's, and what hostile
// templates and messages meet. Equality with Jinja2 on real templates is tests/parity/template_parity.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "support/error_of.h"
#include "text/chat_template.h"
#include "text/jinja_text.h"

namespace chaski {
namespace {

using test::error_of;

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

TEST(ChatTemplate, DefinesTheSpecialTokensThatHaveATextAsTransformersDoes) {
  const std::string source = "{{ pad_token }}|{{ unk_token is defined }}|{{ sep_token is defined }}";
  const ChatTemplate chat(source, "<s>", "</s>", {{"pad_token", "<pad>"}, {"unk_token", ""}});
  const RenderedPrompt prompt = chat.render(json("[]"));
  EXPECT_EQ(prompt.text, "<pad>|False|False");
  EXPECT_TRUE(prompt.user_spans.empty());
  RenderOptions options;
  options.extra = json(R"({"pad_token": "mine"})");
  EXPECT_EQ(chat.render(json("[]"), options).text, "mine|False|False");
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

TEST(ChatTemplate, H61_RefusesMacrosThatCallEachOtherWithoutEnd) {
  EXPECT_THAT(refusal("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}").what(), HasSubstr("depth"));
  const Error error =
      refusal("{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}");
  EXPECT_EQ(error.code(), ErrorCode::kUsage);
  EXPECT_THAT(error.what(), HasSubstr("depth"));
}

TEST(ChatTemplate, H62_RefusesDeepNestingWhenItIsLoaded) {
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

TEST(ChatTemplate, H63_StopsEndlessWorkByTheStepLimitWithinTwoSeconds) {
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

// What rendering in a process of its own costs; "" stands for a refusal.
struct Cost {
  std::string text;
  double cpu_seconds = 0;
  double mebibytes = 0;  ///< by which the resident set grew at most
};

long resident_kib() {
  long n_pages = 0;
  std::ifstream("/proc/self/statm") >> n_pages >> n_pages;
  return n_pages * (sysconf(_SC_PAGESIZE) / 1024);
}

Cost cost_of(const std::string& source, const OrderedJson& messages) {
  const long before_kib = resident_kib();
  std::array<int, 2> ends{};
  EXPECT_EQ(pipe(ends.data()), 0);
  const pid_t child = fork();
  if (child == 0) {
    std::string text = "no error of use";
    try {
      text = ChatTemplate(source, "<s>", "</s>").render(messages).text;
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kUsage) text.clear();
    }
    const std::string shown = text.substr(0, 100);
    _exit(write(ends[1], shown.data(), shown.size()) == static_cast<ssize_t>(shown.size()) ? 0 : 1);
  }
  close(ends[1]);
  std::array<char, 128> buffer{};
  const ssize_t n = read(ends[0], buffer.data(), buffer.size());
  close(ends[0]);
  int status = 0;
  rusage usage{};
  EXPECT_EQ(wait4(child, &status, 0, &usage), child);
  EXPECT_EQ(status, 0) << source;
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return {std::string(buffer.data(), static_cast<size_t>(std::max<ssize_t>(n, 0))),
          seconds(usage.ru_utime) + seconds(usage.ru_stime),
          static_cast<double>(usage.ru_maxrss - before_kib) / 1024};
}

void expect_cheap(const std::string& source, const std::string& text) {
  const OrderedJson messages = json(R"([{"role": "user", "content": "x"}])");
  const Cost cost = cost_of(source, messages);
  EXPECT_EQ(cost.text, text) << source;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(cost.cpu_seconds, 2.0) << source;
  EXPECT_LT(cost.mebibytes, 64.0) << source;
#endif
}

TEST(ChatTemplate, SearchesInLinearTimeWhateverTheTexts) {
  const std::string late = "{% set a = 'a' * 4000000 %}{% set b = 'a' * 2000000 ~ 'b' %}";
  const std::string early = "{% set a = 'a' * 4000000 %}{% set b = 'b' ~ 'a' * 2000000 %}";
  expect_cheap(late + "{{ b in a }}{{ 'aa' in a }}", "FalseTrue");
  for (const std::string& texts : {late, early}) {
    expect_cheap(texts + "{{ a.find(b) }}", "-1");
    expect_cheap(texts + "{{ a.rfind(b) }}", "-1");
    expect_cheap(texts + "{{ a.count(b) }}", "0");
    expect_cheap(texts + "{{ a.replace(b, 'x')|length }}", "4000000");
    expect_cheap(texts + "{{ a.split(b)|length }}", "1");
    expect_cheap(texts + "{{ a.rsplit(b)|length }}", "1");
    expect_cheap(texts + "{{ a.partition(b)|length }}", "3");
    expect_cheap(texts + "{{ a.rpartition(b)|length }}", "3");
  }
  expect_cheap("{% set a = ('a' * 2000 ~ 'c') * 2000 %}{{ a.count('a' * 2000 ~ 'b') }}", "0");
  expect_cheap("{% set a = ('ab' * 2000 ~ 'c') * 1000 %}{{ a.count('ab' * 1000) }}", "2000");
}

TEST(ChatTemplate, FindsWhatPythonFindsInTextsOfFewLetters) {
  std::mt19937 random(1);
  const auto text_of_length = [&](size_t n) {
    std::string text;
    while (text.size() < n) text.push_back(random() % 3 == 0 ? 'b' : 'a');
    return text;
  };
  for (int i = 0; i < 20000; ++i) {
    const std::string text = text_of_length(random() % 40);
    std::string part = text_of_length(random() % 7);
    if (i % 2 == 0) part += part;
    const size_t from = random() % (text.size() + 1);
    ASSERT_EQ(jinja::find_first(text, part, from), text.find(part, from)) << text << " " << part;
    ASSERT_EQ(jinja::find_last(text, part), text.rfind(part)) << text << " " << part;
  }
}

TEST(ChatTemplate, RefusesTextsThatGrowInJsonBeforeTheyAreMade) {
  expect_cheap("{{ range(1000)|list|tojson(separators=('a' * 1000000, ':'))|length }}", "");
  expect_cheap("{{ {'a': 1, 'b': 2, 'c': 3}|tojson(separators=('a', 'b' * 15000000))|length }}", "");
  expect_cheap("{{ ('\\x01' * 12000000)|tojson|length }}", "");
  expect_cheap("{{ ['\\x01' * 12000000]|string|length }}", "");
}

TEST(ChatTemplate, CountsMarksBeforeTheyAreMade) {
  const std::string mark = "{% set c = messages[0].content %}{% set n = namespace(x=c ~ '-') %}";
  expect_cheap(mark + "{{ (n.x * 8000000)|length }}", "");
  expect_cheap(mark + "{{ ('x' * 1900000).replace('', c)|length }}", "");
  expect_cheap(mark + "{{ ([c] * 400000)|join('-')|length }}", "");
  expect_cheap(mark + "{{ '-'.join([c] * 400000)|length }}", "");
  expect_cheap(mark + "{% for i in range(30) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x|length }}", "");
  expect_cheap(mark + "{{ (n.x * 1000)|length }}", "2000");
}

TEST(ChatTemplate, BoundsTheMemoryOfAllValuesOfARender) {
  const std::string set = "{% set n = namespace(x=[], s='a' * 1000000) %}{% for i in range(100000) %}";
  for (const char* const body :
       {"{% set n.x = n.x + [n.s|upper] %}", "{% set n.s = 'a' * 1000000 ~ i %}", "{% set n.x = [n.x, i] %}",
        "{% set y = range(1000) %}", "{% set y = {'a': 1, 'b': 2, 'c': 3} %}", "{% set n.x = n.x + [i, i] %}",
        "{{ nothing is defined }}{{ n.nothing is defined }}", "{% set y = n.s[1] ~ n.s[2] %}",
        "{% for j in 'abcdefghijklmnop' %}{% endfor %}", "{% set y = n.s[1:] %}"}) {
    expect_cheap(set + body + "{% endfor %}{{ n.x|length }}", "");
  }
  expect_cheap("{{ (range(100000)|list * 4)|sort|length }}", "");
  expect_cheap("{{ ('é' * 4000000)|list|length }}", "");
  expect_cheap("{% set a = 'é' * 2000000 %}{{ a[0] }}{{ a[-1] }}{{ a[1999999:] }}{{ a[:1] }}", "éééé");
}

TEST(ChatTemplate, RendersMessagesOfManyMebibytes) {
  OrderedJson messages = json(R"([{"role": "user", "content": ""}])");
  messages[0]["content"] = std::string(8u << 20, 'x');
  const std::string around = "<s><|h|>user<|/h|><|eot|><|h|>assistant<|/h|>";
  EXPECT_EQ(ChatTemplate(kChat, "<s>", "</s>").render(messages).text.size(), (8u << 20) + around.size());
  messages[0]["content"] = std::string((16u << 20) - 16, 'x');
  const ChatTemplate plain("{{ messages[0].content }}", "", "");
  EXPECT_EQ(plain.render(messages).text.size(), (16u << 20) - 16);
}

TEST(ChatTemplate, H64_HasNoWayToClassesOrFiles) {
  EXPECT_EQ(text_of("{{ ''.__class__ }}{{ messages.__class__ is defined }}"), "False");
  EXPECT_EQ(refusal("{{ ''.__class__.__mro__ }}").code(), ErrorCode::kUsage);
  EXPECT_EQ(refusal("{{ messages.append(1) }}").code(), ErrorCode::kUsage);
  EXPECT_EQ(refusal("{{ open('/etc/passwd') }}").code(), ErrorCode::kUsage);
  for (const char* const tag : {"include 'x'", "import 'x' as y", "from 'x' import y", "extends 'x'"}) {
    EXPECT_EQ(refusal("{% " + std::string(tag) + " %}").code(), ErrorCode::kUnsupported) << tag;
  }
}

TEST(ChatTemplate, H65_NamesTheLineOfWhatWentWrong) {
  EXPECT_THAT(refusal("a\n\n{{ x.y }}").what(), HasSubstr("'x' is undefined (template line 3)"));
  EXPECT_THAT(refusal("{% if true %}\n{{ raise_exception('no roles') }}{% endif %}").what(),
              HasSubstr("no roles (template line 2)"));
  EXPECT_THAT(refusal("\n\n{% if %}").what(), HasSubstr("template line 3"));
  EXPECT_THAT(refusal("{% for x in y %}\n{{ 1 }}").what(), HasSubstr("template line 2"));
}

TEST(ChatTemplate, GivesAnEmptyTextForAnEmptyTemplate) { EXPECT_EQ(text_of(""), ""); }

// ---- hostile messages and options ----

TEST(ChatTemplate, H67_RefusesMessagesOutOfForm) {
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

TEST(ChatTemplate, H66_RefusesOptionsThatNameItsOwnVariables) {
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
