// A record read back from its JSON, of which nothing is trusted: each field's type, range and length is
// checked and named where it is wrong. What is written stands in run_record.cpp.
#include <cmath>
#include <filesystem>
#include <limits>
#include <set>
#include <utility>

#include "base/files.h"
#include "report/run_record.h"

namespace chaski {
namespace {

/// Of a record: a hundred thousand long answers with their ids, and the raw output of a runaway one.
constexpr uint64_t kMaxBytes = 512u << 20;
constexpr size_t kMaxNodes = 16'000'000;
constexpr size_t kMaxKeys = 1024;
/// Bytes of a name; what a model or a tool wrote may be as long as the file.
constexpr size_t kMaxName = 64 << 10;
/// What a double holds exactly, and numbers whose squares and sums stay finite.
constexpr int64_t kMaxCount = int64_t{1} << 53;
constexpr double kMaxNumber = 1e150;

/// One JSON object of a record and the path to it.
class Fields {
 public:
  Fields(const OrderedJson& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) fail("", "a JSON object", json);
  }

  /// Nothing where the field is absent or null.
  const OrderedJson* find(std::string_view key) const {
    const auto it = json_.find(key);
    return it == json_.end() || it->is_null() ? nullptr : &*it;
  }
  std::string path(std::string_view key) const { return fmt::format("{}.{}", where_, key); }

  /// A text of any length; empty where absent.
  std::string text(std::string_view key) const {
    const OrderedJson* value = find(key);
    if (value == nullptr) return {};
    if (!value->is_string()) fail(key, "a string", *value);
    return value->get_ref<const std::string&>();
  }
  std::string name(std::string_view key) const {
    std::string text = this->text(key);
    if (text.size() > kMaxName)
      refuse(key, fmt::format("{} bytes, at most {} are accepted", text.size(), kMaxName));
    return text;
  }
  bool flag(std::string_view key) const { return optional_flag(key).value_or(false); }
  std::optional<bool> optional_flag(std::string_view key) const {
    const OrderedJson* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_boolean()) fail(key, "true or false", *value);
    return value->get<bool>();
  }
  std::optional<int64_t> optional_integer(std::string_view key, int64_t least, int64_t most) const {
    const OrderedJson* value = find(key);
    if (value == nullptr) return std::nullopt;
    return integer_of(*value, key, least, most);
  }
  int64_t integer(std::string_view key, int64_t least, int64_t most) const {
    return optional_integer(key, least, most).value_or(0);
  }
  /// An integer that counts something.
  int64_t count(std::string_view key) const { return integer(key, 0, kMaxCount); }
  std::optional<double> optional_number(std::string_view key, double least, double most) const {
    const OrderedJson* value = find(key);
    if (value == nullptr) return std::nullopt;
    return number_of(*value, key, least, most);
  }
  double number(std::string_view key, double least = -kMaxNumber, double most = kMaxNumber) const {
    return optional_number(key, least, most).value_or(0);
  }
  /// A time, an energy, a weight: not below 0.
  double amount(std::string_view key) const { return number(key, 0); }
  std::optional<double> optional_amount(std::string_view key) const {
    return optional_number(key, 0, kMaxNumber);
  }
  double share(std::string_view key) const { return number(key, 0, 1); }

  /// The object of that name; an empty one where it is absent.
  Fields object(std::string_view key) const {
    static const OrderedJson kEmpty = OrderedJson::object();
    const OrderedJson* value = find(key);
    return {value == nullptr ? kEmpty : *value, path(key)};
  }
  const OrderedJson& json() const { return json_; }

  /// What `read` makes of each entry of a list of objects.
  template <typename Read>
  auto list(std::string_view key, Read read) const {
    std::vector<decltype(read(std::declval<const Fields&>()))> entries;
    const OrderedJson* values = array(key);
    if (values == nullptr) return entries;
    entries.reserve(values->size());
    for (const OrderedJson& value : *values) {
      entries.push_back(read(Fields(value, fmt::format("{}[{}]", path(key), entries.size()))));
    }
    return entries;
  }
  std::vector<int32_t> ids(std::string_view key) const {
    std::vector<int32_t> ids;
    const OrderedJson* values = array(key);
    if (values == nullptr) return ids;
    ids.reserve(values->size());
    for (const OrderedJson& value : *values) {
      ids.push_back(static_cast<int32_t>(integer_of(value, key, 0, std::numeric_limits<int32_t>::max())));
    }
    return ids;
  }
  std::vector<double> numbers(std::string_view key) const {
    std::vector<double> numbers;
    const OrderedJson* values = array(key);
    if (values == nullptr) return numbers;
    numbers.reserve(values->size());
    for (const OrderedJson& value : *values) {
      numbers.push_back(number_of(value, key, -kMaxNumber, kMaxNumber));
    }
    return numbers;
  }

