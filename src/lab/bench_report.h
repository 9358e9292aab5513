// What a bench measured, as JSON and as tables, computed from its RunRecords alone. Pure.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "report/lang.h"
#include "report/run_record.h"

namespace chaski {

/// One object of `-o json`: flat, with the figures of each kind's first test by name and all figures below
/// `metrics`.
OrderedJson bench_json(const RunRecord& record);

enum class BenchFormat { kTable, kMarkdown };
/// For people: a row per test, then for each model latencies, load, memory, energy, stability, warnings, and
/// the ops where they were traced.
std::string bench_table(const std::vector<RunRecord>& records, BenchFormat format, Lang lang);

/// A row per test and model with llama-bench's columns, named and ordered as there, and ours after them.
std::string bench_csv(const std::vector<RunRecord>& records);
/// The same as a JSON object per line, with samples_ns and samples_ts; and `model`, `device`, `threads` as in
/// bench_json.
std::string bench_jsonl(const RunRecord& record);

}  // namespace chaski
