#include "base/locked_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "base/files.h"

namespace chaski {
namespace {

constexpr int kMaxTries = 16;

/// Whether `path` still names the file that is open: another process may have renamed or removed it between
/// our opening and our lock.
bool is_still_named(int fd, const std::filesystem::path& path) {
  struct stat opened {
  }, named{};
  return ::fstat(fd, &opened) == 0 && ::lstat(path.c_str(), &named) == 0 && opened.st_dev == named.st_dev &&
         opened.st_ino == named.st_ino;
}

}  // namespace

LockedFile::LockedFile(const std::filesystem::path& path) {
  for (int i = 0; i < kMaxTries; ++i) {
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (fd_ < 0) throw write_error(path.string(), errno);
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) break;
    if (is_still_named(fd_, path)) return;
    ::close(fd_);
    fd_ = -1;
  }
  if (fd_ >= 0) ::close(fd_);
  throw Error(ErrorCode::kUsage, "write file",
              fmt::format("{}: another process is writing it", path.string()),
              "wait until it is done, or choose another name");
}

LockedFile::~LockedFile() { ::close(fd_); }

void sync_folder_of(const std::filesystem::path& path) noexcept {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;
  ::fsync(directory);
  ::close(directory);
}

}  // namespace chaski