  /// Refuse the field for what it holds.
  [[noreturn]] void refuse(std::string_view key, const std::string& why) const {
    throw Error(ErrorCode::kCorrupt, "read record",
                fmt::format("{}: {}", key.empty() ? where_ : path(key), why),
                "a record is the run.json that bench and eval write");
  }
  [[noreturn]] void fail(std::string_view key, std::string_view expected, const OrderedJson& found) const {
    const std::string shown = found.is_structured()
                                  ? fmt::format("an {} of {}", found.type_name(), found.size())
                                  : printable(to_json_text(found), 60);
    refuse(key, fmt::format("expected {}, found {}", expected, shown));
  }

 private:
  const OrderedJson* array(std::string_view key) const {
    const OrderedJson* value = find(key);
    if (value != nullptr && !value->is_array()) fail(key, "a list", *value);
    return value;
  }
  int64_t integer_of(const OrderedJson& value, std::string_view key, int64_t least, int64_t most) const {
    const bool fits =
        value.is_number_integer() &&
        !(value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(kMaxCount)) &&
        value.get<int64_t>() >= least && value.get<int64_t>() <= most;
    if (!fits) {
      fail(key,
           most == kMaxCount ? fmt::format("an integer from {}", least)
                             : fmt::format("an integer from {} to {}", least, most),
           value);
    }
    return value.get<int64_t>();
  }
  double number_of(const OrderedJson& value, std::string_view key, double least, double most) const {
    if (!value.is_number()) fail(key, "a number", value);
    const double number = value.get<double>();
    if (!std::isfinite(number) || number < least || number > most) {
      fail(key,
           most == 1    ? "a number from 0 to 1"
           : least == 0 ? "a number from 0"
                        : "a finite number",
           value);
    }
    return number;
  }

  const OrderedJson& json_;
  std::string where_;
};

MachineFacts read_machine(const Fields& f) {
  return {f.name("cpu"),      f.name("os"),          f.name("kernel"),
          f.name("arch"),     f.count("n_cores"),    f.count("memory_bytes"),
          f.name("governor"), f.name("accelerator"), f.name("driver")};
}

ModelFacts read_model(const Fields& f) {
  ModelFacts model;
  model.id = f.name("id");
  model.path = f.name("path");
  model.format = f.name("format");
  model.weights = f.name("weights");
  model.hash = f.name("hash");
  model.n_parameters = f.count("parameters");
  model.weight_bytes = f.count("weight_bytes");
  model.template_hash = f.name("template_hash");
  model.date_string = f.name("date_string");
  model.is_synthetic = f.flag("is_synthetic");
  model.lora = f.name("lora");
  return model;
}

AnswerRecord read_item(const Fields& f) {
  AnswerRecord item;
  item.id = f.name("id");
  item.type = f.name("type");
  item.prompt = f.text("prompt");
  item.answer = f.text("answer");
  item.ids = f.ids("ids");
  item.n_prompt_tokens = f.count("n_prompt_tokens");
  item.seconds = f.amount("seconds");
  item.ttft_s = f.optional_amount("ttft_s");
  item.tpot_s = f.optional_amount("tpot_s");
  item.finish_reason = f.name("finish_reason");
  item.sample = f.count("sample");
  item.choices = f.list("choices", [](const Fields& c) {
    return ChoiceRecord{c.text("text"), c.number("loglikelihood"), c.flag("is_greedy")};
  });
  if (item.id.empty()) f.refuse("id", "an item without an id");
  return item;
}

ScoreRecord read_score(const Fields& f) {
  ScoreRecord score;
  score.id = f.name("id");
  score.sample = f.count("sample");
  score.scorer = f.name("scorer");
  if (f.find("status") != nullptr) score.status = f.name("status");
  if (const auto points = f.optional_integer("score", 1, 5)) score.score = static_cast<int>(*points);
  score.raw = f.number("raw");
  score.is_correct = f.optional_flag("is_correct");
  score.components = f.list("components", [](const Fields& c) {
    return ScoreComponent{c.name("name"), c.amount("weight"), c.share("value"), c.text("evidence")};
  });
  score.adjustments = f.list("adjustments", [](const Fields& a) {
    return ScoreAdjustment{a.name("name"), a.flag("is_cap"), a.number("points"), a.text("evidence")};
  });
  score.note = f.text("note");
  return score;
}

