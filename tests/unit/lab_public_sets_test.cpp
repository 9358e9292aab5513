// Public sets of multiple choice and GSM8K: their files, their prompts, their scores. On real files of these
// formats: tests/data/public_sets, which are ours. Against lm-eval: tests/parity/lm_eval_parity.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "lab/choice_suites.h"
#include "lab/gsm8k.h"
#include "support/error_of.h"
#include "support/temporary_folder.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kSets = std::string(CHASKI_TEST_DATA) + "/public_sets";

std::string said(const std::function<void()>& act) { return test::error_of(act).what(); }

AnswerRecord chosen(const std::string& id, const std::vector<double>& loglikelihoods) {
  AnswerRecord answer;
  answer.id = id;
  for (size_t i = 0; i < loglikelihoods.size(); ++i) {
    answer.choices.push_back({std::string(1, static_cast<char>('A' + i)), loglikelihoods[i], false});
  }
  return answer;
}

AnswerRecord written(const std::string& text) {
  AnswerRecord answer;
  answer.id = "0";
  answer.answer = text;
  return answer;
}

TEST(PublicSets, AFolderOfCevalIsAllItsSubjects) {
  const Suite suite = find_suite("ceval:" + kSets + "/ceval", {});
  EXPECT_EQ(suite.name, "ceval");
  EXPECT_EQ(suite.protocol, "ceval");
  ASSERT_EQ(suite.items.size(), 11u);
  EXPECT_EQ(suite.types.at("logic").zh, "逻辑学");
  const SuiteItem& item = suite.items[3];
  EXPECT_EQ(item.id, "high_school_geography/3");
  EXPECT_EQ(item.prompt,
            "图中两条等高线相距很近，\n说明那里的坡____。\nA. 陡\nB. 缓\nC. 平\nD. 无法判断\n答案：");
  ASSERT_TRUE(item.choice);
  EXPECT_THAT(
      item.choice->lead,
      StartsWith("以下是中国关于高中地理的单项选择题，请选出其中的正确答案。\n\n"
                 "地球自转一周大约需要____。\nA. 12小时\nB. 24小时\nC. 36小时\nD. 48小时\n答案： B\n\n"
                 "赤道的纬度是____。\n"));
  EXPECT_EQ(item.choice, suite.items[0].choice) << "the examples are held once for a subject";
}

TEST(PublicSets, OneSubjectIsAskedForByName) {
  const Suite suite = find_suite("mmlu:" + kSets + "/mmlu:philosophy", {});
  EXPECT_EQ(suite.name, "mmlu-philosophy");
  ASSERT_EQ(suite.items.size(), 3u);
  EXPECT_THAT(
      suite.items[0].choice->lead,
      StartsWith("The following are multiple choice questions (with answers) about philosophy.\n\nA valid"));
  EXPECT_THAT(suite.items[1].prompt, StartsWith("From \"if p then q\" and \"p\" follows\nA. not q\n"));
  const Error error = test::error_of([] { find_suite("mmlu:" + kSets + "/mmlu:alchemy", {}); });
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_THAT(error.hint(), HasSubstr("astronomy, philosophy"));
}

TEST(PublicSets, AFolderWithAColonInItsNameIsFound) {
  const tests::TemporaryFolder folder;
  fs::copy(kSets + "/cmmlu", folder / "a:b", fs::copy_options::recursive);
  EXPECT_EQ(find_suite("cmmlu:" + (folder / "a:b").string(), {}).items.size(), 3u);
  EXPECT_EQ(find_suite("cmmlu:" + (folder / "a:b").string() + ":chinese_food_culture", {}).items.size(), 3u);
}

TEST(PublicSets, WhatIsToBeFetchedAndWhereItGoesIsSaid) {
  for (const char* name : {"ceval", "cmmlu", "mmlu"}) {
    const Error error = test::error_of([name] { find_suite(std::string(name) + ":/nonexistent", {}); });
    EXPECT_EQ(error.code(), ErrorCode::kNotFound);
    EXPECT_THAT(error.hint(), HasSubstr("data set"));
    EXPECT_THAT(error.hint(), HasSubstr(std::string(name) + ":DIR"));
  }
  EXPECT_THAT(test::error_of([] { find_suite("ceval:/nonexistent", {}); }).hint(),
              HasSubstr("SUBJECT_val.csv"));
  EXPECT_THAT(test::error_of([] { find_suite("gsm8k:/nonexistent.jsonl", {}); }).hint(),
              HasSubstr("test.jsonl"));
  const tests::TemporaryFolder folder;
  fs::create_directories(folder / "val");
  fs::copy(kSets + "/ceval/val/logic_val.csv", folder / "val");
  EXPECT_THAT(said([&] { find_suite("ceval:" + folder.path().string(), {}); }),
              HasSubstr("dev/logic_dev.csv"));
}

