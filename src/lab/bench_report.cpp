#include "lab/bench_report.h"

#include <algorithm>

#include "report/text_safety.h"

namespace chaski {
namespace {

/// A metric with its name and what it was measured at.
struct Row {
  const BenchRecord* record;
  std::string test;  ///< "prefill 512", "decode 128", "decode 128 × 8"
  const Metric* metric;
};

std::vector<Row> rows_of(const std::vector<BenchRecord>& records, Lang lang) {
  std::vector<Row> rows;
  for (const BenchRecord& record : records) {
    const BenchFigures& figures = record.figures;
    const int64_t depth = record.plan.depth;
    const std::string at = depth > 0 ? fmt::format(" @ {}", depth) : "";
    if (figures.prefill_tokens_per_s) {
      rows.push_back({&record, fmt::format("{} {}", tr(lang, "prefill", "预填充"), record.plan.n_prompt),
                      &*figures.prefill_tokens_per_s});
    }
    const std::string decode = fmt::format("{} {}", tr(lang, "decode", "解码"), record.plan.n_gen);
    if (figures.decode_tokens_per_s) rows.push_back({&record, decode + at, &*figures.decode_tokens_per_s});
    if (figures.speculative_decode_tokens_per_s) {
      rows.push_back({&record,
                      fmt::format("{}{}", decode,
                                  tr(lang, " after prose, n-gram speculation", "（接散文），n-gram 推测")),
                      &*figures.speculative_decode_tokens_per_s});
    }
    for (const BatchedDecode& batched : figures.batched) {
      rows.push_back(
          {&record, fmt::format("{} × {}{}", decode, batched.n_sequences, at), &batched.tokens_per_s});
    }
  }
  return rows;
}

std::string rate(double tokens_per_s) {
  return fmt::format("{:.{}f}", tokens_per_s, tokens_per_s < 100 ? 2 : 1);
}

std::string span_of(const Interval& interval) {
  return fmt::format("{} – {}", rate(interval.low), rate(interval.high));
}

/// With the cache's type where it is not what goes with the precision.
std::string precision_of(const BenchRecord& record, Lang lang) {
  if (record.kv_dtype == (record.precision == "exact" ? "f32" : "bf16")) return record.precision;
  return record.precision + trf(lang, ", {} cache", "，{} 缓存", record.kv_dtype);
}

/// Cells of all rows, the titles first. `foreign` makes text that is not our own harmless.
std::vector<std::vector<std::string>> cells_of(const std::vector<BenchRecord>& records, Lang lang,
                                               std::string (*foreign)(std::string_view)) {
  const auto title = [lang](std::string_view en, std::string_view zh) {
    return std::string(tr(lang, en, zh));
  };
  std::vector<std::vector<std::string>> cells;
  cells.push_back({title("model", "模型"), title("weights", "权重"), title("precision", "精度"),
                   title("path", "代码路径"), title("threads", "线程"), title("test", "测试"),
                   title("tokens/s", "词元/秒"), title("95 % interval", "95% 区间"),
                   title("low – high", "最低 – 最高"), "p90", "p99"});
  for (const Row& row : rows_of(records, lang)) {
    const BenchRecord& record = *row.record;
    const Metric& metric = *row.metric;
    const std::string_view label =
        record.is_synthetic ? tr(lang, " (random weights)", "（随机权重）") : std::string_view();
    cells.push_back({foreign(record.model) + std::string(label), record.format, precision_of(record, lang),
                     record.isa, std::to_string(record.threads), row.test, rate(metric.median),
                     metric.ci95 ? span_of(*metric.ci95) : "–", span_of(metric.range), rate(metric.p90),
                     rate(metric.p99)});
  }
  return cells;
}

std::string columns(const std::vector<std::vector<std::string>>& cells) {
  constexpr size_t kFirstNumber = 6;  // from here on numbers, which end together
  std::vector<int> widths(cells.front().size());
  for (const auto& row : cells) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i]));
  }
  std::string text;
  for (const auto& row : cells) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += i < kFirstNumber ? pad_right(row[i], widths[i]) : pad_left(row[i], widths[i]);
      line += i + 1 < row.size() ? "  " : "\n";
    }
    text += line;
  }
  return text;
}

std::string markdown(const std::vector<std::vector<std::string>>& cells) {
  std::string text;
  for (size_t r = 0; r < cells.size(); ++r) {
    for (const std::string& cell : cells[r]) text += fmt::format("| {} ", cell);
    text += "|\n";
    if (r > 0) continue;
    for (size_t i = 0; i < cells[r].size(); ++i) text += "| --- ";
    text += "|\n";
  }
  return text;
}

