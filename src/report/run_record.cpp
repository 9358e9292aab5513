#include "report/run_record.h"

namespace chaski {
namespace {

OrderedJson number_or_null(const std::optional<double>& value) {
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

OrderedJson item_json(const AnswerRecord& item) {
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
  return json;
}

OrderedJson machine_json(const MachineFacts& m) {
  return {{"cpu", m.cpu},   {"n_cores", m.n_cores}, {"memory_bytes", m.memory_bytes},
          {"arch", m.arch}, {"os", m.os},           {"kernel", m.kernel}};
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
  json["template_hash"] = m.template_hash.empty() ? OrderedJson(nullptr) : OrderedJson(m.template_hash);
  json["date_string"] = m.date_string.empty() ? OrderedJson(nullptr) : OrderedJson(m.date_string);
  json["is_synthetic"] = m.is_synthetic;
  json["lora"] = m.lora.empty() ? OrderedJson(nullptr) : OrderedJson(m.lora);
  return json;
}

OrderedJson summary_json(const RunSummary& s) {
  OrderedJson json;
  json["load_s"] = s.load_s;
  json["total_s"] = s.total_s;
  json["mean_s"] = s.mean_s;
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
  s.total_s = s.mean_s = 0;
  s.mean_ttft_s = std::nullopt;
  s.n_prompt_tokens = s.n_tokens = 0;
  double answered_s = 0;
  double ttft_s = 0;
  int64_t n_answered = 0;
  double gaps_s = 0;
  int64_t n_gaps = 0;
  for (const AnswerRecord& item : record.items) {
    s.total_s += item.seconds;
    if (item.ttft_s) {
      answered_s += item.seconds;
      ttft_s += *item.ttft_s;
      ++n_answered;
    }
    s.n_prompt_tokens += item.n_prompt_tokens;
    s.n_tokens += item.n_tokens();
    if (item.tpot_s) {
      gaps_s += *item.tpot_s * static_cast<double>(item.n_tokens() - 1);
      n_gaps += item.n_tokens() - 1;
    }
  }
  if (n_answered > 0) {
    s.mean_s = answered_s / static_cast<double>(n_answered);
    s.mean_ttft_s = ttft_s / static_cast<double>(n_answered);
  }
  s.tpot_s = s.decode_tokens_per_s = std::nullopt;
  if (n_gaps > 0 && gaps_s > 0) {
    s.tpot_s = gaps_s / static_cast<double>(n_gaps);
    s.decode_tokens_per_s = 1 / *s.tpot_s;
  }
}

std::string item_line(const AnswerRecord& item, bool has_samples) {
  OrderedJson json = item_json(item);
  if (has_samples) json["sample"] = item.sample;
  return to_json_text(json) + "\n";
}

OrderedJson to_json(const std::vector<RunWarning>& warnings) {
  OrderedJson json = OrderedJson::array();
  for (const RunWarning& w : warnings) json.push_back({{"code", w.code}, {"message", w.message}});
  return json;
}

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
  json["items"] = OrderedJson::array();
  for (const AnswerRecord& item : record.items) {
    OrderedJson entry = item_json(item);
    entry["sample"] = item.sample;
    entry["tpot_s"] = number_or_null(item.tpot_s);
    json["items"].push_back(std::move(entry));
  }
  json["summary"] = summary_json(record.summary);
  json["fallbacks"] = OrderedJson::array();
  for (const FallbackRecord& f : record.fallbacks) {
    json["fallbacks"].push_back(
        {{"op", f.op}, {"reason", f.reason}, {"calls", f.calls}, {"bytes", f.bytes}, {"seconds", f.seconds}});
  }
  json["failures"] = OrderedJson::array();
  for (const FailureRecord& f : record.failures) {
    json["failures"].push_back(
        {{"id", f.id}, {"sample", f.sample}, {"code", traits_of(f.code).name}, {"message", f.message}});
  }
  json["warnings"] = to_json(record.warnings);
  return json;
}

}  // namespace chaski
