#include "lab/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "base/files.h"

namespace chaski {

namespace fs = std::filesystem;

FolderLock::FolderLock(const fs::path& folder) {
  fd_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd_ < 0) throw write_error(folder.string(), errno);
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  ::close(fd_);
  throw Error(ErrorCode::kUsage, "eval", fmt::format("{}: another run writes into it now", folder.string()),
              "wait for it, or give another folder: --out DIR");
}

FolderLock::~FolderLock() { ::close(fd_); }

fs::path move_aside(const fs::path& folder, const std::vector<std::string>& files,
                    const std::vector<std::string>& folders) {
  std::vector<fs::path> found;
  std::error_code fault;
  for (const std::string& name : files) {
    if (fs::is_regular_file(folder / name, fault)) found.push_back(folder / name);
  }
  for (const std::string& name : folders) {
    if (fs::is_directory(folder / name, fault)) found.push_back(folder / name);
  }
  if (found.empty()) return {};
  fs::path older;
  for (int n = 1;; ++n) {
    older = folder / fmt::format("older-{}", n);
    if (fs::create_directory(older, fault)) break;
    if (fault) throw write_error(older.string(), fault.value());
  }
  for (const fs::path& path : found) {
    fs::rename(path, older / path.filename(), fault);
    if (fault) throw write_error(path.string(), fault.value());
  }
  return older;
}

}  // namespace chaski
