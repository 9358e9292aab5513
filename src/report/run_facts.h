// What a run's record says of itself, fact by fact, for one run or several beside each other: model, device,
// program, settings. Measurements are in run_tables.h.
#pragma once

#include <optional>
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

/// By how well they tell runs of one model apart, best first.
inline constexpr FactGroup kTellingGroups[] = {
    FactGroup::kTemplate, FactGroup::kFormat,  FactGroup::kDevice,    FactGroup::kModel,
    FactGroup::kSettings, FactGroup::kProgram, FactGroup::kQuestions, FactGroup::kScoring};

struct Fact {
  FactGroup group = FactGroup::kNone;
  std::string title;
  /// Not trusted. Several speak for themselves, as of a device; one alone, as a temperature, needs its title.
  std::vector<std::string> parts;

  std::string value() const;
};
/// The same titles in the same order for every record of one set of settings; empty values are left out.
std::vector<Fact> facts_of(const RunRecord& record, Lang lang);

/// What of a fact not all `others` have, to tell its run from theirs in a few words; empty where they have it
/// all.
std::string label_of(const Fact& fact, std::span<const Fact> others);

/// By run, given the facts of each: what tells it from the others, best first, with commas; empty for runs
/// alike.
std::vector<std::string> labels_of(std::span<const std::vector<Fact>> runs);

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

/// Answers of an eval that were under way at once; 1 where the record does not say.
int64_t batch_of(const RunRecord& record);

/// Seconds in which all answers were made: their sum where one was made at a time, else the wall time;
/// nothing where that was not recorded.
std::optional<double> answers_s(const RunRecord& record);

/// Where a part of a suite was asked, which: "4 of 109 questions, types code, the first 2 of each type".
/// Empty where all was.
std::string part_text(const RunRecord& record, Lang lang);

/// What tells a question from every other: its id and its text, since suites number theirs alike.
std::string question_key(const AnswerRecord& item);

/// Whether every run answered the same questions as often.
bool answered_alike(std::span<const RunView> runs);

/// Name of the record's model without folders and owners.
std::string model_name(const RunRecord& record);

/// Title of the suite in the reader's language, else of the kind of run.
std::string run_title(const RunRecord& record, Lang lang);

/// A setting's value as a person writes it.
std::string value_text(const OrderedJson& value);

/// "A", "B", or nothing for a run alone.
std::string side_letter(const RunView& run);

}  // namespace chaski
