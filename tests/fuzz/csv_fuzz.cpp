// CSV of any bytes, as the questions of each public set: rows within the limits or Error(kCorrupt), nothing
// else.
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "lab/choice_suites.h"
#include "lab/csv.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto refused = [](const chaski::Error& error) {
    if (error.code() != chaski::ErrorCode::kCorrupt) throw;
  };
  try {
    size_t line = 0;
    for (const chaski::CsvRow& row : chaski::parse_csv(text, "fuzz", {1000, 16, 4096})) {
      CHECK(row.line > line && !row.fields.empty() && row.fields.size() <= 16,
            "a row out of order or of no fields");
      line = row.line;
    }
  } catch (const chaski::Error& error) {
    refused(error);
  }
  for (const chaski::ChoiceSet* set : {&chaski::ceval_set(), &chaski::cmmlu_set(), &chaski::mmlu_set()}) {
    try {
      for (const chaski::ChoiceQuestion& question : chaski::parse_choice_questions(*set, text, "fuzz")) {
        CHECK(question.gold.size() == 1 && !question.text.empty(),
              "a question without an answer was accepted");
      }
    } catch (const chaski::Error& error) {
      refused(error);
    }
  }
  return 0;
}