Metric read_metric(const Fields& f) {
  Metric metric;
  metric.mean = f.number("mean");
  metric.std = f.amount("std");
  metric.median = f.number("median");
  metric.p90 = f.number("p90");
  metric.p95 = f.number("p95");
  metric.p99 = f.number("p99");
  metric.range = {f.number("min"), f.number("max")};
  metric.samples = f.numbers("samples");
  if (metric.samples.empty()) f.refuse("samples", "a metric without samples");
  if (f.find("ci95") != nullptr) {
    const std::vector<double> ends = f.numbers("ci95");
    if (ends.size() != 2 || ends[0] > ends[1]) f.refuse("ci95", "expected the two ends of an interval");
    metric.ci95 = {ends[0], ends[1]};
  }
  return metric;
}

std::vector<NamedMetric> read_metrics(const Fields& all) {
  std::vector<NamedMetric> metrics;
  for (const auto& [name, value] : all.json().items()) {
    if (name.size() > kMaxName) all.refuse("", "a metric's name is too long");
    const Fields f(value, all.path(printable(name)));
    metrics.push_back(
        {name, f.name("unit"), f.flag("higher_is_better"), f.count("n_warmup"), read_metric(f)});
  }
  return metrics;
}

TaskResult read_result(const Fields& f) {
  return {f.name("task"), f.name("metric"), f.number("value"), f.optional_amount("standard_error"),
          f.count("n")};
}

EnergyRecord read_energy(const Fields& f) {
  EnergyRecord energy;
  energy.source = f.name("source");
  energy.phase = f.name("phase");
  energy.joules = f.optional_amount("joules");
  energy.seconds = f.amount("seconds");
  energy.n_tokens = f.count("n_tokens");
  energy.idle_watts = f.optional_amount("idle_watts");
  energy.why_not = f.text("why_not");
  energy.busy_percent = f.optional_amount("busy_percent");
  energy.temperature_c = f.optional_number("temperature_c", -kMaxNumber, kMaxNumber);
  return energy;
}

MemoryRecord read_memory(const Fields& f) {
  return {f.count("weight_bytes"), f.count("kv_bytes"), f.count("scratch_bytes"), f.count("peak_rss_bytes"),
          f.optional_integer("device_bytes", 0, kMaxCount)};
}

OpRecord read_op(const Fields& f) {
  return {f.name("op"),     f.name("phase"),  f.name("shape"),
          f.count("calls"), f.count("bytes"), f.amount("seconds")};
}

StabilityRecord read_stability(const Fields& f) {
  return {f.count("n_repeats"),
          f.count("n_same_text"),
          f.count("n_nonfinite"),
          f.count("n_loops"),
          f.count("n_errors"),
          f.count("n_crashes"),
          f.integer("rss_growth_bytes", -kMaxCount, kMaxCount),
          f.amount("seconds")};
}

RunSummary read_summary(const Fields& f) {
  RunSummary s;
  s.started_at = f.name("started_at");
  s.ended_at = f.name("ended_at");
  s.load_s = f.amount("load_s");
  s.total_s = f.amount("total_s");
  s.wall_s = f.optional_amount("wall_s");
  s.mean_s = f.optional_amount("mean_s");
  s.n_answers = f.count("n_answers");
  s.n_prompt_tokens = f.count("n_prompt_tokens");
  s.n_tokens = f.count("n_tokens");
  s.mean_ttft_s = f.optional_amount("mean_ttft_s");
  s.tpot_s = f.optional_amount("tpot_s");
  s.decode_tokens_per_s = f.optional_amount("decode_tokens_per_s");
  s.peak_rss_bytes = f.count("peak_rss_bytes");
  s.kv_bytes = f.count("kv_bytes");
  return s;
}

FailureRecord read_failure(const Fields& f) {
  const std::string name = f.name("code");
  const auto code = error_code_of(name);
  if (!code) f.refuse("code", fmt::format("unknown error code \"{}\"", printable(name)));
  return {f.name("id"), f.count("sample"), *code, f.text("message")};
}

/// A text in both languages, as a suite's title.
void check_bilingual(const Fields& f) {
  f.text("en");
  f.text("zh");
}

