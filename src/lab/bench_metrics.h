// What a bench's times say: metrics by their definitions in docs/en/metrics.md, drift, and the RunRecord they
// go into. Pure but for asking the model and its device what they are.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "format/checkpoint.h"
#include "lab/bench.h"
#include "machine/peak_rates.h"
#include "report/run_record.h"

namespace chaski {

/// What this machine reaches, measured beside the bench on as many threads.
struct MachinePeaks {
  Metric read_gb_per_s;             ///< reading memory
  std::optional<Metric> gop_per_s;  ///< multiplying in the form of most of the model's products
  std::string read_path, gop_what, gop_path;
};
/// The best way of reading, and all ways of multiplying: which of them counts is known once a device has the
/// weights.
struct PeakRates {
  PeakRate read;
  std::vector<PeakRate> multiplying;
};
/// Measure them, in about a second and with at most a quarter of the free memory. Nothing where the weights
/// are so few that they stay in a core's caches.
std::optional<PeakRates> measure_peaks(const Checkpoint& checkpoint, int n_threads);

/// What turns tokens into characters, bytes and operations.
struct BenchBasis {
  double chars_per_token_en = 0, chars_per_token_zh = 0;
  int64_t weight_bytes_per_token = 0;      ///< that a decode step reads
  int64_t kv_bytes_per_position = 0;       ///< that a decode step reads of each position before it
  int64_t ops_per_token = 0;               ///< multiplications and additions of a prompt token's products
  int64_t attention_ops_per_position = 0;  ///< of a token's attention to one position
  std::optional<MachinePeaks> peaks;
};
/// As the subject's device holds the model's weights and computes with them.
BenchBasis bench_basis(const BenchSubject& subject, const std::optional<PeakRates>& rates);

/// Of all tests that have samples. Names are unique: those of a kind's first test are bare, those of the
/// others end with BenchTest::at. Latencies are the request's where there is one.
std::vector<NamedMetric> bench_metrics(const std::vector<TestSamples>& tests, const BenchBasis& basis);
/// A metric of one sample or more.
NamedMetric named_metric(std::string name, std::string unit, bool is_higher_better, int64_t n_warmup,
                         std::vector<double> samples);

/// The share by which the last third of the samples is above (below: negative) the first, by medians; nothing
/// for fewer than six.
std::optional<double> drift_of(const std::vector<double>& samples);
/// A warning for each metric in tokens/s that drifts by more than 5 %.
std::vector<RunWarning> drift_warnings(const std::vector<NamedMetric>& metrics);

/// settings.tests of the record, from which the tables are made, and the reverse. Nothing in it is trusted:
/// throws Error(kCorrupt) naming the field.
OrderedJson tests_json(const std::vector<BenchTest>& tests);
std::vector<BenchTest> tests_of(const RunRecord& record);

/// Put a run's figures into the record: metrics, settings.tests and what goes with them, memory, runner,
/// drift.
void fill_bench_record(const BenchRun& run, const BenchPlan& plan, const BenchBasis& basis,
                       RunRecord& record);

/// settings.KEY where it is text; else nothing.
std::string setting_text(const RunRecord& record, const char* key);

/// The metric of that name; null where the record has none.
const NamedMetric* find_metric(const RunRecord& record, std::string_view name);

}  // namespace chaski
