// A run.json of any bytes: a record that is written and read again to the same text, or Error(kCorrupt) or
// Error(kUnsupported), nothing else. Its exports, statistics and pages take it too.
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "base/utf8.h"
#include "report/compare_html.h"
#include "report/compare_markdown.h"
#include "report/eval_report.h"
#include "report/exports.h"
#include "report/report_html.h"
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
      const Comparison comparison = compare(record, record);
      for (const Lang lang : {Lang::kEn, Lang::kZh}) {
        for (const std::string& page : {compare_html(comparison, lang), compare_markdown(comparison, lang),
                                        report_html(record, "fuzz", lang), eval_markdown(record, lang),
                                        report_terminal(record, lang)}) {
          CHECK(!page.empty() && is_valid_utf8(page), "a page that is no text");
        }
      }
      CHECK(is_valid_utf8(report_csv(record)), "a table that is no text");
    }
    for (const char* extension : {".sql", ".csv"}) {
      CHECK(!export_text(*find_export_format(extension), runs).empty(), "an export without text");
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kCorrupt && error.code() != ErrorCode::kUnsupported) throw;
  }
  return 0;
}