/// Settings are free, but those that pages read have the type that they are read as.
const OrderedJson& checked_settings(const Fields& f) {
  for (const char* key : {"temperature", "top_p", "min_p"}) f.number(key);
  for (const char* key : {"repetition_penalty", "presence_penalty", "frequency_penalty"}) f.number(key);
  for (const char* key : {"n_samples", "batch", "seed", "top_k", "max_length", "max_new_tokens", "context"})
    f.count(key);
  for (const char* key : {"precision", "kv_dtype", "activations", "template"}) f.name(key);
  f.text("system");
  const Fields suite = f.object("suite");
  for (const char* key : {"name", "sha256"}) suite.name(key);
  check_bilingual(suite.object("title"));
  const Fields part = suite.object("part");
  for (const char* key : {"n_questions", "n_all", "limit"}) part.count(key);
  part.name("types");
  const Fields types = suite.object("types");
  for (const auto& [type, title] : types.json().items()) check_bilingual(types.object(type));
  return f.json();
}

void check_schema(const Fields& f) {
  const std::string schema = f.name("schema");
  if (schema == kRunSchema) return;
  if (!schema.starts_with("chaski.run/")) {
    f.refuse("schema", fmt::format("expected \"{}\", found \"{}\"", kRunSchema, printable(schema)));
  }
  throw Error(
      ErrorCode::kUnsupported, "read record",
      fmt::format("{}: \"{}\", this version reads \"{}\"", f.path("schema"), printable(schema), kRunSchema),
      "read it with the version of chaski that wrote it");
}

void check_items(const std::vector<AnswerRecord>& items, const Fields& f) {
  std::set<std::pair<std::string_view, int64_t>> seen;
  for (const AnswerRecord& item : items) {
    if (!seen.emplace(item.id, item.sample).second) {
      f.refuse("items", fmt::format("\"{}\", sample {}, stands twice", printable(item.id), item.sample));
    }
  }
}

}  // namespace

AnswerRecord answer_record_of(const OrderedJson& json, std::string_view where) {
  return read_item(Fields(json, std::string(where)));
}

RunRecord run_record_of(const OrderedJson& json, std::string_view where) {
  const Fields f(json, std::string(where));
  check_schema(f);
  RunRecord record;
  record.kind = f.name("kind");
  if (record.kind != "eval" && record.kind != "bench") {
    f.refuse("kind", fmt::format("expected eval or bench, found \"{}\"", printable(record.kind)));
  }
  record.machine = read_machine(f.object("machine"));
  const Fields build = f.object("build");
  record.build = {build.name("version"), build.name("compiler"), build.name("build_type")};
  record.model = read_model(f.object("model"));
  const Fields device = f.object("device");
  record.device = {device.name("name"), device.name("device_kind"), device.name("path"),
                   device.count("n_threads"), device.count("weight_bytes")};
  const Fields runner = f.object("runner");
  record.runner = {runner.name("name"), runner.text("why_not_faster")};
  record.settings = checked_settings(f.object("settings"));
  record.items = f.list("items", read_item);
  check_items(record.items, f);
  record.scores = f.list("scores", read_score);
  record.scoring = f.object("scoring").json();
  record.results = f.list("results", read_result);
  record.metrics = read_metrics(f.object("metrics"));
  record.energy = f.list("energy", read_energy);
  if (f.find("memory") != nullptr) record.memory = read_memory(f.object("memory"));
  record.ops = f.list("ops", read_op);
  if (f.find("fallback_rate") != nullptr) {
    const Fields rate = f.object("fallback_rate");
    record.fallback_rate = {rate.share("by_calls"), rate.share("by_time"), rate.share("by_ops")};
  }
  if (f.find("stability") != nullptr) record.stability = read_stability(f.object("stability"));
  record.summary = read_summary(f.object("summary"));
  record.fallbacks = f.list("fallbacks", [](const Fields& b) {
    return FallbackRecord{b.name("op"), b.text("reason"), b.count("calls"), b.count("bytes"),
                          b.amount("seconds")};
  });
  record.counts = f.list("counts", [](const Fields& c) { return CountRecord{c.name("name"), c.count("n")}; });
  record.failures = f.list("failures", read_failure);
  record.warnings = f.list("warnings", [](const Fields& w) {
    return RunWarning{w.name("code"), w.text("message")};
  });
  return record;
}

RunRecord parse_run_record(std::string_view text, std::string_view where) {
  JsonLimits limits;
  limits.max_bytes = kMaxBytes;
  limits.max_nodes = kMaxNodes;
  limits.max_keys = kMaxKeys;
  return run_record_of(parse_ordered_json(text, where, limits), where);
}

RunRecord read_run_record(const std::string& path) {
  std::error_code ignored;
  const std::filesystem::path file = std::filesystem::is_directory(path, ignored)
                                         ? std::filesystem::path(path) / "run.json"
                                         : std::filesystem::path(path);
  return parse_run_record(read_text_file(file, kMaxBytes), file.string());
}

}  // namespace chaski