TEST(PublicSets, ABadLineIsNamed) {
  const auto of = [](const ChoiceSet& set, const std::string& text) {
    return said([&] { parse_choice_questions(set, text, "file"); });
  };
  const std::string head = "id,question,A,B,C,D,answer\n";
  EXPECT_THAT(of(ceval_set(), head + "0,q,a,b,c,d,A\n1,q,a,b,c,A\n"),
              HasSubstr("file line 3: expected 7 fields, found 6"));
  EXPECT_THAT(of(ceval_set(), head + "0,\"q\n\nq\",a,b,c,d,A\n1,q,a,b,c,d,E\n"),
              HasSubstr("file line 5: answer: expected A, B, C or D, found \"E\""));
  EXPECT_THAT(of(ceval_set(), head + "0, ,a,b,c,d,A\n"), HasSubstr("file line 2: the question is empty"));
  EXPECT_THAT(of(ceval_set(), "0,q,a,b,c,d,A\n"), HasSubstr("a header with the column \"question\""));
  EXPECT_THAT(of(ceval_set(), head), HasSubstr("has no questions"));
  EXPECT_THAT(of(mmlu_set(), ""), HasSubstr("has no questions"));
  EXPECT_THAT(of(mmlu_set(), "q,a,b,c,d\n"), HasSubstr("expected 6 fields, found 5"));
}

TEST(PublicSets, TooFewWorkedExamplesAreRefused) {
  const tests::TemporaryFolder folder;
  fs::copy(kSets + "/mmlu", folder.path(), fs::copy_options::recursive);
  std::ofstream(folder / "dev/astronomy_dev.csv") << "q,a,b,c,d,A\nq,a,b,c,d,B\n";
  EXPECT_THAT(said([&] { find_suite("mmlu:" + folder.path().string(), {}); }),
              HasSubstr("astronomy_dev.csv: expected 5 worked examples, found 2"));
}

TEST(PublicSets, TheMostProbableLetterIsTheAnswer) {
  const Suite suite = find_suite("mmlu:" + kSets + "/mmlu:astronomy", {});
  const ScoreRecord right =
      mmlu().score(suite.items[0], chosen("astronomy/0", {-3, -1, -2, -4}), nullptr, {});
  EXPECT_EQ(right.is_correct, true);
  EXPECT_FALSE(right.score);
  ASSERT_EQ(right.components.size(), 2u);
  EXPECT_EQ(right.components[0].name, "acc");
  EXPECT_EQ(right.components[0].evidence, "A -3.0000, B -1.0000, C -2.0000, D -4.0000");
  EXPECT_EQ(right.components[1].value, 1.0);
  EXPECT_EQ(mmlu().score(suite.items[0], chosen("astronomy/0", {-1, -1, -2, -4}), nullptr, {}).is_correct,
            false)
      << "of equal ones the first";
  ScoreRecord unweighed = mmlu().score(suite.items[0], written("B"), nullptr, {});
  EXPECT_EQ(unweighed.is_correct, false);
  unweighed.id = "astronomy/1";
  EXPECT_EQ(mmlu().results(std::vector<ScoreRecord>{right, unweighed}).at(0).value, 0.5)
      << "what failed stays among those that are counted";
}

