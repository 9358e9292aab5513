// Scores of a run's answers, without its model: the record and the suite that it was asked are enough. What a
// score means is in scorer.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "lab/judge.h"
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
/// name and hash, the tier of the sandbox, and the means by type. A question that failed is scored as an
/// empty answer. Several answers are scored at once, where programs in them take the time: `runner` is called
/// and `on_progress` heard from several threads, the latter from one at a time. Throws Error(kCancelled), the
/// record then as it was.
void score_run(RunRecord& record, const Suite& suite, const Rubric& rubric, CodeRunner& runner,
               const CancelToken& cancel,
               const std::function<void(int64_t done, int64_t total)>& on_progress = {});

/// Whether score_run would give the scores that the record has: by the same rubric or protocol, and no code
/// that could not be run before and could be now.
bool is_scored_by(const RunRecord& record, const Suite& suite, const Rubric& rubric,
                  const CodeRunner& runner);

/// The judge's grades of all answers, beside the other scores and in place of its own earlier ones, and
/// scoring.judge with its facts and means by type. A question that failed gets a 1 unasked. Throws what
/// Judge::score throws, the record then as it was.
void judge_run(RunRecord& record, const Suite& suite, Judge& judge, const CancelToken& cancel,
               const std::function<void(int64_t done, int64_t total)>& on_progress = {});

}  // namespace chaski
