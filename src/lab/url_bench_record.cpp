#include "lab/url_bench_record.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/files.h"
#include "lab/bench_metrics.h"
#include "report/names.h"
#include "report/table.h"
#include "report/text_safety.h"
#include "report/warnings.h"

namespace chaski {
namespace {

/// The samples of all requests that were answered.
struct Samples {
  std::vector<double> ttft_s, tpot_s, inter_chunk_s, e2e_s, prefill, decode, overall, characters;
  std::vector<double> prompt_tokens, answer_tokens, first_chunk_tokens;
  double n_tokens = 0, n_gaps = 0, gaps_s = 0;

  void add(const StreamedAnswer& answer) {
    const auto n = static_cast<double>(answer.n_tokens);
    const double first_s = answer.chunk_s.front(), last_s = answer.chunk_s.back();
    ttft_s.push_back(first_s);
    e2e_s.push_back(answer.end_s);
    for (size_t i = 1; i < answer.chunk_s.size(); ++i) {
      inter_chunk_s.push_back(answer.chunk_s[i] - answer.chunk_s[i - 1]);
    }
    answer_tokens.push_back(n);
    n_tokens += n;
    first_chunk_tokens.push_back(static_cast<double>(answer.n_first_chunk_tokens));
    if (answer.end_s > 0) overall.push_back(n / answer.end_s);
    if (answer.n_prompt_tokens > 0) {
      prompt_tokens.push_back(static_cast<double>(answer.n_prompt_tokens));
      if (first_s > 0) prefill.push_back(prompt_tokens.back() / first_s);
    }
    const auto tpot = answer.tpot_s();
    if (!tpot || *tpot <= 0) return;
    tpot_s.push_back(*tpot);
    decode.push_back(1 / *tpot);
    characters.push_back(static_cast<double>(answer.n_characters - answer.n_first_chunk_characters) /
                         (last_s - first_s));
    gaps_s += last_s - first_s;
    n_gaps += static_cast<double>(answer.n_tokens - answer.n_first_chunk_tokens);
  }
};

void add_metrics(const Samples& s, const UrlBenchRun& run, int64_t n_warmup, RunRecord& record) {
  const auto add = [&](const char* name, const char* unit, bool is_higher_better,
                       std::vector<double> samples) {
    if (samples.empty()) return;
    record.metrics.push_back(named_metric(name, unit, is_higher_better, n_warmup, std::move(samples)));
  };
  add("ttft_s", "s", false, s.ttft_s);
  add("tpot_s", "s", false, s.tpot_s);
  if (!s.inter_chunk_s.empty()) {
    record.metrics.push_back({"inter_chunk_s", "s", false, n_warmup, summarize_gaps(s.inter_chunk_s)});
  }
  add("e2e_s", "s", false, s.e2e_s);
  add("prefill_tokens_per_s", "tokens/s", true, s.prefill);
  add("decode_tokens_per_s", "tokens/s", true, s.decode);
  add("overall_tokens_per_s", "tokens/s", true, s.overall);
  add("characters_per_s", "characters/s", true, s.characters);
  if (run.seconds > 0 && !s.e2e_s.empty()) {
    add("throughput_tokens_per_s", "tokens/s", true, {s.n_tokens / run.seconds});
    add("requests_per_s", "requests/s", true, {static_cast<double>(s.e2e_s.size()) / run.seconds});
  }
  add("prompt_tokens", "tokens", false, s.prompt_tokens);
  add("answer_tokens", "tokens", false, s.answer_tokens);
  add("first_chunk_tokens", "tokens", false, s.first_chunk_tokens);
}

void fill_summary(const Samples& s, RunSummary& summary) {
  const auto sum = [](const std::vector<double>& values) {
    double total = 0;
    for (const double value : values) total += value;
    return total;
  };
  const auto n = static_cast<double>(s.e2e_s.size());
  summary.n_answers = static_cast<int64_t>(s.e2e_s.size());
  summary.total_s = sum(s.e2e_s);
  summary.n_prompt_tokens = static_cast<int64_t>(sum(s.prompt_tokens));
  summary.n_tokens = static_cast<int64_t>(s.n_tokens);
  if (n == 0) return;
  summary.mean_s = summary.total_s / n;
  summary.mean_ttft_s = sum(s.ttft_s) / n;
  if (s.gaps_s <= 0) return;
  summary.tpot_s = s.gaps_s / s.n_gaps;
  summary.decode_tokens_per_s = s.n_gaps / s.gaps_s;
}

/// "usage", "chunks" or "mixed": what tells the tokens of the answers.
std::string_view token_source(size_t n_with_usage, size_t n_answers) {
  if (n_with_usage == n_answers) return "usage";
  return n_with_usage == 0 ? "chunks" : "mixed";
}

OrderedJson settings_of(const UrlBenchPlan& plan, const UrlBenchRun& run) {
  OrderedJson settings;
  settings["device"] = "url";
  settings["url"] = run.endpoint;
  settings["api"] = run.is_chat ? "chat" : "completions";
  settings["n_prompt"] = plan.n_prompt;
  settings["n_gen"] = plan.n_gen;
  settings["n_repeats"] = plan.n_repeats;
  settings["concurrency"] = plan.concurrency;
  settings["n_requests"] = run.requests.size();
  settings["temperature"] = 0;
  settings["per_chunk_usage"] = plan.asks_chunk_usage;
  settings["prompt"] = plan.prompt.empty() ? "words" : "given";
  if (!plan.prompt.empty()) {
    settings.erase("n_prompt");
    settings["prompt_sha256"] = sha256_of(plan.prompt);
  }
  return settings;
}

int64_t count_setting(const RunRecord& record, const char* key) {
  const auto found = record.settings.find(key);
  return found != record.settings.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

// ---- words and numbers for people ----

/// The metric's name, with its unit where the values are shown without.
std::string label_of(const NamedMetric& named, Lang lang) {
  const bool has_unit = named.unit == "s" || named.unit == "tokens";
  return has_unit ? words_for(NameOf::kMetric, named.name, lang) : metric_words(named, lang);
}

std::string value_text(double value, const std::string& unit) {
  if (unit == "s") return value < 1 ? fmt::format("{:.2f} ms", value * 1000) : fmt::format("{:.3f} s", value);
  if (unit == "tokens") return fmt::format("{:g}", value);
  return fmt::format("{:.{}f}", value, value < 100 ? 2 : 1);
}

Table metric_table(const RunRecord& record, Lang lang) {
  Table table;
  const auto title = [lang](std::string_view en, std::string_view zh) {
    return std::string(tr(lang, en, zh));
  };
  table.columns = {title("figure", "指标"),
                   "n",
                   title("median", "中位数"),
                   title("95 % interval", "95% 区间"),
                   title("mean", "均值"),
                   "p90",
                   "p99",
                   title("low – high", "最低 – 最高")};
  table.align = "lrrrrrrr";
  for (const NamedMetric& named : record.metrics) {
    const Metric& m = named.metric;
    const auto text = [&](double value) { return value_text(value, named.unit); };
    const auto span = [&](const Interval& i) { return text(i.low) + " – " + text(i.high); };
    const bool is_one = m.samples.size() == 1;
    table.add({label_of(named, lang), std::to_string(m.samples.size()), text(m.median),
               m.ci95 ? span(*m.ci95) : "–", is_one ? "–" : text(m.mean), is_one ? "–" : text(m.p90),
               is_one ? "–" : text(m.p99), is_one ? "–" : span(m.range)});
  }
  return table;
}

/// Each message of the failures once, with how often it came.
std::vector<std::string> failure_lines(const RunRecord& record, Lang lang) {
  constexpr size_t kMostShown = 5;
  std::map<std::string, int64_t> counts;
  for (const FailureRecord& failure : record.failures) ++counts[failure.message];
  std::vector<std::pair<std::string, int64_t>> sorted(counts.begin(), counts.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::vector<std::string> lines;
  for (const auto& [message, n] : sorted) {
    if (lines.size() == kMostShown) {
      lines.push_back(
          trf(lang, "… and {} more kinds of failure", "……另有 {} 种失败", sorted.size() - kMostShown));
      break;
    }
    lines.push_back(trf(lang, "failed ×{}: {}", "失败 ×{}：{}", n, message));
  }
  return lines;
}

}  // namespace

RunRecord url_bench_record(const UrlBenchPlan& plan, const UrlBenchRun& run) {
  RunRecord record;
  record.kind = "bench";
  record.model.id = run.model;
  record.device.name = run.endpoint;
  record.device.device_kind = "url";
  record.settings = settings_of(plan, run);
  Samples samples;
  size_t n_with_usage = 0;
  bool has_estimates = false;
  for (const UrlRequest& request : run.requests) {
    if (const auto& failure = request.answer.failure) {
      record.failures.push_back(
          {fmt::format("request {}", request.index), 0, failure->code, failure->message});
      continue;
    }
    n_with_usage += request.answer.has_usage ? 1 : 0;
    has_estimates = has_estimates || request.answer.is_first_chunk_estimated;
    samples.add(request.answer);
  }
  const size_t n_answers = samples.e2e_s.size();
  record.settings["n_failed"] = record.failures.size();
  record.settings["token_counts"] = token_source(n_with_usage, n_answers);
  int64_t n_warmup = 0;
  for (const UrlRequest& request : run.warmups) {
    ++n_warmup;
    if (const auto& failure = request.answer.failure) {
      record.failures.push_back(
          {fmt::format("warm-up {}", n_warmup - 1), 0, failure->code, failure->message});
    }
  }
  add_metrics(samples, run, n_warmup, record);
  fill_summary(samples, record.summary);
  if (run.seconds > 0) record.summary.wall_s = run.seconds;
  const auto warn_if = [&](bool condition, const char* code) {
    if (condition) record.warnings.push_back(make_warning(code));
  };
  warn_if(n_answers < run.requests.size(), "failed_requests");
  warn_if(n_with_usage < n_answers, "chunks_counted");
  warn_if(has_estimates, "first_chunk_estimated");
  warn_if(!plan.prompt.empty() && run.requests.size() > 1, "same_prompt");
  return record;
}

OrderedJson url_bench_json(const RunRecord& record) {
  OrderedJson whole = to_json(record);
  OrderedJson json;
  json["model"] = record.model.id;
  json["device"] = "url";
  json["device_kind"] = record.device.device_kind;
  json["device_name"] = record.device.name;
  json["threads"] = nullptr;
  for (const auto& [key, value] : record.settings.items()) {
    if (key != "device") json[key] = value;
  }
  for (const char* key : {"prefill_tokens_per_s", "decode_tokens_per_s"}) {
    const auto& metrics = whole["metrics"];
    json[key] = metrics.contains(key) ? metrics[key] : OrderedJson(nullptr);
  }
  for (const char* key : {"metrics", "failures", "warnings", "machine", "build"})
    json[key] = std::move(whole[key]);
  json["started_at"] = record.summary.started_at;
  json["ended_at"] = record.summary.ended_at;
  return json;
}

std::string url_bench_csv(const RunRecord& record) {
  std::string text =
      "model,url,api,concurrency,n_gen,n_requests,n_failed,token_counts,metric,unit,n_samples,mean,std,"
      "median,p90,"
      "p95,p99,low,high,ci95_low,ci95_high\n";
  const auto always_quoted = [](const std::string& cell) { return csv_cell(cell, CsvQuotes::kAlways); };
  const std::string begin = fmt::format(
      "{},{},{},{},{},{},{},{}", always_quoted(record.model.id), always_quoted(setting_text(record, "url")),
      csv_cell(setting_text(record, "api")), count_setting(record, "concurrency"),
      count_setting(record, "n_gen"), count_setting(record, "n_requests"), count_setting(record, "n_failed"),
      csv_cell(setting_text(record, "token_counts")));
  for (const NamedMetric& named : record.metrics) {
    const Metric& m = named.metric;
    text += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{}\n", begin, named.name, named.unit,
                        m.samples.size(), m.mean, m.std, m.median, m.p90, m.p95, m.p99, m.range.low,
                        m.range.high, m.ci95 ? fmt::format("{},{}", m.ci95->low, m.ci95->high) : ",");
  }
  return text;
}

std::string url_bench_table(const RunRecord& record, bool is_markdown, Lang lang) {
  const auto foreign = [&](const std::string& text) {
    return is_markdown ? markdown_inline(text) : strip_controls(text);
  };
  const int64_t n_requests = count_setting(record, "n_requests"),
                n_failed = count_setting(record, "n_failed");
  const int64_t concurrency = count_setting(record, "concurrency");
  const std::string end = is_markdown ? "\n\n" : "\n";
  std::string text =
      trf(lang, "{} at {}", "{}，{}", foreign(record.model.id), foreign(record.device.name)) + end;
  text += trf(lang, "{} requests, {} at a time: {} answered, {} failed",
              "{} 个请求，并发 {}：{} 个有回答，{} 个失败", n_requests, concurrency, n_requests - n_failed,
              n_failed) +
          end;
  if (!record.metrics.empty()) {
    const Table table = metric_table(record, lang);
    text += is_markdown ? markdown_table(table) + "\n" : terminal_table(table);
  }
  for (const std::string& line : failure_lines(record, lang)) text += foreign(line) + end;
  for (const RunWarning& warning : record.warnings) {
    text += fmt::format("{} {}", tr(lang, "note:", "注意："), foreign(warning_text(warning, lang))) + end;
  }
  return text;
}

}  // namespace chaski
