// From a RUN argument to its record, the same for all commands; and a finished run kept for `history`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "cli/options.h"
#include "report/run_record.h"

namespace chaski::cli {

/// The record of `run`: a run.json, a folder that has one, or an id that `history` lists. Throws
/// Error(kNotFound) saying where it looked, kUsage for a folder of runs, and what read_run_record and
/// RunStore throw.
RunRecord find_run(const std::string& run);

/// The id of a run, from its digits; nothing for another text.
std::optional<int64_t> run_id_of(const std::string& run);

/// Where this user's runs are kept: CHASKI_HOME/runs.db.
std::filesystem::path run_store_path();

/// Keep a finished run, whose files are in `folder` (empty: nowhere), for `history`. Where that fails, a note
/// on standard error says so: the run itself is lost in no case, and nothing is thrown. Returns its id there.
std::optional<int64_t> remember_run(const RunRecord& record, const std::filesystem::path& folder,
                                    const Context& context);

}  // namespace chaski::cli
