// Asking a model a suite's questions, several at once where their times do not count, and the record of what
// came back. Loading the model and talking to the person are the caller's; scores are eval_scores.h's.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "base/cancel.h"
#include "engine/engine.h"
#include "lab/item_journal.h"
#include "lab/model_facts.h"
#include "lab/suite.h"
#include "report/lang.h"
#include "report/run_record.h"
#include "text/prompt.h"

namespace chaski {

/// How the questions are asked.
struct EvalPlan {
  GenerationSettings settings;  ///< with the seed
  std::vector<int32_t> eos;     ///< tokens that end an answer
  int64_t n_samples = 1;        ///< answers per question
  int32_t batch = 1;            ///< answers under way at once; the engine has room for as many sequences

  int64_t n_answers(const Suite& suite) const { return static_cast<int64_t>(suite.items.size()) * n_samples; }
};

/// How many to ask at once where nobody says: one where a suite's seconds are what is wanted.
int32_t default_batch(const Suite& suite);

/// What the caller hears of while questions are asked. All may be empty.
struct EvalEvents {
  std::function<void(const SuiteItem& item, int64_t sample)> on_question;
  OnText on_text;                                  ///< only where one is asked at a time
  std::function<void(const ItemRow& row)> on_row;  ///< after it is in the journal
};

/// Who answers; all must outlive the asking.
struct EvalSubject {
  Engine& engine;
  const PromptMaker& prompts;
};

/// Ask what the journal does not have yet, each of the items n_samples times. A question that fails
/// is a row that says so and not the end of the run. False where `cancel` stopped it: answers under way are
/// dropped. The same text whatever the batch.
bool ask_all(const EvalSubject& subject, std::span<const SuiteItem> items, const EvalPlan& plan,
             ItemJournal& journal, const EvalEvents& events, const CancelToken& cancel);

/// The journal's rows as the record's items, failures, metrics and summary, in the suite's order.
void take_answers(const ItemJournal& journal, const Suite& suite, RunRecord& record);

/// ttft_s, tpot_s, itl_s, e2e_s, decode_tokens_per_s, characters_per_s over the answers, as far as there are
/// any. Their definitions: docs/en/metrics.md.
std::vector<NamedMetric> answer_metrics(const std::vector<const ItemRow*>& rows);

/// settings.* of the record.
OrderedJson settings_json(const Suite& suite, const EvalPlan& plan);

/// The warnings that the record's own contents call for, and the kind of prompt.
std::vector<RunWarning> warnings_for(const RunRecord& record, PromptMaker::Kind kind);

/// run.json and report.md in `folder`, each whole or not at all.
void write_record(const std::filesystem::path& folder, const RunRecord& record, Lang lang);

}  // namespace chaski
