// An answer of any bytes to one item of each type, the first byte choosing the finish: always a score from 1
// to 5 (or none for code, which nothing runs here), evidence that is short, raw and score that agree. What a
// judge replies is read from the same bytes.
#include <cmath>
#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/utf8.h"
#include "lab/judge_prompt.h"
#include "lab/scorer.h"

namespace {

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
  for (const char* type : {"arithmetic", "code", "commonsense", "concept", "self-introduction"}) {
    const chaski::ScoreRecord score = score_answer(item_of(type), answer, chaski::default_rubric(), nullptr,
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
  std::string why;
  if (const auto grades = chaski::parse_grades(answer.answer, why)) {
    for (const int grade : grades->grades) CHECK(grade >= 1 && grade <= 10, "a grade of {}", grade);
  }
  chaski::parse_verdict(answer.answer, why);
  return 0;
}
