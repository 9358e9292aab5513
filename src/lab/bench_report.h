// What a bench measured, as JSON and as tables. Pure.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "lab/bench.h"
#include "report/lang.h"
#include "report/run_record.h"

namespace chaski {

/// One model's bench: what was measured, and on what.
struct BenchRecord {
  std::string model;  ///< as the user named it
  bool is_synthetic = false;
  std::string format;  ///< the weights' types by bytes, as "q4_1 86%, q8_0 13%"
  std::string precision;
  std::string kv_dtype;
  std::string device;       ///< "cpu"
  std::string device_kind;  ///< cpu, cuda, ascend, emulated, modelled
  std::string device_name;
  std::string isa;  ///< code path, as "avx512"
  int64_t threads = 0;
  int64_t weight_bytes = 0;    ///< as the device holds them
  int64_t peak_rss_bytes = 0;  ///< from before the model was loaded to after the bench
  double load_s = 0;
  BenchPlan plan;
  BenchFigures figures;
  std::vector<RunWarning> warnings;
};

OrderedJson to_json(const Metric& metric);
OrderedJson to_json(const BenchRecord& record);

enum class BenchFormat { kTable, kMarkdown, kCsv };
/// A row per metric. CSV has the same columns in both languages, numbers in full.
std::string bench_table(const std::vector<BenchRecord>& records, BenchFormat format, Lang lang);

}  // namespace chaski
