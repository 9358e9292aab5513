// Scores of a run's answers, without its model: the record and the suite that it was asked are enough. What a
// score means is in scorer.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "lab/scorer.h"
#include "lab/suite.h"
#include "report/run_record.h"

namespace chaski {

/// The rubric in `file`; where that is empty the suite's own, else the built-in one.
Rubric rubric_for(const Suite& suite, const std::string& file);

/// The suite whose questions the record's are, known by its hash: `name_or_path`, or where that is empty
/// where the run found it, or by its name in `folders` and among those built in. Throws Error(kNotFound)
/// where there is none, kUsage naming both hashes where it is another or was changed since.
Suite suite_of(const RunRecord& record, const std::string& name_or_path,
               const std::vector<std::filesystem::path>& folders);

/// Score all answers by `rubric`: record.scores but those of judges, and record.scoring with the rubric's
/// name and hash, the tier of the sandbox, and the means by type. An answer that failed has no score. Throws
/// Error(kCancelled), the record then as it was.
void score_run(RunRecord& record, const Suite& suite, const Rubric& rubric, CodeRunner& runner,
               const CancelToken& cancel,
               const std::function<void(int64_t done, int64_t total)>& on_progress = {});

}  // namespace chaski
