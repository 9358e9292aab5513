// Public sets of questions, read from their own public files and scored by their own protocols: `--suite
// humaneval:FILE`. Each is a class of its own (human_eval.cpp is the example) and a line in public_suites().
// Suites of ours, which are data, are suite.h's.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel.h"
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

/// The text of a public file, unpacked where it is packed by gzip, refused over 256 MiB. Throws
/// Error(kNotFound), kCorrupt.
std::string read_public_file(const std::string& path);
/// The text that gzip packed. `where` names it in errors. Throws Error(kCorrupt).
std::string gunzip(std::string_view packed, std::string_view where, size_t max_bytes);

}  // namespace chaski