TEST(PublicSets, FiguresAreBySubjectByGroupAndOfAll) {
  std::vector<ScoreRecord> scores;
  const auto add = [&](const std::string& subject, const std::vector<double>& values) {
    for (size_t i = 0; i < values.size(); ++i) {
      ScoreRecord score;
      score.id = subject + "/" + std::to_string(i);
      score.components = {{"acc", 1, values[i], ""}, {"acc_norm", 0, values[i], ""}};
      scores.push_back(score);
    }
  };
  add("astronomy", {1, 0, 1, 1});
  add("anatomy", {0, 1});
  add("philosophy", {0, 0, 1, 0});
  const std::vector<TaskResult> results = mmlu().results(scores);
  const auto result = [&](const std::string& task, const std::string& metric) {
    for (const TaskResult& r : results) {
      if (r.task == task && r.metric == metric) return r;
    }
    ADD_FAILURE() << task << " " << metric;
    return TaskResult();
  };
  EXPECT_DOUBLE_EQ(result("mmlu/astronomy", "acc").value, 0.75);
  EXPECT_NEAR(*result("mmlu/astronomy", "acc").standard_error, 0.25, 1e-12);
  EXPECT_DOUBLE_EQ(result("mmlu", "acc").value, 0.5);
  EXPECT_EQ(result("mmlu", "acc").n, 10);
  // As lm-eval pools them: sqrt(sum (n−1) n se² / (N − k) / N), se² being 1/16, 1/4, 1/16.
  EXPECT_NEAR(*result("mmlu", "acc").standard_error, std::sqrt((0.75 + 0.5 + 0.75) / 7 / 10), 1e-12);
  EXPECT_DOUBLE_EQ(result("mmlu", "acc, mean of subjects").value, 0.5);
  EXPECT_NEAR(*result("mmlu", "acc, mean of subjects").standard_error,
              std::sqrt(1.0 / 16 + 1.0 / 4 + 1.0 / 16) / 3, 1e-12);
  EXPECT_NEAR(result("mmlu/stem", "acc").value, 4.0 / 6, 1e-12);
  EXPECT_EQ(result("mmlu", "acc_norm").n, 10);
}

TEST(PublicSets, Gsm8kIsAskedAfterEightExamplesAndScoredByBothFilters) {
  const Suite suite = find_suite("gsm8k:" + kSets + "/gsm8k.jsonl", {});
  ASSERT_EQ(suite.items.size(), 4u);
  EXPECT_THAT(suite.items[0].prompt, StartsWith("A box has 12 rows"));
  EXPECT_THAT(suite.prompt_template, StartsWith("raw:Q: A shelf holds"));
  EXPECT_THAT(suite.prompt_template, EndsWith(" The answer is 22.\n\nQ: {prompt}\nA:"));
  size_t n_examples = 0;
  for (size_t at = 0; (at = suite.prompt_template.find("The answer is ", at)) != std::string::npos; ++at)
    ++n_examples;
  EXPECT_EQ(n_examples, 8u);
  const ScoreRecord score =
      gsm8k().score(suite.items[1], written("20 + 10 is 30, in metres $30,000. Or 30000"), nullptr, {});
  EXPECT_EQ(score.is_correct, false);
  EXPECT_EQ(score.components[0].evidence, "no number, expected 30,000");
  EXPECT_EQ(score.components[1].value, 1.0);
  EXPECT_EQ(gsm8k().score(suite.items[3], written("It gets cold. The answer is -5."), nullptr, {}).is_correct,
            true);
  const std::vector<TaskResult> results = gsm8k().results(std::vector{score});
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0].metric, "exact_match, strict-match");
  EXPECT_EQ(results[1].value, 1.0);
}

TEST(PublicSets, ExamplesOfOnesOwnTakeThePlaceOfTheBuiltInOnes) {
  const tests::TemporaryFolder folder;
  std::ofstream(folder / "mine.jsonl") << R"({"question": "1+1?", "answer": "It is 2. The answer is 2."})"
                                       << "\n";
  const std::string place = "gsm8k:" + kSets + "/gsm8k.jsonl:" + (folder / "mine.jsonl").string();
  const Suite suite = find_suite(place, {});
  EXPECT_EQ(suite.prompt_template, "raw:Q: 1+1?\nA: It is 2. The answer is 2.\n\nQ: {prompt}\nA:");
  EXPECT_NE(suite.sha256, find_suite("gsm8k:" + kSets + "/gsm8k.jsonl", {}).sha256);
  std::ofstream(folder / "mine.jsonl") << R"({"question": "1+1?", "answer": "2"})"
                                       << "\n";
  EXPECT_THAT(said([&] { find_suite(place, {}); }), HasSubstr("mine.jsonl line 1: answer"));
}

TEST(PublicSets, ABadLineOfGsm8kIsNamed) {
  const std::string good = R"({"question": "q", "answer": "#### 1"})"
                           "\n";
  EXPECT_THAT(said([&] { parse_gsm8k(good + "\n{\"question\": \"q\"}\n", "file"); }),
              HasSubstr("file line 3"));
  EXPECT_THAT(said([&] { parse_gsm8k(good + "[1]\n", "file"); }),
              HasSubstr("file line 2: expected a JSON object"));
  EXPECT_THAT(said([&] { parse_gsm8k(R"({"question": "q", "answer": "5 ####"})", "file"); }),
              HasSubstr("file line 1: nothing stands after ####"));
  EXPECT_THAT(said([&] { parse_gsm8k("\n", "file"); }), HasSubstr("no problems"));
}

}  // namespace
}  // namespace chaski
