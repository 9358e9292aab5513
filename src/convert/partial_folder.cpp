#include "convert/partial_folder.h"

#include <exception>
#include <system_error>

#include "base/error.h"
#include "base/files.h"
#include "format/model_folder.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMarker = ".chaski-partial";

/// A slash at the end of a folder's name changes nothing.
fs::path without_slash(const fs::path& path) { return path.has_filename() ? path : path.parent_path(); }

}  // namespace

PartialFolder::PartialFolder(const fs::path& target)
    : target_(without_slash(target)), path_(target_.string() + ".partial") {
  std::error_code problem, ignored;
  const fs::file_status found = fs::symlink_status(path_, ignored);
  if (!fs::exists(found)) {
    fs::create_directory(path_, problem);
    if (problem) throw write_error(path_.string(), problem.value());
  } else if (!fs::is_directory(found) ||
             (!fs::is_empty(path_, ignored) && !fs::exists(path_ / kMarker, ignored))) {
    throw Error(ErrorCode::kUsage, "write model",
                fmt::format("{}: this is in the way and was not made by an earlier run", path_.string()),
                "move it away, or choose another name for the output");
  }
  marker_.emplace(path_ / kMarker);
}

PartialFolder::~PartialFolder() {
  if (!marker_) return;
  try {
    const size_t n_own = 3;  // the folder itself, the one above, the marker
    if (names_in(path_).size() > n_own) return;
    fs::remove(path_ / kMarker);
    fs::remove(path_);
  } catch (const std::exception&) {  // what stays is the next run's
  }
}

void PartialFolder::keep_only(const std::set<std::string>& names) {
  for (const std::string& name : names_in(path_)) {
    if (name == "." || name == ".." || name == kMarker || names.count(name) > 0) continue;
    std::error_code problem;
    fs::remove(path_ / name, problem);
    if (problem) throw write_error((path_ / name).string(), problem.value());
  }
}

void PartialFolder::commit() {
  std::error_code problem;
  fs::rename(path_, target_, problem);
  if (problem) throw write_error(target_.string(), problem.value());
  fs::remove(target_ / kMarker, problem);
  marker_.reset();
  sync_folder_of(target_ / kMarker);
  sync_folder_of(target_);
}

}  // namespace chaski
