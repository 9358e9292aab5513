// One model's evaluation, from loading it to the files of its run. `eval` asks all of a suite at once;
// `review` asks two models by turns.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cli/models.h"
#include "lab/eval.h"
#include "lab/run_energy.h"

namespace chaski::cli {

/// What is asked and how, the same for every model.
struct EvalJob {
  Suite suite;
  EvalPlan plan;  ///< without eos, which is the model's
  ModelOptions where;
  PromptOptions prompts;
  ItemJournal::Start start = ItemJournal::Start::kFresh;
  std::filesystem::path out;  ///< the command's folder, by which it is resumed
};

/// What the command line says of a job; seed 0 unless told. Throws Error(kUsage) naming what is out of range,
/// and what find_suite throws.
struct JobOptions {
  std::string suite;
  SuitePart part;
  int64_t n_samples = 1;
  int32_t batch = 0;  ///< 0: the suite's default
  bool resumes = false;
  std::string out;  ///< that --resume needs
  ModelOptions where;
  GenerationSettings settings;
  PromptOptions prompts;
};
EvalJob job_of(const JobOptions& options);

/// Throws what the first question that failed says, where one did.
void throw_failures(const std::vector<RunRecord>& records, Lang lang);

class EvalRun {
 public:
  /// Loads the model and begins, or goes on with, its run in `folder`. `job` must live on. Throws what
  /// load_model and ItemJournal throw.
  EvalRun(const std::string& name, const std::filesystem::path& folder, const EvalJob& job,
          const Context& context);

  /// The run in the folder was finished before: record() is its record, and there is nothing to ask.
  bool is_finished() const { return journal_->is_finished(); }
  /// What is known so far; without answers until finish().
  const RunRecord& record() const { return record_; }
  const LoadedModel& model() const { return *model_; }
  const ItemJournal& journal() const { return *journal_; }

  /// Ask items that have no answer yet. Throws Error(kCancelled), saying what is kept.
  void ask(std::span<const SuiteItem> items, const EvalEvents& events);
  /// All that the run says of itself, into the record. Nothing is written.
  const RunRecord& finish();
  /// Write `record`, which is this run's, as the run's files.
  void write(const RunRecord& record);

 private:
  void describe(const std::string& name);
  void fill_memory();

  const EvalJob& job_;
  const Context& context_;
  EvalPlan plan_;
  RunRecord record_;
  std::unique_ptr<LoadedModel> model_;
  std::unique_ptr<PromptMaker> prompts_;
  std::unique_ptr<ItemJournal> journal_;
  RunEnergy energy_;
  bool is_resumed_ = false;
};

}  // namespace chaski::cli
