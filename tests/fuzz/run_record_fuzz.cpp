// A run.json of any bytes: a record that is written and read again to the same text, or Error(kCorrupt) or
// Error(kUnsupported), nothing else. Its exports, statistics and pages take it too.
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "report/compare_html.h"
#include "report/exports.h"
#include "report/run_record.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace chaski;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  try {
    const std::vector<ExportedRun> runs{{"fuzz", parse_run_record(input, "fuzz")}};
    const std::string text = to_json_text(to_json(runs[0].record));
    const std::string again = to_json_text(to_json(parse_run_record(text, "fuzz")));
    CHECK(text == again, "a record changes when it is read");
    const RunRecord& record = runs[0].record;
    if (size <= 64 * 1024) {
      CHECK(!compare_html(compare(record, record), Lang::kEn).empty(), "a comparison without text");
    }
    for (const char* extension : {".sql", ".csv"}) {
      CHECK(!export_text(*find_export_format(extension), runs).empty(), "an export without text");
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kCorrupt && error.code() != ErrorCode::kUnsupported) throw;
  }
  return 0;
}
