// What scoring makes of a whole run: failures, who scored before.
#include "lab/eval_scores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/threads.h"
#include "lab/human_eval.h"
#include "report/score_summary.h"

namespace chaski {
namespace {

/// Finds every program good.
class EasyRunner final : public CodeRunner {
 public:
  CodeResult run(const CodeTask& task, const CancelToken& /*cancel*/) override {
    CodeResult result;
    result.verdict = CodeVerdict::kPassed;
    result.tests.assign(task.tests.size(), CodeVerdict::kPassed);
    result.defines_entry_point = true;
    return result;
  }
  std::string tier() const override { return "A"; }
  std::string why_not() const override { return {}; }
};

AnswerRecord answer_of(const std::string& id, const std::string& type, const std::string& text) {
  AnswerRecord answer;
  answer.id = id;
  answer.type = type;
  answer.answer = text;
  answer.finish_reason = text.empty() ? "error" : "stop";
  return answer;
}

SuiteItem sum(const std::string& id) {
  SuiteItem item;
  item.id = id;
  item.type = "arithmetic";
  item.prompt = "1+2等于几？";
  item.extra = {{"answer", "3"}};
  return item;
}

TEST(ScoreRun, AQuestionThatFailedIsWrongAndStaysInTheMean) {
  Suite suite;
  suite.items = {sum("a"), sum("b")};
  RunRecord record;
  record.items = {answer_of("a", "arithmetic", "1+2=3，答案是3。"), answer_of("b", "arithmetic", "")};
  EasyRunner runner;
  score_run(record, suite, default_rubric(), runner, {}, {});
  ASSERT_EQ(record.scores.size(), 2u);
  EXPECT_EQ(record.scores[0].score, 5);
  EXPECT_EQ(record.scores[1].score, 1);
  EXPECT_EQ(record.scores[1].is_correct, false);
  EXPECT_EQ(record.scoring["by_type"]["arithmetic"]["n_questions"], 2);
  EXPECT_EQ(record.scoring["by_type"]["arithmetic"]["mean"], 3.0);
}

TEST(ScoreRun, APassRateCountsTheProblemsThatFailed) {
  const std::string problem = R"("prompt": "def f():\n", "entry_point": "f", "test": "def check(f): pass"})";
  Suite suite =
      parse_human_eval("{\"task_id\": \"a\", " + problem + "\n{\"task_id\": \"b\", " + problem, "file");
  suite.protocol = human_eval().name();
  RunRecord record;
  record.items = {answer_of("a", "code", "    return 1"), answer_of("b", "code", "")};
  EasyRunner runner;
  score_run(record, suite, default_rubric(), runner, {}, {});
  ASSERT_EQ(record.results.size(), 1u);
  EXPECT_EQ(record.results[0].n, 2);
  EXPECT_EQ(record.results[0].value, 0.5);
  EXPECT_EQ(record.scores[1].components.at(0).value, 0.0);
}

/// Waits, for a while, until two programs are under way.
class SlowRunner final : public CodeRunner {
 public:
  CodeResult run(const CodeTask& task, const CancelToken& cancel) override {
    ++n_inside_;
    while (n_inside_ < 2 && most_at_once_ < 2 && patience_ms_-- > 0) {
      cancel.throw_if_cancelled("run");
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    most_at_once_ = std::max<int>(most_at_once_, n_inside_);
    --n_inside_;
    CodeResult result;
    const bool is_good = task.program.find("good") != std::string::npos;
    result.verdict = is_good ? CodeVerdict::kPassed : CodeVerdict::kFailed;
    result.tests.assign(task.tests.size(), result.verdict);
    result.defines_entry_point = true;
    return result;
  }
  std::string tier() const override { return "A"; }
  std::string why_not() const override { return {}; }
  int most_at_once() const { return most_at_once_; }

 private:
  std::atomic<int> n_inside_{0}, most_at_once_{0}, patience_ms_{5000};
};

Suite problems(int n) {
  std::string lines;
  for (int i = 0; i < n; ++i) {
    lines += fmt::format("{{\"task_id\": \"t{}\", \"prompt\": \"def f():\\n\", \"entry_point\": \"f\", ", i);
    lines += "\"test\": \"def check(f): pass\"}\n";
  }
  Suite suite = parse_human_eval(lines, "file");
  suite.protocol = human_eval().name();
  return suite;
}

RunRecord answered(const Suite& suite) {
  RunRecord record;
  for (size_t i = 0; i < suite.items.size(); ++i) {
    record.items.push_back(
        answer_of(suite.items[i].id, "code", i % 3 == 0 ? "    return 'good'" : "    return 'bad'"));
  }
  return record;
}

TEST(ScoreRun, ProgramsRunOnAllCoresAndTheirScoresStayInOrder) {
  const Suite suite = problems(40);
  RunRecord record = answered(suite);
  SlowRunner runner;
  std::vector<int64_t> heard;
  score_run(record, suite, default_rubric(), runner, {}, [&](int64_t done, int64_t total) {
    EXPECT_EQ(total, 40);
    heard.push_back(done);
  });
  ASSERT_EQ(record.scores.size(), 40u);
  for (size_t i = 0; i < record.scores.size(); ++i) {
    EXPECT_EQ(record.scores[i].id, suite.items[i].id);
    EXPECT_EQ(record.scores[i].is_correct, i % 3 == 0) << i;
    EXPECT_EQ(heard[i], static_cast<int64_t>(i + 1)) << "progress never goes back";
  }
  if (available_cores() > 1) {
    EXPECT_GE(runner.most_at_once(), 2);
  }
}

TEST(ScoreRun, BrokenOffTheRecordIsAsItWas) {
  const Suite suite = problems(40);
  RunRecord record = answered(suite);
  SlowRunner runner;
  CancelToken cancel;
  try {
    score_run(record, suite, default_rubric(), runner, cancel, [&](int64_t done, int64_t) {
      if (done == 5) cancel.cancel();
    });
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
  EXPECT_TRUE(record.scores.empty());
  EXPECT_TRUE(record.scoring.empty());
}

TEST(ScoreRun, ABenchHasNoAnswersToScore) {
  RunRecord record;
  record.kind = "bench";
  try {
    suite_of(record, "", {});
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage);
    EXPECT_THAT(error.what(), testing::HasSubstr("it has no answers"));
  }
}

TEST(ScoreRun, AnotherRubricIsSeenAndAJudgeNeverTakesTheRubricsPlace) {
  Suite suite;
  suite.items = {sum("a")};
  RunRecord record;
  record.items = {answer_of("a", "arithmetic", "1+2=3，答案是3。")};
  EasyRunner runner;
  EXPECT_FALSE(is_scored_by(record, suite, default_rubric(), runner));
  score_run(record, suite, default_rubric(), runner, {}, {});
  EXPECT_TRUE(is_scored_by(record, suite, default_rubric(), runner));
  Rubric other = default_rubric();
  other.sha256 = "of another text";
  EXPECT_FALSE(is_scored_by(record, suite, other, runner));
  ScoreRecord judged = record.scores[0];
  judged.scorer = "judge:a";  // before "rubric" by the alphabet
  judged.score = 1;
  record.scores.push_back(judged);
  judged.sample = 1;
  record.scores.push_back(judged);
  const RunRecord* const records[] = {&record};
  EXPECT_EQ(main_scorer(records)->scorer, "rubric");
  score_run(record, suite, other, runner, {}, {});
  EXPECT_EQ(record.scores.size(), 3u) << "a judge's scores stay";
}

}  // namespace
}  // namespace chaski
