// What a server's bench says: the RunRecord of its requests, and JSON, CSV and tables computed from that
// record alone. Pure. The figures are defined in docs/en/metrics.md.
#pragma once

#include <string>

#include "base/json.h"
#include "lab/url_bench.h"
#include "report/lang.h"
#include "report/run_record.h"

namespace chaski {

/// kind "bench", device_kind "url"; a metric has a sample of each request that was answered, a failure stands
/// for each that was not. Machine, build and times of day are the caller's.
RunRecord url_bench_record(const UrlBenchPlan& plan, const UrlBenchRun& run);

/// One object of `-o json`, with what bench_json has that means something here.
OrderedJson url_bench_json(const RunRecord& record);
/// A row per metric.
std::string url_bench_csv(const RunRecord& record);
/// For people: what was asked, a row per metric, failures and warnings; in Markdown or for a terminal.
std::string url_bench_table(const RunRecord& record, bool is_markdown, Lang lang);

}  // namespace chaski
