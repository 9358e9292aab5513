// Where an evaluation finds its suite and leaves its files.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "report/lang.h"

namespace chaski::cli {

/// Folders of suites beside those built in: the user's own, then the installation's.
std::vector<std::filesystem::path> suite_folders();

/// Throws Error(kIo) with a hint.
void make_folders(const std::filesystem::path& folder);

/// Say on standard error that the unfinished run in `folder` can be gone on with there.
void note_resumable(const std::filesystem::path& folder, Lang lang);

/// A new folder below CHASKI_HOME/runs that no other run has, named after the time and `name`.
std::filesystem::path claim_folder(const std::string& name);

/// One folder per model: `out` itself where there is one model, else named folders in it.
std::vector<std::filesystem::path> folders_in(const std::filesystem::path& out,
                                              const std::vector<std::string>& models);

}  // namespace chaski::cli
