#include "hub/safe_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.h"
#include "base/files.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

constexpr int kFolder = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;

/// A folder in `parent`, made where it is not there; -1 with errno where it cannot be had.
OwnedFd folder_in(int parent, const std::string& name, bool is_made) {
  if (is_made && ::mkdirat(parent, name.c_str(), 0777) != 0 && errno != EEXIST) return OwnedFd();
  return OwnedFd(::openat(parent, name.c_str(), kFolder));
}

Error in_the_way(const fs::path& path) {
  return Error(ErrorCode::kUsage, "write file",
               fmt::format("{}: a link, a folder or something else is where a file or folder of the "
                           "repository belongs",
                           path.string()),
               "move it away, or choose another folder");
}

}  // namespace

OwnedFd::~OwnedFd() {
  if (fd_ >= 0) ::close(fd_);
}
OwnedFd& OwnedFd::operator=(OwnedFd&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}
int OwnedFd::release() {
  const int fd = fd_;
  fd_ = -1;
  return fd;
}

SafeFolder::SafeFolder(const fs::path& path) : path_(path) {
  std::error_code problem;
  fs::create_directories(path_, problem);
  root_ = OwnedFd(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (root_.get() < 0) throw write_error(path_.string(), problem ? problem.value() : errno);
  own_ = folder_in(root_.get(), kOwn, true);
  if (own_.get() < 0) {
    if (errno == ELOOP || errno == ENOTDIR) throw in_the_way(own_path());
    throw write_error(own_path().string(), errno);
  }
}

OwnedFd SafeFolder::parent_of(const std::string& name, bool is_made, std::string& leaf) const {
  CHECK(is_safe_relative_name(name), "an unsafe name came as far as here");
  OwnedFd folder(::openat(root_.get(), ".", kFolder));
  std::string rest = name;
  for (size_t slash = rest.find('/'); slash != std::string::npos; slash = rest.find('/')) {
    OwnedFd inner = folder_in(folder.get(), rest.substr(0, slash), is_made);
    if (inner.get() < 0) {
      const int problem = errno;
      if (problem == ENOENT && !is_made) return OwnedFd();
      const fs::path shown = path_ / name.substr(0, name.size() - rest.size() + slash);
      if (problem == ELOOP || problem == ENOTDIR) throw in_the_way(shown);
      throw write_error(shown.string(), problem);
    }
    folder = std::move(inner);
    rest.erase(0, slash + 1);
  }
  leaf = rest;
  return folder;
}

std::optional<uint64_t> SafeFolder::size_of(const std::string& name) const {
  std::string leaf;
  const OwnedFd folder = parent_of(name, false, leaf);
  struct stat info {};
  if (folder.get() < 0 || ::fstatat(folder.get(), leaf.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return std::nullopt;
  }
  if (!S_ISREG(info.st_mode)) throw in_the_way(path_ / name);
  return static_cast<uint64_t>(info.st_size);
}

OwnedFd SafeFolder::open_own(const std::string& name) const {
  OwnedFd file(
      ::openat(own_.get(), name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666));
  struct stat info {};
  if (file.get() < 0) {
    if (errno == ELOOP || errno == EISDIR) throw in_the_way(own_path() / name);
    throw write_error((own_path() / name).string(), errno);
  }
  if (::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) throw in_the_way(own_path() / name);
  return file;
}

void SafeFolder::remove_own(const std::string& name) const noexcept {
  ::unlinkat(own_.get(), name.c_str(), 0);
}

void SafeFolder::publish(const std::string& own, const std::string& name) const {
  size_of(name);  // throws where something else is in its place
  std::string leaf;
  const OwnedFd folder = parent_of(name, true, leaf);
  if (::renameat(own_.get(), own.c_str(), folder.get(), leaf.c_str()) != 0) {
    throw write_error((path_ / name).string(), errno);
  }
  ::fsync(folder.get());
}

void SafeFolder::remove(const std::string& name) const noexcept {
  try {
    std::string leaf;
    const OwnedFd folder = parent_of(name, false, leaf);
    if (folder.get() >= 0) ::unlinkat(folder.get(), leaf.c_str(), 0);
  } catch (const std::exception&) {
  }
}

std::optional<uint64_t> SafeFolder::free_bytes() const {
  struct statvfs info {};
  if (::fstatvfs(root_.get(), &info) != 0 || info.f_frsize == 0) return std::nullopt;
  const uint64_t available = uint64_t{info.f_bavail} * info.f_frsize;
  const uint64_t left = std::min<uint64_t>(uint64_t{1} << 30, uint64_t{info.f_blocks} * info.f_frsize / 20);
  return available - std::min(available, left);
}

}  // namespace chaski
