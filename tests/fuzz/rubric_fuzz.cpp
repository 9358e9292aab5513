// rubric.yaml of any bytes: a rubric whose weights and names are whole, or Error(kCorrupt), nothing else.
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "lab/scorer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  try {
    const chaski::Rubric rubric = chaski::parse_rubric(input, "fuzz");
    CHECK(!rubric.name.empty() && !rubric.limits.empty(), "a rubric without name or limits was accepted");
    chaski::SuiteItem item;
    item.prompt = "1+1?";
    item.extra = {{"answer", "2"}, {"accepts", {"2"}}, {"keywords", {{"2"}}}};
    chaski::AnswerRecord answer;
    answer.answer = "> 1+1=2, 答案是2。";
    for (const auto& [type, rules] : rubric.types) {
      item.type = type;
      const chaski::ScoreRecord score = score_answer(item, answer, rubric, nullptr, chaski::CancelToken());
      CHECK(!score.score || (*score.score >= 1 && *score.score <= 5), "a score of {}", *score.score);
    }
  } catch (const chaski::Error& error) {
    if (error.code() != chaski::ErrorCode::kCorrupt) throw;
  }
  return 0;
}
