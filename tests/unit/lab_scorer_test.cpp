// Scores: the answers that the review printed, each type's rules, penalties, and answers made to break
// things.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <ctime>

#include "base/error.h"
#include "lab/model_facts.h"
#include "lab/scorer.h"

namespace chaski {
namespace {

using testing::HasSubstr;

SuiteItem item_of(const std::string& type, const std::string& prompt, Json extra = Json::object()) {
  SuiteItem item;
  item.id = "q";
  item.type = type;
  item.prompt = prompt;
  item.extra = std::move(extra);
  return item;
}

ScoreRecord score(const SuiteItem& item, const std::string& text, const std::string& finish_reason = "stop",
                  CodeRunner* runner = nullptr, std::string_view model = "Llama-3.2-1B-Instruct") {
  AnswerRecord answer;
  answer.id = item.id;
  answer.type = item.type;
  answer.answer = text;
  answer.finish_reason = finish_reason;
  const CancelToken cancel;
  return score_answer(item, answer, default_rubric(), runner, cancel, model);
}

const ScoreAdjustment* adjustment(const ScoreRecord& record, std::string_view name) {
  for (const ScoreAdjustment& found : record.adjustments) {
    if (found.name == name) return &found;
  }
  return nullptr;
}

SuiteItem review(const std::string& id) {
  static const Suite suite = find_suite("review-zh", {});
  for (const SuiteItem& item : suite.items) {
    if (item.id == id) return item;
  }
  throw std::runtime_error("no such question");
}

SuiteItem sum() { return item_of("arithmetic", "1+2+3+4+5等于多少?", {{"answer", "15"}}); }
SuiteItem capital_en() {
  return item_of("commonsense", "What is the capital of France?",
                 {{"accepts", {"Paris"}}, {"rejects", {"London", "Lyon", "Washington, D.C."}}});
}

/// Answers as it was told.
class ToldRunner : public CodeRunner {
 public:
  CodeResult result;
  std::vector<CodeTask> tasks;
  std::string tier_name = "A";
  CodeResult run(const CodeTask& task, const CancelToken&) override {
    tasks.push_back(task);
    return result;
  }
  std::string tier() const override { return tier_name; }
  std::string why_not() const override { return "no namespaces"; }
};

SuiteItem doubling() {
  return item_of("code", "写一个函数,把数翻倍",
                 {{"entry_point", "double"}, {"tests", {"assert 1", "assert 2"}}});
}

TEST(Scorer, TheReviewsWrongAnswersScoreLowAndItsRightOnesHigh) {
  EXPECT_EQ(score(review("5"), "1110").score, 1);
  EXPECT_EQ(score(review("3"), "杭州").score, 1);
  EXPECT_EQ(score(review("1"),
                  "<!DOCTYPE html><html><head><title>本人简介</title></head><body><h1>本人简介</h1>"
                  "<p>我叫李明,毕业于清华大学。</p></body></html>\n</body></html>")
                .score,
            1);
  EXPECT_EQ(score(review("3"), "> 中国的首都是北京。").score, 4) << "a stray sign before it";
  EXPECT_EQ(score(review("3"), "## 结果:\n北京").score, 4) << "a heading where a word was asked for";
  EXPECT_EQ(score(review("5"), "The sum of 1+2+3+4+5 is 15, because adding the numbers gives 15.").score, 2)
      << "right, in English to a Chinese question";
  EXPECT_EQ(score(review("5"), "1+2+3+4+5=15").score, 5);
  EXPECT_EQ(score(review("3"), "北京").score, 5);
  EXPECT_EQ(
      score(review("1"), "你好!我是由Meta开发的人工智能助手,可以回答问题、写作和翻译。很高兴认识你!").score,
      5);
}

TEST(Scorer, EveryComponentCarriesItsWeightAndTheySumToTheRawScore) {
  const ScoreRecord record = score(sum(), "答案是15。");
  ASSERT_EQ(record.components.size(), 3u);
  double raw = 1;
  for (const ScoreComponent& part : record.components) raw += 4 * part.weight * part.value;
  EXPECT_DOUBLE_EQ(raw, record.raw);
  EXPECT_EQ(record.scorer, "rubric");
  EXPECT_THAT(record.components[0].evidence, HasSubstr("答案是15"));
}

TEST(Scorer, HalvesAreRoundedUpAndOneDecimalIsKept) {
  const auto item =
      item_of("concept", "请解释光合作用", {{"keywords", {{"光"}, {"二氧化碳"}, {"氧气"}, {"水"}}}});
  const ScoreRecord record = score(item, "植物用光、水和二氧化碳合成养分,放出氧气");
  EXPECT_DOUBLE_EQ(record.raw * 10, std::floor(record.raw * 10));
  EXPECT_EQ(record.score, static_cast<int>(std::floor(record.raw + 0.5)));
}

TEST(Scorer, ArithmeticTakesTheFinalNumberHoweverItIsWritten) {
  for (const char* right : {"15", "答案是十五。", "１５", "$\\boxed{15}$", "结果是 15.0", "**15**",
                            "所以等于15。", "1+2=3, 3+3=6, 6+4=10, 10+5=15", "答案:\n\n15"}) {
    EXPECT_EQ(score(sum(), right).score, 5) << right;
  }
  for (const char* wrong : {"14", "1+2+3+4+5=16", "答案不是15,是16", "150", "1.5"}) {
    EXPECT_LE(score(sum(), wrong).score, 2) << wrong;
    EXPECT_EQ(score(sum(), wrong).is_correct, false) << wrong;
  }
  EXPECT_NE(adjustment(score(sum(), "我不会算"), "no_number"), nullptr);
}

TEST(Scorer, AFalseStepCostsTheRightAnswerSomething) {
  const ScoreRecord record = score(sum(), "1+2=4, 4+3=6, 6+4=10, 10+5=15。答案是15。");
  EXPECT_EQ(record.is_correct, true);
  EXPECT_LT(record.raw, 5);
  EXPECT_EQ(record.components[1].evidence, "1+2=4");
}

TEST(Scorer, UnitsOfTheReferenceAreUnderstood) {
  const auto item = item_of("arithmetic", "多远?", {{"answer", "1.5"}, {"unit", "km"}});
  for (const char* right : {"1.5千米", "1500米", "1.5", "一点五公里"})
    EXPECT_EQ(score(item, right).score, 5) << right;
  for (const char* wrong : {"1.5米", "1500", "1.5小时"}) EXPECT_LE(score(item, wrong).score, 2) << wrong;
  const auto grams =
      item_of("arithmetic", "How many grams are 2.75 kilograms?", {{"answer", "2750"}, {"unit", "grams"}});
  for (const char* right : {"There are 2750 grams in 2.75 kilograms.", "2750 g = 2.75 kg", "2750000 mg"})
    EXPECT_EQ(score(grams, right).score, 5) << right;
  for (const char* wrong : {"There are 2.75 kilograms.", "2.75 kg", "275 grams are 2.75 kilograms"})
    EXPECT_LE(score(grams, wrong).score, 2) << wrong;
  const auto percent = item_of("arithmetic", "百分之几?", {{"answer", "25"}, {"unit", "%"}});
  for (const char* right : {"25%", "百分之二十五", "25", "0.25", "1/4"})
    EXPECT_EQ(score(percent, right).score, 5) << right;
}

TEST(Scorer, WhatIsDeniedNeitherContradictsNorCounts) {
  EXPECT_EQ(score(capital_en(), "It is not London, it is Paris.").score, 5);
  EXPECT_EQ(score(capital_en(), "The capital is Paris rather than Lyon.").score, 5);
  EXPECT_EQ(score(review("3"), "中国的首都不是杭州,而是北京。").score, 5);
  EXPECT_EQ(score(review("3"), "杭州不是首都,首都是北京。").score, 5);
  EXPECT_EQ(score(review("3"), "首都不是北京。").score, 1);
  EXPECT_EQ(score(capital_en(), "The capital of France is not Paris.").score, 1);
}

TEST(Scorer, AMentionInPassingIsNoContradictionButAClaimIs) {
  EXPECT_EQ(score(review("3"), "北京是首都,上海是最大的城市。").score, 5);
  EXPECT_EQ(score(review("3"), "中国最大的城市是上海,首都是北京。").score, 5);
  EXPECT_EQ(score(capital_en(), "Paris is the capital; the largest city of Britain is London.").score, 5);
  for (const char* torn :
       {"首都是北京或上海。", "北京。不,正确答案是杭州。", "中国的首都是北京。中国的首都是上海。"}) {
    const ScoreRecord record = score(review("3"), torn);
    EXPECT_EQ(record.score, 2) << torn;
    EXPECT_NE(adjustment(record, "contradiction"), nullptr) << torn;
    EXPECT_EQ(record.is_correct, false) << torn;
  }
}

TEST(Scorer, AnswersAreMatchedAcrossScriptsWidthsAndPunctuation) {
  EXPECT_EQ(score(review("3"), "中國的首都是「北京」。").score, 5);
  EXPECT_EQ(score(capital_en(), "ＰＡＲＩＳ").score, 5);
  EXPECT_EQ(score(capital_en(), "The answer: **Paris**!").score, 5);
  EXPECT_EQ(score(capital_en(), "Comparison is hard.").score, 1) << "part of a word is no match";
  EXPECT_NE(adjustment(score(capital_en(), "It is Washington DC."), "contradiction"), nullptr);
}

TEST(Scorer, ARefusalScoresOne) {
  EXPECT_NE(adjustment(score(review("3"), "抱歉,我不知道。"), "refusal"), nullptr);
  EXPECT_EQ(score(capital_en(), "I don't know.").score, 1);
}

TEST(Scorer, ConceptsWantKeywordsAndRelations) {
  const std::string good =
      "机器学习是人工智能的一个分支,让计算机从数据中学习规律,"
      "再用模型做预测。常见的有监督学习、无监督学习和强化学习。"
      "监督学习使用带标签的样本来训练;强化学习通过奖励来改进策略。";
  EXPECT_EQ(score(review("4"), good).score, 5);
  EXPECT_LE(score(review("4"), "机器学习就是让机器学习。").score, 2);
  EXPECT_EQ(score(review("4"), "今天天气很好,我们去公园玩。公园里有很多花,孩子们跑来跑去。").score, 1);
  EXPECT_LT(score(review("4"), good + "机器学习不需要数据。").raw, score(review("4"), good).raw);
}

TEST(Scorer, AnIntroductionMayNotClaimToBeAnotherMakersProductOrAPerson) {
  EXPECT_NE(adjustment(score(review("1"), "我是ChatGPT,由OpenAI开发的语言模型,可以回答问题和写代码。"),
                       "false_identity"),
            nullptr);
  EXPECT_NE(adjustment(score(review("1"), "我叫小明,是一名学生。"), "false_identity"), nullptr);
  const std::string unicom = "我是由中国联通开发的人工智能助手,可以帮助您回答问题、提供信息。";
  EXPECT_EQ(score(review("1"), unicom, "stop", nullptr, "Unichat-llama3.2-Chinese-3B").score, 5);
  EXPECT_EQ(score(review("1"), unicom, "stop", nullptr, "Llama-3.2-1B-Instruct").score, 2);
  EXPECT_EQ(score(review("1"), unicom, "stop", nullptr, "default").score, 5) << "nobody can tell";
  EXPECT_EQ(adjustment(score(review("1"), "我不是ChatGPT,我是一个人工智能助手,能回答问题和翻译。"),
                       "false_identity"),
            nullptr);
  auto named = review("1");
  named.extra["true_identity"] = {"Chaski"};
  EXPECT_EQ(score(named, "我是人工智能助手Chaski,可以回答问题和翻译文章。").score, 5);
  EXPECT_LE(score(named, "我是Meta开发的人工智能助手Llama,可以回答问题和翻译。").score, 2);
}

TEST(Scorer, WhoseModelItIsFollowsFromItsFileAndNotFromWhereItLies) {
  ModelFacts model;
  model.id = "default";
  model.path = "/mnt/google/models/Llama-3.2-1B-Instruct-Q4_0.gguf";
  EXPECT_EQ(own_name(model), "Llama-3.2-1B-Instruct-Q4_0.gguf");
  const std::string meta = "我是由Meta开发的人工智能助手,可以帮助您回答问题、提供信息。";
  const std::string google = "我是由谷歌开发的人工智能助手,可以帮助您回答问题、提供信息。";
  EXPECT_EQ(score(review("1"), meta, "stop", nullptr, own_name(model)).score, 5);
  EXPECT_LE(score(review("1"), google, "stop", nullptr, own_name(model)).score, 2);
  model.path = "/models/Qwen/Llama-3.2-1B/";
  EXPECT_EQ(own_name(model), "Llama-3.2-1B");
  model = {};
  model.id = "meta-llama/Llama-3.2-1B";
  EXPECT_EQ(own_name(model), "Llama-3.2-1B");
}

TEST(Scorer, TheWrongLanguageIsAPenaltyAndAWhollyOtherOneACap) {
  const ScoreRecord other =
      score(review("1"), "Hello! I am an AI assistant made by Meta. I can answer questions.");
  EXPECT_EQ(other.score, 1);
  EXPECT_NE(adjustment(other, "other_language"), nullptr);
  const ScoreRecord mixed =
      score(review("3"), "北京是中国的首都. It is a very large city in the north of the country.");
  EXPECT_NE(adjustment(mixed, "other_language") != nullptr || adjustment(mixed, "wrong_language") != nullptr,
            false);
  EXPECT_NE(adjustment(score(capital_en(), "法国的首都是巴黎(Paris),这是一座美丽的城市。"), "other_language"),
            nullptr);
  auto translation =
      item_of("commonsense", "把 good morning 翻译成英文以外的语言", {{"accepts", {"bonjour"}}});
  translation.extra["language"] = "en";
  EXPECT_EQ(adjustment(score(translation, "In French one would say bonjour to somebody."), "other_language"),
            nullptr);
}

TEST(Scorer, TokensOfTemplatesRolesAndTagsAreNoise) {
  for (const char* noisy : {"北京<|eot_id|>", "北京[/INST]", "assistant\n北京", "用户:问题\n北京",
                            "<p>北京</p>", "{{ 北京 }}", "北京\x01", "北京\xFF"}) {
    EXPECT_NE(adjustment(score(review("3"), noisy), "markup_noise") == nullptr &&
                  adjustment(score(review("3"), noisy), "markup_page") == nullptr,
              true)
        << noisy;
  }
  for (const char* clean : {"$\\boxed{\\frac{7}{8}}$", "\\frac{1}{{2}}", "{\"a\": {\"b\": 1}}", "`{{name}}`",
                            "f\"{{x}}\"", "北京 a <b and c> d", "names[Your Name]", "XXXVI"}) {
    EXPECT_EQ(adjustment(score(review("3"), clean), "markup_noise"), nullptr) << clean;
  }
  for (const char* noisy : {"我是{{name}}", "Dear [Your Full Name],", "<b class=\"x\">北京</b>"}) {
    EXPECT_NE(score(review("3"), noisy).adjustments.size(), 0u) << noisy;
  }
  const auto html = item_of("commonsense", "HTML里的段落标签是什么?", {{"accepts", {"p"}}});
  EXPECT_EQ(adjustment(score(html, "段落标签是 <p>,成对使用:<p>…</p>。"), "markup_noise"), nullptr)
      << "asked for";
}

TEST(Scorer, RepetitionAndTruncationAreTakenOff) {
  std::string loop = "首都是北京。";
  for (int i = 0; i < 40; ++i) loop += "北京是一个好地方。";
  EXPECT_NE(adjustment(score(review("3"), loop), "heavy_repetition"), nullptr);
  EXPECT_LT(*score(review("3"), loop).score, 5);
  EXPECT_NE(adjustment(score(review("3"), "首都是北京,好的好的好的好的好的好的好的"), "repetition"), nullptr);
  EXPECT_NE(adjustment(score(review("3"), "中国的首都是北京,它位于", "length"), "truncated"), nullptr);
  EXPECT_EQ(adjustment(score(review("3"), "中国的首都是北京。", "length"), "truncated"), nullptr)
      << "it was finished";
}

TEST(Scorer, AnEmptyAnswerScoresOne) {
  for (const char* empty : {"", "  \n\t", "<|eot_id|>", "\x01\x02", "***", "<html><body></body></html>"}) {
    for (const char* id : {"1", "2", "3", "4", "5"}) {
      const ScoreRecord record = score(review(id), empty);
      EXPECT_EQ(record.score, 1) << id << ": " << empty;
      EXPECT_EQ(record.raw, 1);
    }
  }
}

TEST(Scorer, CodeIsScoredByItsTestsAndWithoutASandboxNotAtAll) {
  const std::string answer =
      "下面是函数:\n```python\ndef double(x):\n    return 2 * "
      "x\n```\n用法:\n```python\nprint(double(2))\n```\n";
  const ScoreRecord without = score(doubling(), answer);
  EXPECT_EQ(without.status, "not_run");
  EXPECT_FALSE(without.score);
  ToldRunner runner;
  runner.tier_name = "none";
  EXPECT_EQ(score(doubling(), answer, "stop", &runner).note, "no namespaces");

  runner.tier_name = "A";
  runner.result.verdict = CodeVerdict::kPassed;
  runner.result.tests = {CodeVerdict::kPassed, CodeVerdict::kPassed};
  runner.result.defines_entry_point = true;
  EXPECT_EQ(score(doubling(), answer, "stop", &runner).score, 5);
  EXPECT_EQ(runner.tasks.back().program, "def double(x):\n    return 2 * x\n") << "the fence that defines it";
  EXPECT_EQ(runner.tasks.back().tests.size(), 2u);

  runner.result.verdict = CodeVerdict::kFailed;
  runner.result.tests = {CodeVerdict::kFailed, CodeVerdict::kFailed};
  EXPECT_EQ(score(doubling(), answer, "stop", &runner).score, 2);
  runner.result.verdict = CodeVerdict::kSyntaxError;
  EXPECT_EQ(score(doubling(), answer, "stop", &runner).score, 1);
  EXPECT_EQ(score(doubling(), "我不会写代码。", "stop", &runner).score, 1);
}

TEST(Scorer, CodeIsFoundWithoutAFenceInAnOpenFenceAndBehindPrompts) {
  ToldRunner runner;
  runner.result.verdict = CodeVerdict::kPassed;
  runner.result.tests = {CodeVerdict::kPassed, CodeVerdict::kPassed};
  const std::string program = "def double(x):\n    return 2 * x\n";
  for (const std::string& answer :
       {"这是函数:\n" + program + "\n希望有帮助。", "```python\n" + program, "```\n" + program + "```",
        std::string("```python\n>>> def double(x):\n...     return 2 * x\n>>> double(2)\n4\n```")}) {
    score(doubling(), answer, "stop", &runner);
    ASSERT_FALSE(runner.tasks.empty());
    EXPECT_THAT(runner.tasks.back().program, HasSubstr(program)) << answer;
    runner.tasks.clear();
  }
}

TEST(Scorer, ADocstringThatShowsASessionIsPartOfTheProgram) {
  ToldRunner runner;
  const std::string program =
      "def double(x):\n    \"\"\"Doubles.\n\n    >>> double(2)\n    4\n    \"\"\"\n    return 2 * x\n";
  score(doubling(), "```python\n" + program + "```", "stop", &runner);
  ASSERT_FALSE(runner.tasks.empty());
  EXPECT_EQ(runner.tasks.back().program, program);
}

TEST(Scorer, WithoutAFenceTheProgramIsRunAsItWasWritten) {
  ToldRunner runner;
  const std::string program =
      "def double(x):\n    sizes = {'a': {'b': 1}}\n    return f\"{{x}}\" if x <b and x> 1 else x\n";
  score(doubling(), program, "stop", &runner);
  ASSERT_FALSE(runner.tasks.empty());
  EXPECT_EQ(runner.tasks.front().program, program);
  runner.tasks.clear();
  runner.result.verdict = CodeVerdict::kSyntaxError;
  score(doubling(), "def double(x):\n    return 2 * x<|eot_id|>\n", "stop", &runner);
  ASSERT_EQ(runner.tasks.size(), 2u) << "as it is, then without the token of a template";
  EXPECT_EQ(runner.tasks.back().program, "def double(x):\n    return 2 * x \n");
}

TEST(Scorer, ATypeWithoutRulesOrAnItemWithoutReferencesIsSaidNotScored) {
  EXPECT_EQ(score(item_of("poetry", "写首诗"), "好诗").status, "no_rule");
  for (const char* type : {"arithmetic", "code", "commonsense", "concept"}) {
    const ScoreRecord record = score(item_of(type, "问题"), "回答");
    EXPECT_EQ(record.status, "no_rule") << type;
    EXPECT_FALSE(record.score) << type;
    EXPECT_THAT(record.note, HasSubstr("lacks")) << type;
  }
  const ScoreRecord wrong_kind = score(item_of("commonsense", "问题", {{"accepts", "北京"}}), "北京");
  EXPECT_THAT(wrong_kind.note, HasSubstr("accepts"));
  EXPECT_EQ(score(item_of("arithmetic", "问题", {{"answer", "两个或三个"}}), "2").status, "no_rule");
}

TEST(Scorer, HostileAnswersAreBounded) {
  std::string nested, fractions, tags, loop;
  for (int i = 0; i < 8'000; ++i) {
    nested += '(';
    fractions += "\\frac{";
    tags += "<div><|";
    loop += "答案1+";
  }
  const std::string huge(100'000'000, 'a');
  const std::clock_t start = std::clock();
  for (const char* id : {"1", "3", "4", "5"}) {
    for (const std::string& text :
         {nested, fractions, tags, loop, huge, std::string(50'000, '\0'), std::string(50'000, '\xE4'),
          std::string(50'000, '\n'), std::string(50'000, '>')}) {
      const ScoreRecord record = score(review(id), text);
      EXPECT_EQ(record.status, "scored");
      EXPECT_LE(*record.score, 2);
      for (const ScoreComponent& part : record.components) EXPECT_LE(part.evidence.size(), 120u);
    }
  }
  const double cpu_s = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  EXPECT_LT(cpu_s, 30) << "under sanitizers";
}

}  // namespace
}  // namespace chaski
