// The record as JSON: what is written. run_record_read.cpp reads it.
#include "report/run_record.h"

namespace chaski {
namespace {

OrderedJson number_or_null(const std::optional<double>& value) {
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

OrderedJson text_or_null(const std::string& text) {
  return text.empty() ? OrderedJson(nullptr) : OrderedJson(text);
}

/// A list with what `make` says of each entry.
template <typename T, typename Make>
OrderedJson list_json(const std::vector<T>& entries, Make make) {
  OrderedJson list = OrderedJson::array();
  for (const T& entry : entries) list.push_back(make(entry));
  return list;
}

OrderedJson machine_json(const MachineFacts& m) {
  return {{"cpu", m.cpu},
          {"n_cores", m.n_cores},
          {"memory_bytes", m.memory_bytes},
          {"arch", m.arch},
          {"os", m.os},
          {"kernel", m.kernel},
          {"governor", text_or_null(m.governor)},
          {"accelerator", text_or_null(m.accelerator)},
          {"driver", text_or_null(m.driver)}};
}

OrderedJson model_json(const ModelFacts& m) {
  OrderedJson json;
  json["id"] = m.id;
  json["path"] = m.path;
  json["hash"] = m.hash;
  json["format"] = m.format;
  json["weights"] = m.weights;
  json["parameters"] = m.n_parameters;
  json["weight_bytes"] = m.weight_bytes;
  json["template_hash"] = text_or_null(m.template_hash);
  json["date_string"] = text_or_null(m.date_string);
  json["is_synthetic"] = m.is_synthetic;
  json["lora"] = text_or_null(m.lora);
  return json;
}

OrderedJson component_json(const ScoreComponent& c) {
  return {{"name", c.name}, {"weight", c.weight}, {"value", c.value}, {"evidence", c.evidence}};
}

OrderedJson adjustment_json(const ScoreAdjustment& a) {
  return {{"name", a.name}, {"is_cap", a.is_cap}, {"points", a.points}, {"evidence", a.evidence}};
}

OrderedJson score_json(const ScoreRecord& s) {
  OrderedJson json;
  json["id"] = s.id;
  json["sample"] = s.sample;
  json["scorer"] = s.scorer;
  json["status"] = s.status;
  json["score"] = s.score ? OrderedJson(*s.score) : OrderedJson(nullptr);
  json["raw"] = s.raw;
  json["is_correct"] = s.is_correct ? OrderedJson(*s.is_correct) : OrderedJson(nullptr);
  json["components"] = list_json(s.components, component_json);
  json["adjustments"] = list_json(s.adjustments, adjustment_json);
  json["note"] = text_or_null(s.note);
  return json;
}

OrderedJson metric_json(const NamedMetric& named) {
  const Metric& m = named.metric;
  OrderedJson json;
  json["unit"] = named.unit;
  json["higher_is_better"] = named.is_higher_better;
  json["n"] = m.samples.size();
  json["n_warmup"] = named.n_warmup;
  json["mean"] = m.mean;
  json["std"] = m.std;
  json["median"] = m.median;
  json["p90"] = m.p90;
  json["p95"] = m.p95;
  json["p99"] = m.p99;
  json["min"] = m.range.low;
  json["max"] = m.range.high;
  json["ci95"] = m.ci95 ? OrderedJson::array({m.ci95->low, m.ci95->high}) : OrderedJson(nullptr);
  json["samples"] = m.samples;
  return json;
}

OrderedJson metrics_json(const std::vector<NamedMetric>& metrics) {
  OrderedJson json = OrderedJson::object();
  for (const NamedMetric& named : metrics) {
    CHECK(!json.contains(named.name), "the metric {} stands twice in a record", named.name);
    json[named.name] = metric_json(named);
  }
  return json;
}

OrderedJson result_json(const TaskResult& r) {
  return {{"task", r.task},
          {"metric", r.metric},
          {"value", r.value},
          {"standard_error", number_or_null(r.standard_error)},
          {"n", r.n}};
}

OrderedJson energy_json(const EnergyRecord& e) {
  return {{"source", e.source},
          {"phase", e.phase},
          {"joules", number_or_null(e.joules)},
          {"seconds", e.seconds},
          {"n_tokens", e.n_tokens},
          {"idle_watts", number_or_null(e.idle_watts)},
          {"why_not", text_or_null(e.why_not)},
          {"busy_percent", number_or_null(e.busy_percent)},
          {"temperature_c", number_or_null(e.temperature_c)}};
}

OrderedJson memory_json(const std::optional<MemoryRecord>& m) {
  if (!m) return nullptr;
  return {{"weight_bytes", m->weight_bytes},
          {"kv_bytes", m->kv_bytes},
          {"scratch_bytes", m->scratch_bytes},
          {"peak_rss_bytes", m->peak_rss_bytes},
          {"device_bytes", m->device_bytes ? OrderedJson(*m->device_bytes) : OrderedJson(nullptr)}};
}

OrderedJson op_json(const OpRecord& o) {
  return {{"op", o.op},       {"phase", o.phase}, {"shape", o.shape},
          {"calls", o.calls}, {"bytes", o.bytes}, {"seconds", o.seconds}};
}

OrderedJson fallback_rate_json(const std::optional<FallbackRate>& rate) {
  if (!rate) return nullptr;
  return {{"by_calls", rate->by_calls}, {"by_time", rate->by_time}, {"by_ops", rate->by_ops}};
}

OrderedJson stability_json(const std::optional<StabilityRecord>& s) {
  if (!s) return nullptr;
  return {{"n_repeats", s->n_repeats},
          {"n_same_text", s->n_same_text},
          {"n_nonfinite", s->n_nonfinite},
          {"n_loops", s->n_loops},
          {"n_errors", s->n_errors},
          {"n_crashes", s->n_crashes},
          {"rss_growth_bytes", s->rss_growth_bytes},
          {"seconds", s->seconds}};
}

OrderedJson fallback_json(const FallbackRecord& f) {
  return {{"op", f.op}, {"reason", f.reason}, {"calls", f.calls}, {"bytes", f.bytes}, {"seconds", f.seconds}};
}

OrderedJson failure_json(const FailureRecord& f) {
  return {{"id", f.id}, {"sample", f.sample}, {"code", traits_of(f.code).name}, {"message", f.message}};
}

OrderedJson warning_json(const RunWarning& w) { return {{"code", w.code}, {"message", w.message}}; }

OrderedJson summary_json(const RunSummary& s) {
  OrderedJson json;
  json["load_s"] = s.load_s;
  json["total_s"] = s.total_s;
  json["wall_s"] = number_or_null(s.wall_s);
  json["mean_s"] = number_or_null(s.mean_s);
  json["n_answers"] = s.n_answers;
  json["n_prompt_tokens"] = s.n_prompt_tokens;
  json["n_tokens"] = s.n_tokens;
  json["mean_ttft_s"] = number_or_null(s.mean_ttft_s);
  json["tpot_s"] = number_or_null(s.tpot_s);
  json["decode_tokens_per_s"] = number_or_null(s.decode_tokens_per_s);
  json["peak_rss_bytes"] = s.peak_rss_bytes;
  json["kv_bytes"] = s.kv_bytes;
  json["started_at"] = s.started_at;
  json["ended_at"] = s.ended_at;
  return json;
}

}  // namespace

void summarise(RunRecord& record) {
  RunSummary& s = record.summary;
  s.n_answers = static_cast<int64_t>(record.items.size());
  s.total_s = 0;
  s.mean_s = std::nullopt;
  s.mean_ttft_s = std::nullopt;
  s.n_prompt_tokens = s.n_tokens = 0;
  double answered_s = 0;
  double ttft_s = 0;
  int64_t n_answered = 0, n_begun = 0;
  double gaps_s = 0;
  int64_t n_gaps = 0;
  for (const AnswerRecord& item : record.items) {
    s.total_s += item.seconds;
    if (item.ttft_s || !item.choices.empty()) {
      answered_s += item.seconds;
      ++n_answered;
    }
    if (item.ttft_s) {
      ttft_s += *item.ttft_s;
      ++n_begun;
    }
    s.n_prompt_tokens += item.n_prompt_tokens;
    s.n_tokens += item.n_tokens();
    if (item.tpot_s) {
      gaps_s += *item.tpot_s * static_cast<double>(item.n_tokens() - 1);
      n_gaps += item.n_tokens() - 1;
    }
  }
  if (n_answered > 0) s.mean_s = answered_s / static_cast<double>(n_answered);
  if (n_begun > 0) s.mean_ttft_s = ttft_s / static_cast<double>(n_begun);
  s.tpot_s = s.decode_tokens_per_s = std::nullopt;
  if (n_gaps > 0 && gaps_s > 0) {
    s.tpot_s = gaps_s / static_cast<double>(n_gaps);
    s.decode_tokens_per_s = 1 / *s.tpot_s;
  }
}

OrderedJson item_json(const AnswerRecord& item, bool has_samples) {
  OrderedJson json;
  json["id"] = item.id;
  json["type"] = item.type;
  json["prompt"] = item.prompt;
  json["answer"] = item.answer;
  json["ids"] = item.ids;
  json["n_prompt_tokens"] = item.n_prompt_tokens;
  json["n_tokens"] = item.n_tokens();
  json["seconds"] = item.seconds;
  json["ttft_s"] = number_or_null(item.ttft_s);
  json["finish_reason"] = item.finish_reason;
  if (has_samples) json["sample"] = item.sample;
  if (!item.choices.empty()) {
    json["choices"] = list_json(item.choices, [](const ChoiceRecord& choice) {
      return OrderedJson{
          {"text", choice.text}, {"loglikelihood", choice.loglikelihood}, {"is_greedy", choice.is_greedy}};
    });
  }
  return json;
}

std::string suite_name(const RunRecord& record) {
  const auto suite = record.settings.find("suite");
  if (suite == record.settings.end() || !suite->is_object()) return {};
  const auto name = suite->find("name");
  return name == suite->end() || !name->is_string() ? std::string() : name->get<std::string>();
}

OrderedJson to_json(const std::vector<RunWarning>& warnings) { return list_json(warnings, warning_json); }

OrderedJson to_json(const RunRecord& record) {
  OrderedJson json;
  json["schema"] = kRunSchema;
  json["kind"] = record.kind;
  json["machine"] = machine_json(record.machine);
  json["build"] = {{"version", record.build.version},
                   {"compiler", record.build.compiler},
                   {"build_type", record.build.build_type}};
  json["model"] = model_json(record.model);
  json["device"] = {{"name", record.device.name},
                    {"device_kind", record.device.device_kind},
                    {"path", record.device.path},
                    {"n_threads", record.device.n_threads},
                    {"weight_bytes", record.device.weight_bytes}};
  json["runner"] = {{"name", record.runner.name}, {"why_not_faster", record.runner.why_not_faster}};
  json["settings"] = record.settings;
  json["items"] = list_json(record.items, [](const AnswerRecord& item) {
    OrderedJson entry = item_json(item, true);
    entry["tpot_s"] = number_or_null(item.tpot_s);
    return entry;
  });
  json["scores"] = list_json(record.scores, score_json);
  json["scoring"] = record.scoring;
  json["results"] = list_json(record.results, result_json);
  json["metrics"] = metrics_json(record.metrics);
  json["energy"] = list_json(record.energy, energy_json);
  json["memory"] = memory_json(record.memory);
  json["ops"] = list_json(record.ops, op_json);
  json["fallback_rate"] = fallback_rate_json(record.fallback_rate);
  json["stability"] = stability_json(record.stability);
  json["summary"] = summary_json(record.summary);
  json["fallbacks"] = list_json(record.fallbacks, fallback_json);
  json["counts"] = list_json(record.counts, [](const CountRecord& c) {
    return OrderedJson{{"name", c.name}, {"n", c.n}};
  });
  json["failures"] = list_json(record.failures, failure_json);
  json["warnings"] = to_json(record.warnings);
  return json;
}

}  // namespace chaski
