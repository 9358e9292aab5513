// CSV and JSON lines of a bench for what reads llama-bench's: one row per test.
#include <algorithm>
#include <cctype>
#include <cmath>

#include "lab/bench_metrics.h"
#include "lab/bench_report.h"
#include "report/names.h"
#include "report/text_safety.h"

namespace chaski {
namespace {

/// The rate that a test is about; null where it was not measured.
const NamedMetric* rate_of(const RunRecord& record, const BenchTest& test) {
  switch (test.kind) {
    case TestKind::kPrefill:
      return find_metric(record, "prefill_tokens_per_s" + test.at);
    case TestKind::kDecode:
      return find_metric(record, "decode_tokens_per_s" + test.at);
    case TestKind::kRequest:
      return find_metric(record, "overall_tokens_per_s" + test.at);
    case TestKind::kSpeculative:
      return find_metric(record, "speculative_decode_tokens_per_s" + test.at);
  }
  return nullptr;
}

/// The samples of a test's rate. A request is counted in llama-bench's way in all columns of its row: prompt
/// and answer together.
std::vector<double> counted_rates(const BenchTest& test, const NamedMetric& rate) {
  std::vector<double> rates = rate.metric.samples;
  if (test.kind != TestKind::kRequest || test.n_gen == 0) return rates;
  for (double& tokens_per_s : rates) {
    tokens_per_s *= static_cast<double>(test.n_tokens()) / static_cast<double>(test.n_gen);
  }
  return rates;
}

/// "llama 1.2B q4_0 98%": family, parameters, types of the weights. Readers take rows for the same test that
/// are alike in the columns they know, so what those cannot say stands here.
std::string model_type(const RunRecord& record, const BenchTest& test) {
  const ModelFacts& model = record.model;
  const auto n = static_cast<double>(model.n_parameters);
  const std::string size = n >= 1e9 ? fmt::format("{:.1f}B", n / 1e9) : fmt::format("{:.0f}M", n / 1e6);
  std::string text =
      fmt::format("llama {} {}{}", size, model.weights, model.is_synthetic ? " (random weights)" : "");
  if (const std::string mark = device_mark(record, Lang::kEn); !mark.empty())
    text += fmt::format(" ({})", mark);
  if (test.n_sequences > 1) text += fmt::format(" × {} sequences", test.n_sequences);
  if (test.kind == TestKind::kSpeculative) text += ", n-gram speculation";
  return text;
}

std::string upper(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return static_cast<char>(std::toupper(static_cast<unsigned char>(c))); });
  return text;
}

std::vector<double> nanoseconds(const BenchTest& test, const std::vector<double>& rates) {
  std::vector<double> all;
  for (const double rate : rates)
    all.push_back(std::round(static_cast<double>(test.n_tokens()) * 1e9 / rate));
  return all;
}

/// llama-bench's columns, in its order.
OrderedJson columns_of_llama_bench(const RunRecord& r, const BenchTest& test, const NamedMetric& rate) {
  const std::vector<double> rates = counted_rates(test, rate);
  const Metric ts = summarize(rates), ns = summarize(nanoseconds(test, rates));
  const auto whole = [](double value) { return static_cast<int64_t>(std::llround(value)); };
  const std::string kv = setting_text(r, "kv_dtype");
  const int64_t n_rows = step_rows();
  OrderedJson row;
  row["build_commit"] = r.build.version;
  row["build_number"] = 0;
  row["cpu_info"] = r.machine.cpu;
  row["gpu_info"] = r.machine.accelerator;
  row["backends"] = upper(r.device.device_kind);
  row["model_filename"] = r.model.path.empty() ? r.model.id : r.model.path;
  row["model_type"] = model_type(r, test);
  row["model_size"] = r.model.weight_bytes;
  row["model_n_params"] = r.model.n_parameters;
  row["n_batch"] = n_rows;
  row["n_ubatch"] = n_rows;
  row["n_threads"] = r.device.n_threads;
  row["cpu_mask"] = "0x0";
  row["cpu_strict"] = false;
  row["poll"] = 0;
  row["type_k"] = kv;
  row["type_v"] = kv;
  row["n_gpu_layers"] = 0;
  row["n_cpu_moe"] = 0;
  row["split_mode"] = "none";
  row["main_gpu"] = 0;
  row["no_kv_offload"] = false;
  row["flash_attn"] = false;
  row["devices"] = "none";
  row["tensor_split"] = "0.00";
  row["tensor_buft_overrides"] = "none";
  row["load_mode"] = "none";
  row["lazy_mode"] = "none";
  row["embeddings"] = false;
  row["no_op_offload"] = false;
  row["no_host"] = false;
  row["repack"] = true;
  row["fit_target"] = 0;
  row["fit_min_ctx"] = 0;
  row["n_prompt"] = test.n_prompt;
  row["n_gen"] = test.n_gen;
  row["n_depth"] = test.depth;
  row["test_time"] = r.summary.started_at;
  row["avg_ns"] = whole(ns.mean);
  row["stddev_ns"] = whole(ns.std);
  row["avg_ts"] = ts.mean;
  row["stddev_ts"] = ts.std;
  row["samples_ns"] = OrderedJson::array();
  for (const double sample : ns.samples) row["samples_ns"].push_back(whole(sample));
  row["samples_ts"] = ts.samples;
  row["use_mmap"] = false;  // of earlier versions, whose readers ask for it
  return row;
}

