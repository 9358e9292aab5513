#include "lab/eval.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "machine/machine_info.h"
#include "report/eval_report.h"
#include "report/warnings.h"

namespace chaski {
namespace {

/// Whether an error concerns this question only, so that the next one may be asked.
bool is_of_one_question(ErrorCode code) {
  return code == ErrorCode::kUsage || code == ErrorCode::kUnsupported || code == ErrorCode::kCorrupt;
}

struct Asked {
  AnswerRecord answer;
  std::string error;
  ErrorCode code = ErrorCode::kInternal;  ///< of the error
  bool is_cancelled = false;
};

Asked ask(Engine& engine, const PromptMaker& prompts, const SuiteItem& item, const EvalPlan& plan,
          int64_t sample, const OnText& on_text, const CancelToken& cancel) {
  Asked asked;
  AnswerRecord& record = asked.answer;
  record.id = item.id;
  record.type = item.type;
  record.prompt = item.prompt;
  record.sample = sample;
  record.finish_reason = name_of(FinishReason::kError);
  const Stopwatch since_asked;
  try {
    Request request =
        request_of(plan.settings, plan.eos, prompts.question(item.prompt, plan.settings.system).ids);
    request.sampling.sample = static_cast<uint64_t>(sample);
    record.n_prompt_tokens = static_cast<int64_t>(request.prompt.size());
    Answer answer = engine.generate(std::move(request), on_text, &cancel);
    record.seconds = since_asked.seconds();
    record.tpot_s = tpot_s(answer);
    if (answer.timings.ttft_s > 0) record.ttft_s = answer.timings.ttft_s;
    record.answer = std::move(answer.text);
    record.ids = std::move(answer.ids);
    record.finish_reason = name_of(answer.finish_reason);
    asked.error = std::move(answer.error);
    asked.code = answer.error_code;
    asked.is_cancelled = answer.finish_reason == FinishReason::kCancelled;
  } catch (const Error& error) {
    if (!is_of_one_question(error.code())) throw;
    record.seconds = since_asked.seconds();
    asked.error = error.what();
    asked.code = error.code();
  }
  return asked;
}

}  // namespace

std::string weight_types(const Checkpoint& checkpoint) {
  std::map<DType, int64_t> bytes;
  int64_t all = 0;
  for (const std::string& name : checkpoint.names()) {
    const WeightSourcePtr weight = checkpoint.find(name);
    const int64_t n = weight->n_rows() * row_bytes(weight->dtype(), weight->n_cols());
    bytes[weight->dtype()] += n;
    all += n;
  }
  std::vector<std::pair<int64_t, DType>> by_size;
  for (const auto& [dtype, n] : bytes) by_size.emplace_back(n, dtype);
  std::sort(by_size.rbegin(), by_size.rend());
  std::string text;
  for (const auto& [n, dtype] : by_size) {
    const double percent = 100.0 * static_cast<double>(n) / static_cast<double>(std::max<int64_t>(1, all));
    if (percent < 1 && !text.empty()) break;
    text += fmt::format("{}{} {:.0f}%", text.empty() ? "" : ", ", name_of(dtype), percent);
  }
  return text;
}

ItemJournal::ItemJournal(const std::filesystem::path& path) : path_(path.string()) {
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd_ < 0) throw write_error(path_, errno);
}

ItemJournal::~ItemJournal() { ::close(fd_); }

void ItemJournal::append(std::string_view line) {
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t n = ::write(fd_, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const Error error = write_error(path_, errno);
      // The line before stays the last one even where the disk is full.
      [[maybe_unused]] const int cut = ::ftruncate(fd_, size_);
      throw error;
    }
    rest.remove_prefix(static_cast<size_t>(n));
  }
  size_ += static_cast<int64_t>(line.size());
  ::fdatasync(fd_);
}