std::string csv_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::string csv(const std::vector<BenchRecord>& records) {
  std::string text =
      "model,is_synthetic,format,precision,kv_dtype,device_kind,isa,threads,test,n_prompt,n_gen,depth,n_"
      "sequences,"
      "tokens_per_s_median,tokens_per_s_low,tokens_per_s_high,tokens_per_s_ci95_low,tokens_per_s_ci95_high,"
      "tokens_per_s_p90,tokens_per_s_p99,n_samples,"
      "load_s,"
      "weight_bytes,kv_bytes,peak_rss_bytes\n";
  for (const BenchRecord& r : records) {
    const auto add = [&](std::string_view test, int64_t n_prompt, int64_t n_gen, int64_t n_sequences,
                         const Metric& m) {
      const std::string interval = m.ci95 ? fmt::format("{},{}", m.ci95->low, m.ci95->high) : ",";
      text += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n",
                          csv_text(r.model), r.is_synthetic, csv_text(r.format), r.precision, r.kv_dtype,
                          r.device_kind, r.isa, r.threads, test, n_prompt, n_gen, r.plan.depth, n_sequences,
                          m.median, m.range.low, m.range.high, interval, m.p90, m.p99, m.samples.size(),
                          r.load_s, r.weight_bytes, r.figures.kv_bytes, r.peak_rss_bytes);
    };
    if (r.figures.prefill_tokens_per_s)
      add("prefill", r.plan.n_prompt, 0, 1, *r.figures.prefill_tokens_per_s);
    if (r.figures.decode_tokens_per_s) add("decode", 0, r.plan.n_gen, 1, *r.figures.decode_tokens_per_s);
    if (r.figures.speculative_decode_tokens_per_s) {
      add("decode_ngram", 0, r.plan.n_gen, 1, *r.figures.speculative_decode_tokens_per_s);
    }
    for (const BatchedDecode& b : r.figures.batched)
      add("decode", 0, r.plan.n_gen, b.n_sequences, b.tokens_per_s);
  }
  return text;
}

OrderedJson to_json(const Interval& interval) { return {interval.low, interval.high}; }

OrderedJson metric_or_null(const std::optional<Metric>& metric) {
  return metric ? to_json(*metric) : OrderedJson(nullptr);
}

}  // namespace

OrderedJson to_json(const Metric& metric) {
  return {{"median", metric.median},
          {"p90", metric.p90},
          {"p99", metric.p99},
          {"ci95", metric.ci95 ? to_json(*metric.ci95) : OrderedJson(nullptr)},
          {"range", to_json(metric.range)},
          {"samples", metric.samples}};
}

OrderedJson to_json(const BenchRecord& record) {
  OrderedJson json;
  json["model"] = record.model;
  json["is_synthetic"] = record.is_synthetic;
  json["format"] = record.format;
  json["precision"] = record.precision;
  json["kv_dtype"] = record.kv_dtype;
  json["device"] = record.device;
  json["device_kind"] = record.device_kind;
  json["device_name"] = record.device_name;
  json["isa"] = record.isa;
  json["runner"] = record.figures.runner;
  json["threads"] = record.threads;
  json["n_prompt"] = record.plan.n_prompt;
  json["n_gen"] = record.plan.n_gen;
  json["depth"] = record.plan.depth;
  json["repeats"] = record.plan.n_repeats;
  json["prefill_tokens_per_s"] = metric_or_null(record.figures.prefill_tokens_per_s);
  json["decode_tokens_per_s"] = metric_or_null(record.figures.decode_tokens_per_s);
  json["speculative_decode_tokens_per_s"] = metric_or_null(record.figures.speculative_decode_tokens_per_s);
  json["batched"] = OrderedJson::array();
  for (const BatchedDecode& batched : record.figures.batched) {
    json["batched"].push_back(
        {{"n_sequences", batched.n_sequences}, {"decode_tokens_per_s", to_json(batched.tokens_per_s)}});
  }
  json["load_s"] = record.load_s;
  json["weight_bytes"] = record.weight_bytes;
  json["kv_bytes"] = record.figures.kv_bytes;
  json["peak_rss_bytes"] = record.peak_rss_bytes;
  json["warnings"] = to_json(record.warnings);
  return json;
}

std::string bench_table(const std::vector<BenchRecord>& records, BenchFormat format, Lang lang) {
  if (format == BenchFormat::kCsv) return csv(records);
  if (format == BenchFormat::kMarkdown) return markdown(cells_of(records, lang, markdown_inline));
  return columns(cells_of(records, lang, strip_controls));
}

}  // namespace chaski
