// HumanEval's file, its task and its figures. All its problems in the sandbox:
// tests/parity/human_eval_parity.py.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "lab/human_eval.h"
#include "support/error_of.h"
#include "support/temporary_folder.h"

namespace chaski {
namespace {

using ::testing::HasSubstr;
using tests::TemporaryFolder;

constexpr const char* kProblem =
    R"({"task_id": "HumanEval/0", "prompt": "def twice(x):\n    \"\"\"x two times\"\"\"\n", )"
    R"("entry_point": "twice", "canonical_solution": "    return 2 * x\n", )"
    R"("test": "\n\ndef check(candidate):\n    assert candidate(2) == 4\n"})";

// The same line, as gzip packs it.
std::string packed_file() {
  return std::string(CHASKI_TEST_DATA) + "/../fuzz/corpus/human_eval/one.jsonl.gz";
}

AnswerRecord answer_of(const std::string& id, const std::string& text) {
  AnswerRecord answer;
  answer.id = id;
  answer.answer = text;
  return answer;
}

TEST(HumanEval, AProblemIsAskedAsItsProtocolSays) {
  const Suite suite = parse_human_eval(std::string(kProblem) + "\n\n", "file");
  ASSERT_EQ(suite.items.size(), 1u);
  EXPECT_EQ(suite.items[0].id, "HumanEval/0");
  EXPECT_EQ(suite.items[0].prompt, "def twice(x):\n    \"\"\"x two times\"\"\"\n");
  EXPECT_EQ(suite.prompt_template, "raw:{prompt}");
  EXPECT_EQ(suite.settings.temperature, 0.0);
  EXPECT_THAT(suite.settings.stop, ::testing::ElementsAre("\nclass", "\ndef", "\n#", "\nif", "\nprint"));
}

TEST(HumanEval, TheTaskIsThePromptCompletedAndTheProblemsCheck) {
  const Suite suite = parse_human_eval(kProblem, "file");
  const CodeTask task = human_eval_task(suite.items[0], "    return x + x");
  EXPECT_THAT(task.program, HasSubstr("two times\"\"\"\n    return x + x\n"));
  EXPECT_EQ(task.entry_point, "twice");
  ASSERT_EQ(task.tests.size(), 1u);
  EXPECT_THAT(task.tests[0], HasSubstr("assert candidate(2) == 4\n\ncheck(twice)\n"));
}

TEST(HumanEval, ThePackedFileIsFoundByItsNameAsASuite) {
  const Suite suite = find_suite("humaneval:" + packed_file(), {});
  EXPECT_EQ(suite.items.size(), 1u);
  EXPECT_EQ(suite.source, "humaneval:" + packed_file());
  ASSERT_NE(public_suite_of(suite), nullptr);
  EXPECT_EQ(public_suite_of(suite)->name(), "humaneval");
  const Error error = test::error_of([] { find_suite("humaneval:/nonexistent.jsonl", {}); });
  EXPECT_EQ(error.code(), ErrorCode::kNotFound);
  EXPECT_THAT(error.hint(), HasSubstr("human-eval"));
}

TEST(HumanEval, ABadLineIsNamed) {
  const std::string good = std::string(kProblem) + "\n";
  const auto said = [&](const std::string& text) {
    return std::string(test::error_of([&] { parse_human_eval(text, "file"); }).what());
  };
  EXPECT_THAT(said(good + "{\n"), HasSubstr("file line 2"));
  EXPECT_THAT(said(good + good), HasSubstr("file line 2: task_id \"HumanEval/0\" was used before"));
  EXPECT_THAT(said(R"({"task_id": "a"})"), HasSubstr("prompt"));
  EXPECT_THAT(said(R"({"task_id": "a", "prompt": "p", "test": "t", "entry_point": "f();g"})"),
              HasSubstr("entry_point"));
  EXPECT_THAT(said("\n"), HasSubstr("no problems"));
}

TEST(HumanEval, APackedFileThatIsCutOrTooLargeIsRefused) {
  std::ifstream file(packed_file(), std::ios::binary);
  const std::string packed{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(gunzip(packed, "file", 1000), HasSubstr("candidate"));
  EXPECT_EQ(gunzip(packed + packed, "file", 1000).size(), 2 * gunzip(packed, "file", 1000).size());
  for (const std::string& bad :
       {packed.substr(0, packed.size() - 9), packed + "more", std::string("\x1f\x8b")}) {
    EXPECT_EQ(test::error_of([&] { gunzip(bad, "file", 1000); }).code(), ErrorCode::kCorrupt);
  }
  EXPECT_THAT(test::error_of([&] { gunzip(packed, "file", 10); }).what(), HasSubstr("more than 10 bytes"));
}

TEST(HumanEval, AnAnswerIsRightWhereItsCheckPasses) {
  const Suite suite = parse_human_eval(kProblem, "file");
  const std::unique_ptr<CodeRunner> runner = make_code_runner();
  if (runner->tier() == "none") GTEST_SKIP() << runner->why_not();
  const CancelToken never;
  const ScoreRecord right =
      human_eval().score(suite.items[0], answer_of("HumanEval/0", "    return x + x"), runner.get(), never);
  EXPECT_EQ(right.is_correct, true);
  EXPECT_FALSE(right.score.has_value());
  const ScoreRecord wrong =
      human_eval().score(suite.items[0], answer_of("HumanEval/0", "    return x"), runner.get(), never);
  EXPECT_EQ(wrong.is_correct, false);
  EXPECT_THAT(wrong.components.at(0).evidence, HasSubstr("assert candidate(2) == 4"));
  const ScoreRecord unjudged =
      human_eval().score(suite.items[0], answer_of("HumanEval/0", ""), nullptr, never);
  EXPECT_EQ(unjudged.status, "not_run");
  EXPECT_FALSE(unjudged.is_correct.has_value());
}

TEST(HumanEval, PassAtKIsTheShareOfDrawsWithAtLeastOnePass) {
  EXPECT_DOUBLE_EQ(pass_at_k(1, 1, 1), 1);
  EXPECT_DOUBLE_EQ(pass_at_k(4, 1, 1), 0.25);
  EXPECT_NEAR(pass_at_k(5, 2, 2), 1 - 3.0 / 10, 1e-12);  // of 10 pairs 3 have none of the two
  EXPECT_DOUBLE_EQ(pass_at_k(10, 0, 10), 0);
  EXPECT_DOUBLE_EQ(pass_at_k(10, 1, 10), 1);
}

TEST(HumanEval, FiguresAreMeansOverProblemsAsFarAsThereAreSamples) {
  std::vector<ScoreRecord> scores;
  for (int problem = 0; problem < 2; ++problem) {
    for (int sample = 0; sample < 10; ++sample) {
      ScoreRecord score;
      score.id = std::to_string(problem);
      score.sample = sample;
      score.is_correct = problem == 0 && sample < 5;
      scores.push_back(score);
    }
  }
  const std::vector<TaskResult> results = human_eval().results(scores);
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0].metric, "pass@1");
  EXPECT_DOUBLE_EQ(results[0].value, 0.25);
  EXPECT_DOUBLE_EQ(results[0].standard_error.value(), 0.25);
  EXPECT_EQ(results[0].n, 2);
  EXPECT_EQ(results[1].metric, "pass@10");
  EXPECT_DOUBLE_EQ(results[1].value, 0.5);
  EXPECT_TRUE(human_eval().results({}).empty());
}

}  // namespace
}  // namespace chaski