bool ask_all(Engine& engine, const PromptMaker& prompts, const Suite& suite, const EvalPlan& plan,
             RunRecord& record, ItemJournal& journal, const EvalEvents& events, const CancelToken& cancel) {
  for (const SuiteItem& item : suite.items) {
    for (int64_t sample = 0; sample < plan.n_samples; ++sample) {
      if (cancel.is_cancelled()) return false;
      if (events.on_question) events.on_question(item, sample);
      Asked asked = ask(engine, prompts, item, plan, sample, events.on_text, cancel);
      if (asked.is_cancelled) return false;
      journal.append(to_json_text(item_json(asked.answer, plan.n_samples > 1)) + "\n");
      if (!asked.error.empty()) record.failures.push_back({item.id, sample, asked.code, asked.error});
      record.items.push_back(std::move(asked.answer));
      if (events.on_answer) events.on_answer(record.items.back(), asked.error);
    }
  }
  record.summary.peak_rss_bytes = peak_rss_bytes();
  record.summary.kv_bytes = engine.stats().kv_bytes;
  record.summary.ended_at = utc_timestamp();
  summarise(record);
  return true;
}

ModelFacts model_facts(const std::string& id, const Checkpoint& checkpoint, const PromptMaker& prompts,
                       const OnBytes& on_bytes) {
  ModelFacts facts;
  facts.id = id;
  facts.path = checkpoint.path();
  facts.format = checkpoint.kind();
  facts.weights = weight_types(checkpoint);
  facts.hash = checkpoint.content_hash(on_bytes);
  facts.n_parameters = checkpoint.config().n_parameters();
  facts.weight_bytes = static_cast<int64_t>(checkpoint.weight_bytes());
  facts.is_synthetic = checkpoint.is_synthetic();
  if (!checkpoint.chat_template().empty()) facts.template_hash = sha256_of(checkpoint.chat_template());
  if (prompts.kind() == PromptMaker::Kind::kModel) facts.date_string = prompts.date_string();
  return facts;
}

MachineFacts machine_facts() {
  const MachineInfo info = machine_info();
  return {info.cpu, info.os, info.kernel, info.arch, info.n_cores, info.memory_bytes, info.governor, {}, {}};
}

OrderedJson settings_json(const Suite& suite, const EvalPlan& plan) {
  const auto both = [](const Bilingual& text) { return OrderedJson{{"en", text.en}, {"zh", text.zh}}; };
  OrderedJson json;
  json["suite"] = {
      {"name", suite.name}, {"title", both(suite.title)}, {"source", suite.source}, {"sha256", suite.sha256}};
  json["suite"]["types"] = OrderedJson::object();
  for (const auto& [type, title] : suite.types) json["suite"]["types"][type] = both(title);
  json["n_samples"] = plan.n_samples;
  json.update(to_json(plan.settings));
  return json;
}

std::vector<RunWarning> warnings_for(const RunRecord& record, PromptMaker::Kind kind) {
  std::vector<RunWarning> warnings;
  const auto warn = [&](bool applies, std::string_view code) {
    if (applies) warnings.push_back(make_warning(code));
  };
  const bool is_greedy =
      record.settings.value("temperature", 1.0) == 0.0 || record.settings.value("top_k", 0) == 1;
  const bool is_single = record.settings.value("n_samples", 1) == 1;
  const auto has_end = [&](std::string_view reason) {
    return std::any_of(record.items.begin(), record.items.end(),
                       [&](const AnswerRecord& item) { return item.finish_reason == reason; });
  };
  warn(record.model.is_synthetic, "synthetic_weights");
  warn(record.build.build_type == "Debug", "not_optimised");
  warn(is_single && !is_greedy, "single_sample");
  warn(is_single && is_greedy, "single_timing");
  warn(!record.model.is_synthetic && record.model.n_parameters < 1'000'000'000, "small_model");
  warn(kind == PromptMaker::Kind::kRaw, "raw_template");
  warn(kind == PromptMaker::Kind::kPlain, "no_template");
  warn(has_end(name_of(FinishReason::kLength)), "cut_answers");
  warn(!record.failures.empty(), "failed_answers");
  return warnings;
}

void write_record(const std::filesystem::path& folder, const RunRecord& record, Lang lang) {
  write_file_atomic(folder / "report.md", eval_markdown(record, lang));
  write_file_atomic(folder / "run.json", to_json_text(to_json(record), 2) + "\n");
}

}  // namespace chaski
