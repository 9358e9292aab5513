// An answer of any bytes to one item of each type, its length choosing the finish: always a score from 1 to 5
// (or none for code where nothing runs it), evidence that is short, raw and score that agree. Programs found
// in it are "run" by a runner that only looks at them.
#include <cmath>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/utf8.h"
#include "lab/scorer.h"

namespace {

/// Says of each program what its length chooses.
class LookingRunner final : public chaski::CodeRunner {
 public:
  std::string tier() const override { return "A"; }
  std::string why_not() const override { return {}; }
  chaski::CodeResult run(const chaski::CodeTask& task, const chaski::CancelToken&) override {
    CHECK(!task.program.empty() && chaski::is_valid_utf8(task.program), "a program that is no text");
    chaski::CodeResult result;
    result.verdict = static_cast<chaski::CodeVerdict>(task.program.size() % 7);
    result.tests.assign(task.tests.size(), result.verdict);
    result.message = task.program;
    return result;
  }
};

chaski::SuiteItem item_of(const char* type) {
  chaski::SuiteItem item;
  item.id = "q";
  item.type = type;
  item.prompt = "中国的首都是哪里?";
  item.extra = {{"answer", "1/3"},
                {"unit", "km"},
                {"accepts", {"北京"}},
                {"rejects", {"杭州", "上海"}},
                {"keywords", {{"数据"}, {"学习", "learn"}}},
                {"relations", {{{"数据"}, {"学习"}}}},
                {"false_statements", {"不需要数据"}},
                {"tests", {"assert candidate(1)"}}};
  return item;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  chaski::AnswerRecord answer;
  answer.answer.assign(reinterpret_cast<const char*>(data), size);
  answer.finish_reason = size % 2 == 0 ? "stop" : "length";
  LookingRunner runner;
  const bool runs_code = size % 3 != 0;
  for (const char* type : {"arithmetic", "code", "commonsense", "concept", "self-introduction"}) {
    const chaski::ScoreRecord score =
        score_answer(item_of(type), answer, chaski::default_rubric(), runs_code ? &runner : nullptr,
                     chaski::CancelToken(), "Llama-3.2-1B");
    if (score.status == "not_run") continue;
    CHECK(score.score && *score.score >= 1 && *score.score <= 5, "no score for {}", type);
    CHECK(*score.score == static_cast<int>(std::floor(score.raw + 0.5)), "{} of {}", *score.score, score.raw);
    for (const chaski::ScoreComponent& part : score.components) {
      CHECK(part.value >= 0 && part.value <= 1, "{} is {}", part.name, part.value);
      CHECK(part.evidence.size() < 300 && chaski::is_valid_utf8(part.evidence), "evidence of {}", part.name);
    }
    for (const chaski::ScoreAdjustment& part : score.adjustments) {
      CHECK(part.evidence.size() < 300 && chaski::is_valid_utf8(part.evidence), "evidence of {}", part.name);
    }
  }
  return 0;
}
