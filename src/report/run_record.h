// RunRecord: everything that one run measured, as the JSON object that run.json holds; docs/run.schema.json
// and docs/en/run-record.md say its fields. Tables and pages are computed from it and from nothing else
// (eval_report.h). Nothing here measures.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "report/statistics.h"

namespace chaski {

inline constexpr std::string_view kRunSchema = "chaski.run/1";

struct MachineFacts {
  std::string cpu;  ///< model name
  std::string os;
  std::string kernel;
  std::string arch;
  int64_t n_cores = 0;       ///< that the process may run on
  int64_t memory_bytes = 0;  ///< of the machine
  std::string governor;      ///< of the cores' clock; empty where the system does not say
  std::string accelerator;   ///< empty without one
  std::string driver;        ///< of the accelerator
};

struct BuildFacts {
  std::string version;
  std::string compiler;
  std::string build_type;
};

struct ModelFacts {
  std::string id;       ///< as the user named it
  std::string path;     ///< where it was found
  std::string format;   ///< "safetensors", "gguf", "synthetic"
  std::string weights;  ///< the types that hold most bytes, as "q4_1 86%, q8_0 13%"
  std::string hash;     ///< SHA-256 of the weight files
  int64_t n_parameters = 0;
  int64_t weight_bytes = 0;   ///< as stored
  std::string template_hash;  ///< SHA-256 of the chat template; empty where the model has none
  std::string date_string;    ///< what the template was told to be today
  bool is_synthetic = false;  ///< random weights: for speed only
  std::string lora;           ///< folder of the adapter merged in; empty without one
};

struct DeviceFacts {
  std::string name;
  std::string device_kind;  ///< cpu, cuda, ascend, emulated, modelled
  std::string path;         ///< code path, as "avx512"
  int64_t n_threads = 0;
  int64_t weight_bytes = 0;  ///< as the device holds them
};

struct RunnerFacts {
  std::string name;
  std::string why_not_faster;
};

/// One of the texts that a question of multiple choice offers, and how probable the model finds it.
struct ChoiceRecord {
  std::string text;
  double loglikelihood = 0;  ///< ln p of its tokens after the prompt
  bool is_greedy = false;    ///< the model would have written it
};

/// One answer. Times are seconds on the monotonic clock from the moment the question was handed over.
struct AnswerRecord {
  std::string id, type, prompt, answer;
  std::vector<int32_t> ids;  ///< of the answer, without the ending eos
  int64_t n_prompt_tokens = 0;
  double seconds = 0;            ///< until the answer was complete, tokenising included
  std::optional<double> ttft_s;  ///< until the first token was known, from admission by the engine
  std::optional<double> tpot_s;  ///< mean gap between later tokens; nothing for answers of fewer than two
  std::string finish_reason;     ///< "stop", "length", "error"; "choice" where `choices` decided
  int64_t sample = 0;            ///< 0 … K − 1
  /// Where the question is answered by probability and not in words; `answer` is then the most probable.
  std::vector<ChoiceRecord> choices;

