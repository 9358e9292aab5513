#include "lab/bench_report.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "lab/bench_metrics.h"
#include "report/figures.h"
#include "report/names.h"
#include "report/run_tables.h"
#include "report/table.h"
#include "report/text_safety.h"
#include "report/warnings.h"

namespace chaski {
namespace {

/// Makes text that is not our own harmless.
using Foreign = std::string (*)(std::string_view);

// ---- words and numbers ----

std::string rate_text(double value) { return fmt::format("{:.{}f}", value, value < 100 ? 2 : 1); }

std::string seconds_text(double seconds) {
  if (seconds < 0.001) return fmt::format("{:.3f} ms", seconds * 1000);
  return seconds < 1 ? fmt::format("{:.1f} ms", seconds * 1000) : fmt::format("{:.2f} s", seconds);
}

std::string percent_text(double share) { return fmt::format("{:.{}f} %", 100 * share, share < 0.1 ? 1 : 0); }

std::string test_text(const BenchTest& test, Lang lang) {
  const std::string at = test.depth > 0 ? fmt::format(" @ {}", test.depth) : "";
  const std::string_view decode = tr(lang, "decode", "解码");
  switch (test.kind) {
    case TestKind::kPrefill:
      return fmt::format("{} {}{}", tr(lang, "prefill", "预填充"), test.n_prompt, at);
    case TestKind::kRequest:
      return fmt::format("{} {} + {}", tr(lang, "request", "请求"), test.n_prompt, test.n_gen);
    case TestKind::kSpeculative:
      return fmt::format("{} {}{}", decode, test.n_gen,
                         tr(lang, " after prose, n-gram speculation", "（接散文），n-gram 推测"));
    case TestKind::kDecode:
      if (test.n_sequences > 1) return fmt::format("{} {} × {}{}", decode, test.n_gen, test.n_sequences, at);
      return fmt::format("{} {}{}", decode, test.n_gen, at);
  }
  return {};
}

const char* rate_name(TestKind kind) {
  switch (kind) {
    case TestKind::kPrefill:
      return "prefill_tokens_per_s";
    case TestKind::kDecode:
      return "decode_tokens_per_s";
    case TestKind::kRequest:
      return "overall_tokens_per_s";
    case TestKind::kSpeculative:
      return "speculative_decode_tokens_per_s";
  }
  return "";
}

/// With the cache's type where it is not what goes with the precision.
std::string precision_text(const RunRecord& record, Lang lang) {
  const std::string precision = setting_text(record, "precision"), kv = setting_text(record, "kv_dtype");
  if (kv.empty() || kv == (precision == "exact" ? "f32" : "bf16")) return precision;
  return precision + trf(lang, ", {} cache", "，{} 缓存", kv);
}

/// The share of what the machine reaches that a test came to; a dash where that was not measured.
std::string share_text(const RunRecord& record, const BenchTest& test, Lang lang) {
  if (const NamedMetric* share = find_metric(record, "bandwidth_share" + test.at);
      share != nullptr && test.kind == TestKind::kDecode && test.n_sequences == 1) {
    return trf(lang, "{} of memory", "内存带宽的 {}", percent_text(share->metric.median));
  }
  if (const NamedMetric* share = find_metric(record, "arithmetic_share" + test.at);
      share != nullptr && test.kind == TestKind::kPrefill) {
    return trf(lang, "{} of arithmetic", "算力的 {}", percent_text(share->metric.median));
  }
  return "–";
}

/// What a reader must not overlook, behind the model's name.
std::string label_of(const RunRecord& record, Lang lang) {
  std::string label;
  if (const std::string mark = device_mark(record, lang); !mark.empty())
    label += trf(lang, " ({})", "（{}）", mark);
  // Random weights play no part where nothing was loaded.
  if (record.model.is_synthetic && record.device.device_kind != "modelled")
    label += tr(lang, " (random weights)", "（随机权重）");
  return label;
}

std::string threads_text(const RunRecord& record) {
  return record.device.n_threads > 0 ? std::to_string(record.device.n_threads) : "–";
}

// ---- the table of tests ----

Table test_table(const std::vector<RunRecord>& records, Lang lang) {
  const auto title = [lang](std::string_view en, std::string_view zh) {
    return std::string(tr(lang, en, zh));
  };
  Table table;
  table.columns = {title("model", "模型"),
                   title("weights", "权重"),
                   title("precision", "精度"),
                   title("path", "代码路径"),
                   title("threads", "线程"),
                   title("test", "测试"),
                   title("tokens/s", "词元/秒"),
                   title("95 % interval", "95% 区间"),
                   title("low – high", "最低 – 最高"),
                   title("share reached", "达到上限")};
  table.align = "llllllrrrr";
  const auto span_of = [](const Interval& i) {
    return fmt::format("{} – {}", rate_text(i.low), rate_text(i.high));
  };
  for (const RunRecord& record : records) {
    const std::string label = label_of(record, lang);
    for (const BenchTest& test : tests_of(record)) {
      const NamedMetric* rate = find_metric(record, rate_name(test.kind) + test.at);
      if (rate == nullptr) continue;
      const Metric& metric = rate->metric;
      table.add({record.model.id + label, record.model.weights, precision_text(record, lang),
                 record.device.path, threads_text(record), test_text(test, lang), rate_text(metric.median),
                 metric.ci95 ? span_of(*metric.ci95) : "–", span_of(metric.range),
                 share_text(record, test, lang)});
    }
  }
  return table;
}

std::string table_text(const Table& table, BenchFormat format) {
  constexpr int kMostColumns = 80;  // of one cell
  return format == BenchFormat::kMarkdown ? markdown_table(table) : terminal_table(table, kMostColumns);
}

// ---- what is said of a model below the table ----

struct Fact {
  std::string name, text;
};
using Facts = std::vector<Fact>;

void add_latency(const RunRecord& record, const char* metric_name, std::string name, Facts& facts) {
  const NamedMetric* named = find_metric(record, metric_name);
  if (named == nullptr) return;
  const Metric& m = named->metric;
  if (record.device.device_kind == "modelled") {  // whose samples are the two ends of a range
    const bool is_point = m.range.low == m.range.high;
    facts.push_back({std::move(name), is_point ? seconds_text(m.median)
                                               : fmt::format("{} – {}", seconds_text(m.range.low),
                                                             seconds_text(m.range.high))});
    return;
  }
  facts.push_back(
      {std::move(name), fmt::format("{}  (p90 {}, p95 {}, p99 {})", seconds_text(m.median),
                                    seconds_text(m.p90), seconds_text(m.p95), seconds_text(m.p99))});
}

/// Of the load with these metrics: "load_", "load_cold_" …
void add_load(const RunRecord& record, const std::string& prefix, std::string name, Lang lang, Facts& facts) {
  const auto median = [&](const char* part) -> std::optional<double> {
    const NamedMetric* named = find_metric(record, prefix + part);
    return named == nullptr ? std::nullopt : std::optional(named->metric.median);
  };
  const std::optional<double> total = median("s");
  if (!total) return;
  struct Part {
    const char *metric, *en, *zh;
  };
  constexpr Part kParts[] = {{"open_s", "files", "打开文件"},
                             {"packed_s", "kept weights checked", "校验已打包权重"},
                             {"weights_s", "weights", "权重"},
                             {"engine_s", "engine", "引擎"},
                             {"tokenizer_s", "tokenizer beside", "分词器（并行）"},
                             {"first_token_s", "first token after", "之后首词元"}};
  std::string parts;
  for (const Part& part : kParts) {
    const std::optional<double> seconds = median(part.metric);
    if (seconds && *seconds >= 0.0005) {
      parts += fmt::format("{}{} {}", parts.empty() ? "" : tr(lang, ", ", "，"), tr(lang, part.en, part.zh),
                           seconds_text(*seconds));
    }
  }
  std::string text = seconds_text(*total);
  if (!parts.empty()) text += fmt::format("  ({})", parts);
  if (const auto start = median("start_s")) {
    text += trf(lang, "; program start to first token {}", "；从启动程序到首词元 {}", seconds_text(*start));
  }
  facts.push_back({std::move(name), std::move(text)});
}

void add_memory(const RunRecord& record, Lang lang, Facts& facts) {
  if (!record.memory) return;
  const MemoryRecord& m = *record.memory;
  std::string text = trf(lang, "weights {}, KV cache {}, scratch {}, peak resident {}",
                         "权重 {}，KV 缓存 {}，临时缓冲 {}，常驻峰值 {}", bytes_text(m.weight_bytes),
                         bytes_text(m.kv_bytes), bytes_text(m.scratch_bytes), bytes_text(m.peak_rss_bytes));
  if (m.device_bytes) text += trf(lang, ", on the device {}", "，设备内存 {}", bytes_text(*m.device_bytes));
  facts.push_back({std::string(tr(lang, "memory", "内存")), std::move(text)});
}

/// Of one that has joules.
std::string energy_text(const EnergyRecord& energy, Lang lang, Foreign foreign) {
  std::string text = fmt::format("{}: {:.2f} J", foreign(energy.phase), *energy.joules);
  if (energy.n_tokens > 0 && *energy.joules > 0) {
    const double per_token = *energy.joules / static_cast<double>(energy.n_tokens);
    text += trf(lang, ", {:.4g} J/token, {:.0f} tokens/kWh", "，{:.4g} 焦/词元，{:.0f} 词元/千瓦时",
                per_token, 3.6e6 / per_token);
  }
  if (energy.seconds > 0) text += fmt::format(", {:.1f} W", *energy.joules / energy.seconds);
  if (energy.busy_percent) text += trf(lang, ", {:.0f} % busy", "，利用率 {:.0f} %", *energy.busy_percent);
  if (energy.temperature_c) text += trf(lang, ", up to {:.0f} °C", "，最高 {:.0f} °C", *energy.temperature_c);
  if (energy.idle_watts) text += trf(lang, " (idle {:.1f} W)", "（空闲 {:.1f} W）", *energy.idle_watts);
  return text + fmt::format(" [{}]", foreign(energy.source));
}

/// Meters that are not there, which are most on most machines, share a line with their names.
void add_energy(const RunRecord& record, Lang lang, Foreign foreign, Facts& facts) {
  const std::string name(tr(lang, "energy", "能耗"));
  std::string missing;
  for (const EnergyRecord& energy : record.energy) {
    if (energy.joules) {
      facts.push_back({name, energy_text(energy, lang, foreign)});
    } else if (!energy.source.empty()) {
      facts.push_back({name, trf(lang, "{} [{}]: not available: {}", "{} [{}]：不可用：{}",
                                 foreign(energy.phase), foreign(energy.source), foreign(energy.why_not))});
    } else {
      missing += fmt::format("{}{}", missing.empty() ? "" : tr(lang, ", ", "、"),
                             foreign(energy.why_not.substr(0, energy.why_not.find(':'))));
    }
  }
  if (missing.empty()) return;
  facts.push_back({name, trf(lang, "not available here: {} (why: -o json)",
                             "本机不可用：{}（原因见 -o json）", missing)});
}

void add_stability(const RunRecord& record, Lang lang, Facts& facts) {
  if (!record.stability) return;
  const StabilityRecord& s = *record.stability;
  facts.push_back(
      {std::string(tr(lang, "soak", "稳定性")),
       trf(lang,
           "{} of {} repeats gave the same text; {} with NaN, {} ending in a loop, {} errors, {} crashes; "
           "memory grew by {}",
           "{}/{} 次重复文本一致；{} 次出现 NaN，{} 次陷入循环，{} 次出错，{} 次崩溃；内存增长 {}",
           s.n_same_text, s.n_repeats, s.n_nonfinite, s.n_loops, s.n_errors, s.n_crashes,
           bytes_text(s.rss_growth_bytes))});
}

Facts facts_of(const RunRecord& record, Lang lang, Foreign foreign) {
  Facts facts;
  const auto word = [lang](std::string_view en, std::string_view zh) {
    return std::string(tr(lang, en, zh));
  };
  if (!record.runner.name.empty() && record.device.device_kind != "cpu") {
    const std::string mark = device_mark(record, lang);
    facts.push_back({word("device", "设备"), foreign(record.device.name) +
                                                 (mark.empty() ? mark : trf(lang, " ({})", "（{}）", mark))});
    std::string runner = words_for(NameOf::kRunner, record.runner.name, lang);
    if (!record.runner.why_not_faster.empty())
      runner += fmt::format("{}{}", tr(lang, "; ", "；"), remark_words(record.runner.why_not_faster, lang));
    facts.push_back({word("runner", "执行方式"), foreign(runner)});
  }
  add_latency(record, "ttft_s", word("first token", "首词元"), facts);
  add_latency(record, "itl_s", word("between tokens", "词元间隔"), facts);
  add_latency(record, "e2e_s", word("whole request", "整个请求"), facts);
  const NamedMetric* en = find_metric(record, "decode_chars_per_s_en");
  const NamedMetric* zh = find_metric(record, "decode_chars_per_s_zh");
  if (en != nullptr && zh != nullptr) {
    facts.push_back({word("characters/s", "字符/秒"),
                     trf(lang, "English prose {}, Chinese prose {}", "英文散文 {}，中文散文 {}",
                         rate_text(en->metric.median), rate_text(zh->metric.median))});
  }
  add_load(record, "load_", word("load", "加载"), lang, facts);
  add_load(record, "load_cold_", word("load, cold", "冷加载"), lang, facts);
  add_load(record, "load_warm_", word("load, warm", "热加载"), lang, facts);
  add_memory(record, lang, facts);
  add_energy(record, lang, foreign, facts);
  if (record.fallback_rate && record.fallback_rate->by_calls > 0) {
    const FallbackRate& rate = *record.fallback_rate;
    facts.push_back(
        {word("fallback", "回退"),
         trf(lang, "{} of calls, {} of time, {} of kinds of op", "调用的 {}，时间的 {}，算子种类的 {}",
             percent_text(rate.by_calls), percent_text(rate.by_time), percent_text(rate.by_ops))});
  }
  add_stability(record, lang, facts);
  for (const RunWarning& warning : record.warnings) {
    facts.push_back({word("note", "注意"), foreign(warning_text(warning, lang))});
  }
  return facts;
}

std::string facts_text(const RunRecord& record, BenchFormat format, Lang lang, Foreign foreign) {
  const Facts facts = facts_of(record, lang, foreign);
  if (facts.empty()) return {};
  const bool is_markdown = format == BenchFormat::kMarkdown;
  std::string text = is_markdown ? fmt::format("\n**{}**\n\n", foreign(record.model.id))
                                 : fmt::format("\n{}\n", foreign(record.model.id));
  int width = 0;
  for (const Fact& fact : facts) width = std::max(width, display_width(fact.name));
  for (const Fact& fact : facts) {
    text += is_markdown ? fmt::format("- {}: {}\n", fact.name, fact.text)
                        : fmt::format("  {}  {}\n", pad_right(fact.name, width), fact.text);
  }
  if (record.ops.empty()) return text;
  const Table ops = ops_table(record, lang);
  text += "\n" + table_text(ops, format);
  if (is_markdown) return text;  // whose tables have their notes
  for (const std::string& note : ops.notes) text += fmt::format("  {}\n", note);
  return text;
}

// ---- JSON ----

OrderedJson interval_json(const Interval& interval) { return {interval.low, interval.high}; }

OrderedJson figures_json(const NamedMetric* named) {
  if (named == nullptr) return nullptr;
  const Metric& m = named->metric;
  return {{"unit", named->unit},
          {"n", m.samples.size()},
          {"n_warmup", named->n_warmup},
          {"mean", m.mean},
          {"std", m.std},
          {"median", m.median},
          {"p90", m.p90},
          {"p95", m.p95},
          {"p99", m.p99},
          {"range", interval_json(m.range)},
          {"ci95", m.ci95 ? interval_json(*m.ci95) : OrderedJson(nullptr)},
          {"samples", m.samples}};
}

OrderedJson energy_json(const EnergyRecord& e) {
  const auto or_null = [](const std::optional<double>& value) {
    return value ? OrderedJson(*value) : OrderedJson(nullptr);
  };
  OrderedJson json{{"source", e.source}, {"phase", e.phase}, {"joules", or_null(e.joules)}};
  json["seconds"] = e.seconds;
  json["n_tokens"] = e.n_tokens;
  const bool has_rate = e.joules && e.n_tokens > 0 && *e.joules > 0;
  const double per_token = has_rate ? *e.joules / static_cast<double>(e.n_tokens) : 0;
  json["joules_per_token"] = has_rate ? OrderedJson(per_token) : OrderedJson(nullptr);
  json["tokens_per_kwh"] = has_rate ? OrderedJson(3.6e6 / per_token) : OrderedJson(nullptr);
  json["idle_watts"] = or_null(e.idle_watts);
  json["busy_percent"] = or_null(e.busy_percent);
  json["temperature_c"] = or_null(e.temperature_c);
  json["why_not"] = e.why_not;
  return json;
}

/// What the whole record's JSON has under this key, so that it is told in one way only.
void take_from(const OrderedJson& whole, const char* key, OrderedJson& json) {
  const auto found = whole.find(key);
  if (found != whole.end()) json[key] = *found;
}

}  // namespace

OrderedJson bench_json(const RunRecord& record) {
  const std::vector<BenchTest> tests = tests_of(record);
  const auto first = [&](TestKind kind) {
    const auto found =
        std::find_if(tests.begin(), tests.end(), [kind](const BenchTest& test) { return test.kind == kind; });
    return found == tests.end() ? BenchTest{} : *found;
  };
  OrderedJson json;
  json["model"] = record.model.id;
  json["is_synthetic"] = record.model.is_synthetic;
  json["format"] = record.model.weights;
  for (const char* key : {"precision", "kv_dtype", "device"}) json[key] = setting_text(record, key);
  json["device_kind"] = record.device.device_kind;
  json["device_name"] = record.device.name;
  json["isa"] = record.device.path;
  json["runner"] = record.runner.name;
  json["why_not_faster"] = record.runner.why_not_faster;
  json["threads"] = record.device.n_threads;
  json["n_prompt"] = first(TestKind::kPrefill).n_prompt;
  json["n_gen"] = first(TestKind::kDecode).n_gen;
  json["depth"] = tests.empty() ? 0 : tests[0].depth;
  const auto n_repeats = record.settings.find("n_repeats");
  json["repeats"] = n_repeats == record.settings.end() ? OrderedJson(nullptr) : *n_repeats;
  for (const char* name :
       {"prefill_tokens_per_s", "decode_tokens_per_s", "speculative_decode_tokens_per_s"}) {
    json[name] = figures_json(find_metric(record, name));
  }
  json["batched"] = OrderedJson::array();
  for (const BenchTest& test : tests) {
    if (test.at.find(",b=") == std::string::npos) continue;
    json["batched"].push_back(
        {{"n_sequences", test.n_sequences},
         {"decode_tokens_per_s", figures_json(find_metric(record, "decode_tokens_per_s" + test.at))}});
  }
  json["load_s"] = record.summary.load_s;
  json["weight_bytes"] = record.device.weight_bytes;
  json["kv_bytes"] = record.summary.kv_bytes;
  json["peak_rss_bytes"] = record.summary.peak_rss_bytes;
  json["warnings"] = to_json(record.warnings);
  json["metrics"] = OrderedJson::object();
  for (const NamedMetric& named : record.metrics) json["metrics"][named.name] = figures_json(&named);
  json["energy"] = OrderedJson::array();
  for (const EnergyRecord& energy : record.energy) json["energy"].push_back(energy_json(energy));
  const OrderedJson whole = to_json(record);
  for (const char* key : {"memory", "ops", "fallback_rate", "stability", "fallbacks", "counts", "settings",
                          "machine", "build"}) {
    take_from(whole, key, json);
  }
  json["started_at"] = record.summary.started_at;
  json["ended_at"] = record.summary.ended_at;
  return json;
}

std::string bench_table(const std::vector<RunRecord>& records, BenchFormat format, Lang lang) {
  const Foreign foreign = format == BenchFormat::kMarkdown ? markdown_inline : strip_controls;
  std::string text = table_text(test_table(records, lang), format);
  for (const RunRecord& record : records) text += facts_text(record, format, lang, foreign);
  return text;
}

}  // namespace chaski
