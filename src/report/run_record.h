// RunRecord: everything that one run measured, as the JSON object that run.json holds. Tables and pages are
// computed from it and from nothing else (eval_report.h). Nothing here measures.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"

namespace chaski {

inline constexpr std::string_view kRunSchema = "chaski.run/1";

struct MachineFacts {
  std::string cpu;  ///< model name
  std::string os;
  std::string kernel;
  std::string arch;
  int64_t n_cores = 0;       ///< that the process may run on
  int64_t memory_bytes = 0;  ///< of the machine
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

/// One answer. Times are seconds on the monotonic clock from the moment the question was handed over.
struct AnswerRecord {
  std::string id, type, prompt, answer;
  std::vector<int32_t> ids;  ///< of the answer, without the ending eos
  int64_t n_prompt_tokens = 0;
  double seconds = 0;            ///< until the answer was complete, tokenising included
  std::optional<double> ttft_s;  ///< until the first token was known, from admission by the engine
  std::optional<double> tpot_s;  ///< mean gap between later tokens; nothing for answers of fewer than two
  std::string finish_reason;
  int64_t sample = 0;  ///< 0 … K − 1

  int64_t n_tokens() const { return static_cast<int64_t>(ids.size()); }
};

struct RunSummary {
  std::string started_at, ended_at;  ///< UTC
  double load_s = 0;                 ///< from opening the files to being ready for the first question
  double total_s = 0;                ///< all answers' seconds together
  double mean_s = 0;                 ///< of answers that have a first token, as mean_ttft_s
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

struct RunRecord {
  std::string kind = "eval";
  MachineFacts machine;
  BuildFacts build;
  ModelFacts model;
  DeviceFacts device;
  RunnerFacts runner;
  OrderedJson settings = OrderedJson::object();  ///< name to value, with `seed` and `precision`
  std::vector<AnswerRecord> items;
  RunSummary summary;
  std::vector<FallbackRecord> fallbacks;
  std::vector<FailureRecord> failures;
  std::vector<RunWarning> warnings;
};

/// Fill the summary's counts, sums and means from the items.
void summarise(RunRecord& record);

/// A list of objects with code and message.
OrderedJson to_json(const std::vector<RunWarning>& warnings);

/// The object of run.json.
OrderedJson to_json(const RunRecord& record);

/// One line of items.jsonl, newline included; with `sample` at its end where questions are asked several
/// times.
std::string item_line(const AnswerRecord& item, bool has_samples = false);

}  // namespace chaski