/// The same, and after them ours.
OrderedJson row_json(const RunRecord& r, const BenchTest& test, const NamedMetric& rate) {
  OrderedJson row = columns_of_llama_bench(r, test, rate);
  row["model"] = r.model.id;
  row["is_synthetic"] = r.model.is_synthetic;
  row["device"] = setting_text(r, "device");
  row["device_kind"] = r.device.device_kind;
  row["isa"] = r.device.path;
  row["precision"] = setting_text(r, "precision");
  row["threads"] = r.device.n_threads;
  row["test"] = name_of(test.kind);
  row["n_sequences"] = test.n_sequences;
  row["n_samples"] = rate.metric.samples.size();
  row["n_warmup"] = rate.n_warmup;
  const Metric m = summarize(counted_rates(test, rate));
  row["tokens_per_s_median"] = m.median;
  row["tokens_per_s_low"] = m.range.low;
  row["tokens_per_s_high"] = m.range.high;
  row["tokens_per_s_ci95_low"] = m.ci95 ? OrderedJson(m.ci95->low) : OrderedJson(nullptr);
  row["tokens_per_s_ci95_high"] = m.ci95 ? OrderedJson(m.ci95->high) : OrderedJson(nullptr);
  row["tokens_per_s_p90"] = m.p90;
  row["tokens_per_s_p95"] = m.p95;
  row["tokens_per_s_p99"] = m.p99;
  row["load_s"] = r.summary.load_s;
  row["weight_bytes"] = r.device.weight_bytes;
  row["kv_bytes"] = r.summary.kv_bytes;
  row["peak_rss_bytes"] = r.summary.peak_rss_bytes;
  return row;
}

std::vector<OrderedJson> rows_json(const RunRecord& record) {
  std::vector<OrderedJson> rows;
  for (const BenchTest& test : tests_of(record)) {
    if (const NamedMetric* rate = rate_of(record, test)) rows.push_back(row_json(record, test, *rate));
  }
  return rows;
}

/// Quoted always, as llama-bench does. A number is none of a formula's beginnings, also where it is negative.
std::string cell_text(const OrderedJson& value) {
  if (value.is_null()) return "\"\"";
  if (value.is_boolean()) return value.get<bool>() ? "\"1\"" : "\"0\"";
  if (value.is_string()) return csv_cell(value.get<std::string>(), CsvQuotes::kAlways);
  return "\"" + to_json_text(value) + "\"";
}

}  // namespace

std::string bench_csv(const std::vector<RunRecord>& records) {
  std::string text;
  for (const RunRecord& record : records) {
    for (OrderedJson& row : rows_json(record)) {
      row.erase("samples_ns");
      row.erase("samples_ts");
      std::string head, line;
      for (const auto& [key, value] : row.items()) {
        head += (head.empty() ? "" : ",") + key;
        line += (line.empty() ? "" : ",") + cell_text(value);
      }
      if (text.empty()) text = head + "\n";
      text += line + "\n";
    }
  }
  return text;
}

std::string bench_jsonl(const RunRecord& record) {
  std::string text;
  for (const OrderedJson& row : rows_json(record)) text += to_json_text(row) + "\n";
  return text;
}

}  // namespace chaski