  int64_t n_tokens() const { return static_cast<int64_t>(ids.size()); }
};

struct RunSummary {
  std::string started_at, ended_at;  ///< UTC
  double load_s = 0;                 ///< from opening the files to being ready for the first question
  double total_s = 0;                ///< all answers' seconds together
  std::optional<double> wall_s;  ///< in which they were made; less than total_s where several were at once
  std::optional<double> mean_s;  ///< of answers that have a first token or choices; none without any
  int64_t n_answers = 0;
  int64_t n_prompt_tokens = 0;
  int64_t n_tokens = 0;
  std::optional<double> mean_ttft_s;
  std::optional<double> tpot_s;               ///< mean over all gaps of all answers
  std::optional<double> decode_tokens_per_s;  ///< 1 / tpot_s
  int64_t peak_rss_bytes = 0;
  int64_t kv_bytes = 0;
};

struct FallbackRecord {
  std::string op, reason;
  int64_t calls = 0, bytes = 0;
  double seconds = 0;
};

struct FailureRecord {
  std::string id;
  int64_t sample = 0;
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};

/// What a reader must know before trusting the numbers. Pages say known codes in the reader's language.
struct RunWarning {
  std::string code;
  std::string message;  ///< in English
};

/// One score of one answer; `components` sum, weighted, to `raw` before caps and penalties.
struct ScoreComponent {
  std::string name;
  double weight = 0;
  double value = 0;  ///< 0 … 1
  std::string evidence;
};
/// A cap or a penalty that applied: the most that it allows, or the points that it takes.
struct ScoreAdjustment {
  std::string name;
  bool is_cap = false;
  double points = 0;
  std::string evidence;
};
struct ScoreRecord {
  std::string id;  ///< of the item
  int64_t sample = 0;
  std::string scorer;             ///< "rubric", "exact", "code", "judge:MODEL"
  std::string status = "scored";  ///< or "not_run", "no_rule", or "failed" by a judge: then there is no score
  std::optional<int> score;       ///< 1 … 5, rounded half up
  double raw = 0;                 ///< before rounding, one decimal
  std::optional<bool> is_correct;  ///< where the protocol has right and wrong
  std::vector<ScoreComponent> components;
  std::vector<ScoreAdjustment> adjustments;
  std::string note;  ///< why there is no score
};

/// A figure with its samples, by its name in docs/en/metrics.md.
struct NamedMetric {
  std::string name;  ///< "decode_tokens_per_s", "ttft_s"; unique in a record
  std::string unit;
  bool is_higher_better = false;
  int64_t n_warmup = 0;  ///< samples that were taken before and not counted
  Metric metric;
};

/// A share over questions, as a public protocol defines it: "acc", "exact_match", "pass@1".
struct TaskResult {
  std::string task;  ///< "ceval/accountant"; the suite's name for all
  std::string metric;
  double value = 0;
  std::optional<double> standard_error;
  int64_t n = 0;
};

struct EnergyRecord {
  std::string source;            ///< "rapl package-0"
  std::string phase;             ///< what was measured: "decode", "eval"
  std::optional<double> joules;  ///< nothing: not available
  double seconds = 0;
  int64_t n_tokens = 0;              ///< generated meanwhile
  std::optional<double> idle_watts;  ///< beside, never subtracted
  std::string why_not;
  /// Of an accelerator meanwhile: mean, highest.
  std::optional<double> busy_percent = {}, temperature_c = {};
};

struct MemoryRecord {
  int64_t weight_bytes = 0, kv_bytes = 0, scratch_bytes = 0, peak_rss_bytes = 0;
  std::optional<int64_t> device_bytes;
};

/// Time and traffic of one kind of op, from a traced run.
struct OpRecord {
  std::string op, phase, shape;
  int64_t calls = 0, bytes = 0;
  double seconds = 0;
};

/// What a device counted of how it was driven, over all that the run did with it: "launches", "host_waits".
struct CountRecord {
  std::string name;
  int64_t n = 0;
};

/// Ops that ran elsewhere than asked for, as shares of all: of calls, of time, of kinds of op.
struct FallbackRate {
  double by_calls = 0, by_time = 0, by_ops = 0;
};

/// The same request again and again.
struct StabilityRecord {
  int64_t n_repeats = 0, n_same_text = 0, n_nonfinite = 0, n_loops = 0, n_errors = 0, n_crashes = 0;
  int64_t rss_growth_bytes = 0;
  double seconds = 0;
};

struct RunRecord {
  std::string kind = "eval";  ///< or "bench"
  MachineFacts machine;
  BuildFacts build;
  ModelFacts model;
  DeviceFacts device;
  RunnerFacts runner;
  OrderedJson settings = OrderedJson::object();  ///< name to value, with `seed` and `precision`
  std::vector<AnswerRecord> items;
  std::vector<ScoreRecord> scores;  ///< of the items, by id and sample; several scorers may have scored one
  OrderedJson scoring = OrderedJson::object();  ///< rubric with its hash, sandbox tier, judge
  std::vector<TaskResult> results;
  std::vector<NamedMetric> metrics;
  std::vector<EnergyRecord> energy;
  std::optional<MemoryRecord> memory;
  std::vector<OpRecord> ops;
  std::optional<FallbackRate> fallback_rate;
  std::optional<StabilityRecord> stability;
  RunSummary summary;
  std::vector<FallbackRecord> fallbacks;
  std::vector<CountRecord> counts;
  std::vector<FailureRecord> failures;
  std::vector<RunWarning> warnings;
};

/// Fill the summary's counts, sums and means from the items.
void summarise(RunRecord& record);

/// A list of objects with code and message.
OrderedJson to_json(const std::vector<RunWarning>& warnings);

/// The object of run.json.
OrderedJson to_json(const RunRecord& record);

/// The record of that JSON. Nothing in it is trusted: types, ranges, finite numbers, lengths are checked;
/// keys that this version does not know are passed over. Throws Error(kCorrupt) naming the field,
/// kUnsupported for another schema.
RunRecord run_record_of(const OrderedJson& json, std::string_view where);
/// The same from the text of a run.json.
RunRecord parse_run_record(std::string_view text, std::string_view where);
/// The same from a run.json, or from a folder that has one. Throws also kNotFound, kIo.
RunRecord read_run_record(const std::string& path);

/// settings.suite.name; empty where the run had no suite.
std::string suite_name(const RunRecord& record);

/// An answer's fields as a line of items.jsonl has them, with `sample` at the end where questions are asked
/// several times.
OrderedJson item_json(const AnswerRecord& item, bool has_samples);
/// The answer of such an object, checked as by run_record_of; `tpot_s` is read as well.
AnswerRecord answer_record_of(const OrderedJson& json, std::string_view where);

}  // namespace chaski
