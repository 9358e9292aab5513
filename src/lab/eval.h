// Asking a model a suite's questions, one after the other, and writing down what came back. Loading the model
// and talking to the person are the caller's.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel.h"
#include "base/files.h"
#include "engine/engine.h"
#include "format/checkpoint.h"
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
};

/// What the caller hears of while questions are asked. All may be empty.
struct EvalEvents {
  std::function<void(const SuiteItem& item, int64_t sample)> on_question;
  OnText on_text;
  std::function<void(const AnswerRecord& answer, const std::string& error)> on_answer;
};

/// items.jsonl, one whole line per answer: what is there when the program dies is a prefix of whole lines.
class ItemJournal {
 public:
  /// Starts the file afresh. Throws write_error.
  explicit ItemJournal(const std::filesystem::path& path);
  ~ItemJournal();
  ItemJournal(const ItemJournal&) = delete;
  ItemJournal& operator=(const ItemJournal&) = delete;
  /// Throws Error(kIo) where the disk is full; the file then still ends with the line before.
  void append(std::string_view line);

 private:
  std::string path_;
  int fd_ = -1;
  int64_t size_ = 0;
};

/// Ask all items, n_samples times each, into record.items, record.failures and the journal. A question that
/// fails is a failure of the record and not the end of the run. False where `cancel` stopped it: the answer
/// under way is dropped.
bool ask_all(Engine& engine, const PromptMaker& prompts, const Suite& suite, const EvalPlan& plan,
             RunRecord& record, ItemJournal& journal, const EvalEvents& events, const CancelToken& cancel);

/// The types that hold most bytes of a model's weights, as "q4_1 86%, q8_0 13%".
std::string weight_types(const Checkpoint& checkpoint);

/// What the model is, for the record; reads all weights once for their hash, and tells `on_bytes` of it.
ModelFacts model_facts(const std::string& id, const Checkpoint& checkpoint, const PromptMaker& prompts,
                       const OnBytes& on_bytes = {});
MachineFacts machine_facts();

/// settings.* of the record.
OrderedJson settings_json(const Suite& suite, const EvalPlan& plan);

/// The warnings that the record's own contents call for, and the kind of prompt.
std::vector<RunWarning> warnings_for(const RunRecord& record, PromptMaker::Kind kind);

/// run.json and report.md in `folder`, each whole or not at all.
void write_record(const std::filesystem::path& folder, const RunRecord& record, Lang lang);

}  // namespace chaski
