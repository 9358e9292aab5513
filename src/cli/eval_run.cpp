#include "cli/eval_run.h"

#include <algorithm>

#include "base/clock.h"
#include "base/error.h"
#include "cli/draft.h"
#include "cli/eval_folders.h"
#include "cli/models_record.h"
#include "cli/terminal.h"
#include "lab/bench.h"
#include "machine/machine_info.h"
#include "report/warnings.h"

namespace chaski::cli {
namespace {

/// The date that Llama 3.2's template itself falls back to: the same prompt on every day.
constexpr std::string_view kPinnedDate = "26 Jul 2024";
/// More than any machine decodes at once to its gain.
constexpr int32_t kMostAtOnce = 256;
/// Of waiting before the first question, where there is a meter to read meanwhile.
constexpr double kIdleSeconds = 2;

}  // namespace

EvalJob job_of(const JobOptions& options) {
  if (options.n_samples < 1 || options.n_samples > 10'000) {
    throw Error(ErrorCode::kUsage, "eval",
                fmt::format("--samples {}: expected 1 to 10000", options.n_samples));
  }
  if (options.batch < 0 || options.batch > kMostAtOnce) {
    throw Error(ErrorCode::kUsage, "eval",
                fmt::format("--batch {}: expected 1 to {}", options.batch, kMostAtOnce));
  }
  if (options.resumes && options.out.empty()) {
    throw Error(ErrorCode::kUsage, "eval", "--resume: the folder of the run to go on with is not said",
                "name it with --out DIR");
  }
  EvalJob job;
  job.suite = part_of(find_suite(options.suite, suite_folders()), options.part);
  job.plan.n_samples = options.n_samples;
  const int32_t batch = options.batch > 0 ? options.batch : default_batch(job.suite);
  // More at once than there are would only be said, of a run of one question even wrongly.
  job.plan.batch = static_cast<int32_t>(std::min<int64_t>(batch, job.plan.n_answers(job.suite)));
  job.plan.settings = job.suite.settings;
  overlay(job.plan.settings, options.settings);
  if (!job.plan.settings.seed) job.plan.settings.seed = 0;
  sampling_of(job.plan.settings);
  job.where = options.where;
  job.prompts = options.prompts;
  if (!job.suite.prompt_template.empty() && job.prompts.template_choice == PromptOptions().template_choice) {
    job.prompts.template_choice = job.suite.prompt_template;
  }
  if (options.resumes) job.start = ItemJournal::Start::kResume;
  return job;
}

void throw_failures(const std::vector<RunRecord>& records, Lang lang) {
  std::vector<FailureRecord> failures;
  for (const RunRecord& record : records) {
    failures.insert(failures.end(), record.failures.begin(), record.failures.end());
  }
  if (failures.empty()) return;
  throw Error(
      failures[0].code, "eval",
      trf(lang, "{} questions failed; the record says which. The first: {}",
          "{} 个问题运行失败，详见记录。第一个：{}", failures.size(), printable(failures[0].message, 400)));
}

EvalRun::EvalRun(const std::string& name, const std::filesystem::path& folder, const EvalJob& job,
                 const Context& context)
    : job_(job), context_(context), plan_(job.plan), energy_(find_energy_meters(), "eval") {
  record_.summary.started_at = utc_timestamp();
  ModelText text = open_model_text(name);
  plan_.eos = text.checkpoint->config().eos;
  prompts_ = std::make_unique<PromptMaker>(prompt_maker(text, job.prompts, std::string(kPinnedDate)));
  ModelOptions where = job.where;
  where.n_sequences = plan_.batch;
  // Prompts that begin alike are read once, except where the seconds of each are wanted.
  model_ =
      load_model(std::move(text), where, context, plan_.settings.max_length.value_or(0), plan_.batch > 1);
  describe(name);
  make_folders(folder);
  journal_ = std::make_unique<ItemJournal>(folder, record_, job.start);
  is_resumed_ = !journal_->rows().empty();
  if (is_finished()) {
    record_ = read_run_record(folder.string());
  } else {
    energy_.measure_idle(kIdleSeconds);
  }
}

/// Reads all weights for their hash.
void EvalRun::describe(const std::string& name) {
  record_.settings = settings_json(job_.suite, plan_);
  describe_model(name, *model_, *prompts_, context_, record_);
  record_.runner = {std::string(model_->engine->runner().name()), model_->engine->runner().why_not_faster()};
  record_.settings["context"] = model_->engine->options().context;
  // It changes no token, but the seconds of all.
  const SpeculationKind speculation = model_->engine->options().speculation;
  record_.settings["speculation"] = name_of(speculation);
  if (speculation == SpeculationKind::kDraft) record_.settings["draft"] = job_.where.draft;
  record_.settings["template"] =
      prompts_->kind() == PromptMaker::Kind::kPlain ? "none" : job_.prompts.template_choice;
}

void EvalRun::ask(std::span<const SuiteItem> items, const EvalEvents& events) {
  if (is_finished()) return;
  const int64_t n_before = model_->engine->stats().n_generated_tokens;
  energy_.begin();
  const bool is_through =
      ask_all({*model_->engine, *prompts_}, items, plan_, *journal_, events, context_.cancel);
  energy_.end(0, "eval", model_->engine->stats().n_generated_tokens - n_before);
  if (is_through) return;
  throw Error(ErrorCode::kCancelled, "eval",
              trf(context_.lang, "{} of {} answers are kept in {}; no record was written",
                  "已完成 {}/{} 个回答，保存在 {}；未写出记录", journal_->rows().size(),
                  plan_.n_answers(job_.suite), (journal_->folder() / "items.jsonl").string()),
              trf(context_.lang, "the same command with --resume --out {} goes on",
                  "用同样的命令加上 --resume --out {} 可继续", job_.out.string()));
}

void EvalRun::fill_memory() {
  MemoryRecord memory;
  memory.weight_bytes = record_.device.weight_bytes;
  memory.kv_bytes = record_.summary.kv_bytes;
  memory.scratch_bytes = scratch_bytes(model_->model.config, model_->engine->runner().limits());
  memory.peak_rss_bytes = record_.summary.peak_rss_bytes;
  memory.device_bytes = device_memory_bytes();
  record_.memory = memory;
}

const RunRecord& EvalRun::finish() {
  if (is_finished()) return record_;
  take_answers(*journal_, job_.suite, record_);
  record_.summary.kv_bytes = model_->engine->stats().kv_bytes;
  record_.energy = energy_.records(0);
  const EngineStats& stats = model_->engine->stats();
  fill_fallbacks(*model_, stats.prefill_s + stats.decode_s, record_);
  fill_memory();
  record_.warnings = warnings_for(record_, prompts_->kind());
  for (RunWarning& warning : warnings_of(*model_)) record_.warnings.push_back(std::move(warning));
  if (auto warning = speculation_warning(*model_)) record_.warnings.push_back(std::move(*warning));
  if (is_resumed_) record_.warnings.push_back(make_warning("resumed"));
  return record_;
}

void EvalRun::write(const RunRecord& record) {
  write_record(journal_->folder(), record, context_.lang);
  journal_->finish(record);
}

}  // namespace chaski::cli
