// What a run's record says of itself, fact by fact, for one run or several beside each other: model, device,
// program, settings. Measurements are in run_tables.h.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "report/run_record.h"
#include "report/table.h"

namespace chaski {

/// A record as a page shows it. The record must live on.
struct RunView {
  const RunRecord* record = nullptr;
  std::string side;    ///< "a" or "b" of a comparison; empty for a run alone
  std::string name;    ///< for headings: the model's, and what tells it from the other
  std::string source;  ///< where its run.json is, as the user named it
};

/// What a fact is of: where facts of two groups differ between two runs, a difference in the results has no
/// single cause.
enum class FactGroup {
  kNone,
  kModel,
  kFormat,
  kTemplate,
  kDevice,
  kProgram,
  kSettings,
  kQuestions,
  kScoring
};
std::string_view title_of(FactGroup group, Lang lang);

struct Fact {
  FactGroup group = FactGroup::kNone;
  std::string title;
  std::string value;  ///< not trusted
};
/// The same titles in the same order for every record of one set of settings; empty values are left out.
std::vector<Fact> facts_of(const RunRecord& record, Lang lang);

/// A row per fact that any run has, a column per run.
Table facts_table(std::span<const RunView> runs, Lang lang);

/// Bytes of a run, from the record's memory and else from device and summary; 0: not known.
struct MemoryParts {
  int64_t weight_bytes = 0;  ///< as the device holds them
  int64_t kv_bytes = 0, scratch_bytes = 0, peak_rss_bytes = 0;
  /// What was asked for and no repetition changes: weights, KV cache, scratch; 0 where the weights are not
  /// known.
  int64_t allotted_bytes() const { return weight_bytes > 0 ? weight_bytes + kv_bytes + scratch_bytes : 0; }
};
MemoryParts memory_of(const RunRecord& record);

/// What tells a question from every other: its id and its text, since suites number theirs alike.
std::string question_key(const AnswerRecord& item);

/// Name of the record's model without folders and owners.
std::string model_name(const RunRecord& record);

/// Title of the suite in the reader's language, else of the kind of run.
std::string run_title(const RunRecord& record, Lang lang);

/// A setting's value as a person writes it.
std::string value_text(const OrderedJson& value);

/// "A", "B", or nothing for a run alone.
std::string side_letter(const RunView& run);

}  // namespace chaski
