#include "cli/run_folders.h"

#include <algorithm>

#include "base/error.h"
#include "base/files.h"

namespace chaski::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostIndexBytes = 1u << 20;

/// The text of its index.md; empty where there is none that can be read.
std::string index_of(const fs::path& folder) {
  std::error_code ignored;
  if (!fs::is_regular_file(folder / "index.md", ignored)) return "";
  try {
    return read_text_file((folder / "index.md").string(), kMostIndexBytes);
  } catch (const Error&) {
    return "";
  }
}

size_t place_in(const std::string& index, const fs::path& run) {
  return index.find("](" + run.filename().string() + "/run.json)");
}

}  // namespace

std::vector<fs::path> run_folders_in(const fs::path& folder) {
  std::vector<fs::path> runs;
  std::error_code fault;
  for (fs::directory_iterator entry(folder, fault), end; !fault && entry != end; entry.increment(fault)) {
    std::error_code ignored;
    if (fs::is_regular_file(entry->path() / "run.json", ignored)) runs.push_back(entry->path());
  }
  std::sort(runs.begin(), runs.end());
  const std::string index = index_of(folder);
  std::stable_sort(runs.begin(), runs.end(), [&](const fs::path& a, const fs::path& b) {
    return place_in(index, a) < place_in(index, b);
  });
  return runs;
}

std::vector<fs::path> reviewed_folders_in(const fs::path& folder) {
  const std::string index = index_of(folder);
  std::vector<fs::path> runs = run_folders_in(folder);
  std::erase_if(runs, [&](const fs::path& run) { return place_in(index, run) == std::string::npos; });
  return runs;
}

bool holds_runs(const fs::path& folder) {
  std::error_code ignored;
  return fs::is_directory(folder, ignored) && !fs::exists(folder / "run.json", ignored) &&
         !run_folders_in(folder).empty();
}

}  // namespace chaski::cli
