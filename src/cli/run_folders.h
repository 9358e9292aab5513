// Folders that hold the folders of runs, as `review` and an `eval` of several models leave them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace chaski::cli {

/// The folders right below `folder` that hold a run.json: in the order in which its index.md names them, as a
/// review's does A before B; those that it does not name after them, by name. None where `folder` is no
/// folder.
std::vector<std::filesystem::path> run_folders_in(const std::filesystem::path& folder);

/// Those of them that its index.md names: the runs of a review.
std::vector<std::filesystem::path> reviewed_folders_in(const std::filesystem::path& folder);

/// Whether `folder` is one that holds runs and is none itself.
bool holds_runs(const std::filesystem::path& folder);

}  // namespace chaski::cli
