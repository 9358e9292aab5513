#include "lab/bench_metrics.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <map>
#include <utility>

#include "base/error.h"
#include "lab/bench_prompts.h"
#include "machine/cpu_clock.h"
#include "report/warnings.h"

namespace chaski {
namespace {

constexpr double kMostDrift = 0.05;
/// Weights below this live in caches, and shares of what memory gives would say nothing.
constexpr uint64_t kLeastWeightBytes = 16u << 20;
constexpr int kPeakRepeats = 5;
constexpr double kMultiplySeconds = 0.01;

/// What a token's products and norms read and compute, on the device that holds the weights.
struct TokenWork {
  int64_t weight_bytes = 0;
  std::map<std::string_view, int64_t> multiplications;  ///< by arithmetic; of all products but the head's
};

TokenWork token_work(const BenchSubject& subject) {
  TokenWork work;
  const LlamaModel& model = subject.model;
  const auto read = [&](WeightId id) { work.weight_bytes += subject.device.held(id).bytes; };
  const auto multiply = [&](WeightId id) {
    read(id);
    const WeightSource& weight = subject.ops.weight(id);
    work.multiplications[subject.device.held(id).arithmetic] += weight.n_rows() * weight.n_cols();
  };
  for (const LlamaLayer& layer : model.layers) {
    read(layer.qkv.norm);
    read(layer.ffn_in.norm);
    for (const WeightId id : {layer.qkv.q, layer.qkv.k, layer.qkv.v, layer.attn_out, layer.ffn_in.gate,
                              layer.ffn_in.up, layer.ffn_out})
      multiply(id);
  }
  read(model.final_norm);
  read(model.head);
  work.weight_bytes += subject.device.held(model.embed).bytes / model.config.vocab;  // its row of the table
  return work;
}

/// The probe's forms that such products can be computed in.
std::vector<std::string_view> forms_of(std::string_view arithmetic) {
  if (arithmetic == "f32") return {"fma_f32"};
  if (arithmetic == "bf16") return {"bf16_dot"};
  if (arithmetic == "int16") return {"int16_madd"};
  if (arithmetic == "int8") return {"int8", "int8_deferred"};
  return {};
}

Metric metric_of(const PeakRate& rate) { return summarize(rate.rates); }

MachinePeaks peaks_of(const PeakRates& rates, std::string_view arithmetic) {
  MachinePeaks peaks{metric_of(rates.read), std::nullopt, rates.read.path, "", ""};
  const std::vector<std::string_view> forms = forms_of(arithmetic);
  std::vector<PeakRate> fitting;
  std::copy_if(
      rates.multiplying.begin(), rates.multiplying.end(), std::back_inserter(fitting),
      [&](const PeakRate& rate) { return std::find(forms.begin(), forms.end(), rate.what) != forms.end(); });
  if (const PeakRate* best = best_of(fitting)) {
    peaks.gop_per_s = metric_of(*best);
    peaks.gop_what = best->what;
    peaks.gop_path = best->path;
  }
  return peaks;
}

/// Metrics in order, each name once: the first that comes has it.
class Metrics {
 public:
  void add(const std::string& name, std::string unit, bool is_higher_better, int64_t n_warmup,
           std::vector<double> samples) {
    if (samples.empty() || has(name)) return;
    all_.push_back(named_metric(name, std::move(unit), is_higher_better, n_warmup, std::move(samples)));
  }
  void add_gaps(const std::string& name, int64_t n_warmup, std::vector<double> gaps) {
    if (gaps.empty() || has(name)) return;
    all_.push_back({name, "s", false, n_warmup, summarize_gaps(std::move(gaps))});
  }
  std::vector<NamedMetric> take() { return std::move(all_); }

 private:
  bool has(const std::string& name) const {
    return std::any_of(all_.begin(), all_.end(),
                       [&](const NamedMetric& other) { return other.name == name; });
  }

