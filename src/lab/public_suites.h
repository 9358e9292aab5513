// Public sets of questions, read from their own public files and scored by their own protocols: `--suite
// humaneval:FILE`. Each is a class of its own (gsm8k.cpp is the shortest) and a line in public_suites().
// Suites of ours, which are data, are suite.h's.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel.h"
#include "base/json.h"
#include "lab/code_runner.h"
#include "lab/suite.h"
#include "report/run_record.h"

namespace chaski {

/// One public set: how its file is read, and how an answer is judged.
class PublicSuite {
 public:
  virtual ~PublicSuite() = default;
  /// What stands before the colon, and in Suite::protocol.
  virtual std::string_view name() const = 0;
  /// The set in that file: items, the settings and the template that its protocol asks for. Throws
  /// Error(kNotFound) with a hint where the file comes from, Error(kCorrupt) naming file and line.
  virtual Suite load(const std::string& path) const = 0;
  /// Right or wrong, without a score of 1 to 5. `runner` may be null: code is then "not_run".
  virtual ScoreRecord score(const SuiteItem& item, const AnswerRecord& answer, CodeRunner* runner,
                            const CancelToken& cancel) const = 0;
  /// The protocol's figures from the scores of a whole run.
  virtual std::vector<TaskResult> results(std::span<const ScoreRecord> scores) const = 0;
};

/// All that the program knows.
std::span<const PublicSuite* const> public_suites();

/// The one by whose protocol the suite is scored; null where a rubric does that.
const PublicSuite* public_suite_of(const Suite& suite);

/// The set that "NAME:FILE" names; nothing where no set has that name. Throws as load does.
std::optional<Suite> load_public_suite(const std::string& name_and_file);

/// For each question the mean over its samples of that component of their scores; scores without it are left
/// out.
std::map<std::string, double> component_by_item(std::span<const ScoreRecord> scores,
                                                std::string_view component);
/// Mean and standard error of `shares`, which are not none.
TaskResult mean_result(std::string task, std::string metric, std::span<const double> shares);

/// The text of a public file, unpacked where it is packed by gzip, refused over 256 MiB. Throws
/// Error(kNotFound), kCorrupt.
std::string read_public_file(const std::string& path);
/// The text that gzip packed. `where` names it in errors. Throws Error(kCorrupt).
std::string gunzip(std::string_view packed, std::string_view where, size_t max_bytes);

/// Calls `take(object, place)` for each line that is not blank, each a JSON object; `place` names file and
/// line. Throws Error(kCorrupt) for what is none, is over 1 MiB, or comes after 100,000 others; the errors'
/// operation is `operation`.
void for_each_json_line(std::string_view jsonl, std::string_view where, std::string_view operation,
                        const std::function<void(Json object, const std::string& place)>& take);

}  // namespace chaski
