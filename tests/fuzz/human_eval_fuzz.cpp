// A file of HumanEval problems of any bytes, packed by gzip or not: a suite or Error(kCorrupt), nothing else.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "lab/human_eval.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  try {
    const std::string text =
        size > 1 && input[0] == '\x1f' ? chaski::gunzip(input, "fuzz", 1 << 20) : std::string(input);
    const chaski::Suite suite = chaski::parse_human_eval(text, "fuzz");
    for (const chaski::SuiteItem& item : suite.items) {
      const chaski::CodeTask task = chaski::human_eval_task(item, "    pass");
      CHECK(task.tests.size() == 1 && !task.entry_point.empty(), "a problem without a test was accepted");
    }
  } catch (const chaski::Error& error) {
    if (error.code() != chaski::ErrorCode::kCorrupt) throw;
  }
  return 0;
}