  std::vector<NamedMetric> all_;
};

std::vector<double> each(const TestSamples& test, const std::function<double(const BenchSample&)>& value) {
  std::vector<double> values;
  for (const BenchSample& sample : test.samples) values.push_back(value(sample));
  return values;
}

/// Bytes that a decode step of the test reads in the mean.
double bytes_per_token(const BenchTest& test, const BenchBasis& basis) {
  const double position = static_cast<double>(test.depth) + static_cast<double>(test.n_gen) / 2;
  return static_cast<double>(basis.weight_bytes_per_token) +
         position * static_cast<double>(basis.kv_bytes_per_position);
}

/// Operations that a prompt token of the test needs in the mean.
double ops_per_token(const BenchTest& test, const BenchBasis& basis) {
  const double position = static_cast<double>(test.depth) + static_cast<double>(test.n_prompt) / 2;
  return static_cast<double>(basis.ops_per_token) +
         position * static_cast<double>(basis.attention_ops_per_position);
}

void add_rates(const TestSamples& test, const BenchBasis& basis, Metrics& metrics) {
  const BenchTest& t = test.test;
  const auto add = [&](const char* name, const char* unit, const std::function<double(double)>& of_rate) {
    metrics.add(name + t.at, unit, true, test.n_warmup,
                each(test, [&](const BenchSample& sample) { return of_rate(sample.tokens_per_s()); }));
  };
  const auto same = [](double rate) { return rate; };
  switch (t.kind) {
    case TestKind::kPrefill:
      add("prefill_tokens_per_s", "tokens/s", same);
      if (basis.peaks && basis.peaks->gop_per_s) {
        add("arithmetic_share", "", [&](double rate) {
          return rate * ops_per_token(t, basis) / 1e9 / basis.peaks->gop_per_s->range.high;
        });
      }
      break;
    case TestKind::kDecode:
      add("decode_tokens_per_s", "tokens/s", same);
      if (t.n_sequences > 1) break;  // one pass over the weights then serves several tokens
      add("decode_chars_per_s_en", "characters/s",
          [&](double rate) { return rate * basis.chars_per_token_en; });
      add("decode_chars_per_s_zh", "characters/s",
          [&](double rate) { return rate * basis.chars_per_token_zh; });
      if (basis.peaks) {
        add("bandwidth_share", "", [&](double rate) {
          return rate * bytes_per_token(t, basis) / 1e9 / basis.peaks->read_gb_per_s.range.high;
        });
      }
      break;
    case TestKind::kSpeculative:
      add("speculative_decode_tokens_per_s", "tokens/s", same);
      break;
    case TestKind::kRequest:
      add("overall_tokens_per_s", "tokens/s", same);
      break;
  }
}

void add_latencies(const TestSamples& test, Metrics& metrics) {
  const BenchTest& t = test.test;
  std::vector<double> first, gaps, means;
  for (const BenchSample& sample : test.samples) {
    if (sample.ttft_s) first.push_back(*sample.ttft_s);
    if (sample.itl_s.empty()) continue;
    double sum = 0;
    for (const double gap : sample.itl_s) sum += gap;
    means.push_back(sum / static_cast<double>(sample.itl_s.size()));
    gaps.insert(gaps.end(), sample.itl_s.begin(), sample.itl_s.end());
  }
  metrics.add("ttft_s" + t.at, "s", false, test.n_warmup, std::move(first));
  metrics.add("tpot_s" + t.at, "s", false, test.n_warmup, std::move(means));
  metrics.add_gaps("itl_s" + t.at, test.n_warmup, std::move(gaps));
  if (t.kind != TestKind::kRequest) return;
  metrics.add("e2e_s" + t.at, "s", false, test.n_warmup,
              each(test, [](const BenchSample& sample) { return sample.seconds; }));
}

bool is_share(const NamedMetric& metric) { return metric.unit.empty(); }
bool is_impossible(const NamedMetric& metric) { return is_share(metric) && metric.metric.median > 1; }

}  // namespace

std::optional<PeakRates> measure_peaks(const Checkpoint& checkpoint, int n_threads) {
  if (checkpoint.weight_bytes() < kLeastWeightBytes) return std::nullopt;
  const int64_t free_bytes = available_memory_bytes().value_or(int64_t{1} << 30);
  const int64_t wanted = std::clamp(2 * last_cache_bytes(), int64_t{64} << 20, int64_t{1} << 30);
  const auto n_bytes = static_cast<size_t>(std::max(std::min(wanted, free_bytes / 4), int64_t{1} << 20));
  const std::vector<PeakRate> reading = reading_rates({n_threads}, n_bytes, kPeakRepeats);
  const PeakRate* read = best_of(reading);
  if (read == nullptr) return std::nullopt;
  return PeakRates{*read, multiplying_rates({n_threads}, {}, kPeakRepeats, kMultiplySeconds)};
}

BenchBasis bench_basis(const BenchSubject& subject, const std::optional<PeakRates>& rates) {
  const ModelConfig& c = subject.model.config;
  const KvLayout layout = subject.device.kv_layout(c);
  BenchBasis basis;
  basis.chars_per_token_en = chars_per_token(subject.tokenizer, Lang::kEn);
  basis.chars_per_token_zh = chars_per_token(subject.tokenizer, Lang::kZh);
  const TokenWork work = token_work(subject);
  basis.weight_bytes_per_token = work.weight_bytes;
  basis.kv_bytes_per_position = 2 * c.n_layers * row_bytes(layout.dtype, int64_t{c.n_kv_heads} * c.head_dim);
  // The table of embeddings is looked up, and the head has one row for a whole prompt.
  const int64_t table = c.vocab * c.hidden * (c.tie_embeddings ? 1 : 2);
  basis.ops_per_token = 2 * (c.n_parameters() - table);
  basis.attention_ops_per_position = 4 * c.n_layers * c.n_heads * c.head_dim;
  const auto most = std::max_element(work.multiplications.begin(), work.multiplications.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  if (rates && most != work.multiplications.end()) basis.peaks = peaks_of(*rates, most->first);
  return basis;
}

NamedMetric named_metric(std::string name, std::string unit, bool is_higher_better, int64_t n_warmup,
                         std::vector<double> samples) {
  NamedMetric metric;
  metric.name = std::move(name);
  metric.unit = std::move(unit);
  metric.is_higher_better = is_higher_better;
  metric.n_warmup = n_warmup;
  metric.metric = summarize(std::move(samples));
  return metric;
}

std::vector<NamedMetric> bench_metrics(const std::vector<TestSamples>& tests, const BenchBasis& basis) {
  Metrics metrics;
  for (const TestSamples& test : tests) add_rates(test, basis, metrics);
  for (const bool is_request : {true, false}) {
    for (const TestSamples& test : tests) {
      if ((test.test.kind == TestKind::kRequest) == is_request) add_latencies(test, metrics);
    }
  }
  if (basis.peaks) {
    metrics.add("read_bandwidth_gb_per_s", "GB/s", true, 0, basis.peaks->read_gb_per_s.samples);
    if (basis.peaks->gop_per_s) {
      metrics.add("arithmetic_gop_per_s", "GOP/s", true, 0, basis.peaks->gop_per_s->samples);
    }
  }
  return metrics.take();
}

std::optional<double> drift_of(const std::vector<double>& samples) {
  if (samples.size() < 6) return std::nullopt;
  const auto third = static_cast<std::ptrdiff_t>(samples.size() / 3);
  const double first = summarize({samples.begin(), samples.begin() + third}).median;
  const double last = summarize({samples.end() - third, samples.end()}).median;
  if (first == 0) return std::nullopt;
  return last / first - 1;
}

std::vector<RunWarning> drift_warnings(const std::vector<NamedMetric>& metrics) {
  std::string which;
  for (const NamedMetric& named : metrics) {
    if (named.unit != "tokens/s") continue;
    const std::optional<double> drift = drift_of(named.metric.samples);
    if (!drift || std::abs(*drift) <= kMostDrift) continue;
    which += fmt::format("{}{} {:+.1f} %", which.empty() ? "" : ", ", named.name, 100 * *drift);
  }
  if (which.empty()) return {};
  RunWarning warning = make_warning("drift");
  warning.message += " " + which;
  return {std::move(warning)};
}

OrderedJson tests_json(const std::vector<BenchTest>& tests) {
  OrderedJson json = OrderedJson::array();
  for (const BenchTest& test : tests) {
    json.push_back({{"kind", name_of(test.kind)},
                    {"n_prompt", test.n_prompt},
                    {"n_gen", test.n_gen},
                    {"depth", test.depth},
                    {"n_sequences", test.n_sequences},
                    {"at", test.at}});
  }
  return json;
}

std::vector<BenchTest> tests_of(const RunRecord& record) {
  const auto found = record.settings.find("tests");
  if (found == record.settings.end()) return {};
  constexpr std::string_view kWhere = "settings.tests";
  const auto wrong = [&](std::string_view what) {
    return Error(ErrorCode::kCorrupt, "read record", fmt::format("{}: {}", kWhere, what));
  };
  if (!found->is_array()) throw wrong("expected a list");
  std::vector<BenchTest> tests;
  for (const auto& entry : *found) {
    if (!entry.is_object()) throw wrong("expected objects");
    const Json object = Json::parse(entry.dump(), nullptr, false);
    BenchTest test;
    const std::string kind = get_string(object, "kind", "", kWhere);
    bool is_known = false;
    for (const TestKind known :
         {TestKind::kPrefill, TestKind::kDecode, TestKind::kRequest, TestKind::kSpeculative}) {
      if (kind != name_of(known)) continue;
      test.kind = known;
      is_known = true;
    }
    if (!is_known) continue;  // of a later version
    test.n_prompt = get_int(object, "n_prompt", 0, kWhere);
    test.n_gen = get_int(object, "n_gen", 0, kWhere);
    test.depth = get_int(object, "depth", 0, kWhere);
    test.n_sequences =
        static_cast<int32_t>(std::clamp<int64_t>(get_int(object, "n_sequences", 1, kWhere), 1, 1 << 20));
    test.at = get_string(object, "at", "", kWhere);
    tests.push_back(std::move(test));
  }
  return tests;
}

void fill_bench_record(const BenchRun& run, const BenchPlan& plan, const BenchBasis& basis,
                       RunRecord& record) {
  std::vector<BenchTest> tests;
  for (const TestSamples& test : run.tests) {
    if (!test.samples.empty()) tests.push_back(test.test);
  }
  record.kind = "bench";
  record.settings["n_repeats"] = plan.n_repeats;
  record.settings["tests"] = tests_json(tests);
  record.settings["chars_per_token"] = {{"en", basis.chars_per_token_en}, {"zh", basis.chars_per_token_zh}};
  if (basis.peaks) {
    record.settings["peaks"] = {{"read_path", basis.peaks->read_path},
                                {"arithmetic", basis.peaks->gop_what},
                                {"arithmetic_path", basis.peaks->gop_path}};
  }
  std::vector<NamedMetric> metrics = bench_metrics(run.tests, basis);
  if (std::any_of(metrics.begin(), metrics.end(), is_impossible)) {
    metrics.erase(std::remove_if(metrics.begin(), metrics.end(), is_share), metrics.end());
    record.warnings.push_back(make_warning("peaks_disturbed"));
  }
  for (NamedMetric& metric : metrics) record.metrics.push_back(std::move(metric));
  for (RunWarning& warning : drift_warnings(record.metrics)) record.warnings.push_back(std::move(warning));
  record.runner = {run.runner, run.why_not_faster};
  MemoryRecord memory = record.memory.value_or(MemoryRecord{});
  memory.weight_bytes = record.device.weight_bytes;
  memory.kv_bytes = run.kv_bytes;
  memory.scratch_bytes = run.scratch_bytes;
  record.memory = memory;
  record.summary.kv_bytes = run.kv_bytes;
}

std::string setting_text(const RunRecord& record, const char* key) {
  const auto found = record.settings.find(key);
  return found != record.settings.end() && found->is_string() ? found->get<std::string>() : std::string();
}

const NamedMetric* find_metric(const RunRecord& record, std::string_view name) {
  const auto found = std::find_if(record.metrics.begin(), record.metrics.end(),
                                  [&](const NamedMetric& metric) { return metric.name == name; });
  return found == record.metrics.end() ? nullptr : &*found;
}

}  // namespace chaski
