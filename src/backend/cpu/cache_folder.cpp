#include "backend/cpu/cache_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <vector>

#include "base/checked.h"
#include "base/error.h"
#include "base/files.h"
#include "base/rng.h"

namespace chaski::cpu {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxTries = 16;
constexpr std::string_view kPartialSuffix = ".partial-";

struct Kept {
  fs::path path;
  uint64_t bytes = 0;  ///< on the disk
  int64_t used_ns = 0;
};

/// Remove a file that somebody began to write and did not live to finish: nobody holds its lock.
void clear_if_abandoned(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return;
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) ::unlink(path.c_str());
  ::close(fd);
}

/// The finished files of a folder, the one used longest ago first.
std::vector<Kept> kept_in(const fs::path& folder) {
  std::vector<Kept> kept;
  std::error_code fault;
  for (fs::directory_iterator it(folder, fault), end; !fault && it != end; it.increment(fault)) {
    const fs::path& path = it->path();
    if (path.filename().string().find(std::string(kPackSuffix) + std::string(kPartialSuffix)) !=
        std::string::npos) {
      clear_if_abandoned(path);
      continue;
    }
    struct stat info {};
    if (path.extension() != kPackSuffix || ::lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) {
      continue;
    }
    kept.push_back({path, static_cast<uint64_t>(info.st_blocks) * 512,
                    std::max(nanoseconds_of(info.st_atim), nanoseconds_of(info.st_mtim))});
  }
  std::sort(kept.begin(), kept.end(), [](const Kept& a, const Kept& b) { return a.used_ns < b.used_ns; });
  return kept;
}

void make_room(const fs::path& folder, uint64_t bytes) {
  struct statvfs disk {};
  if (::statvfs(folder.c_str(), &disk) != 0) throw write_error(folder.string(), errno);
  const auto free = checked_mul<uint64_t>(disk.f_bavail, disk.f_frsize);
  const std::vector<Kept> kept = kept_in(folder);
  uint64_t taken = 0;
  for (const Kept& file : kept) taken += file.bytes;
  const uint64_t most = (free.value_or(UINT64_MAX / 2) / 2) + taken / 2;
  if (bytes > most) {
    throw Error(
        ErrorCode::kIo, "keep packed weights",
        fmt::format("{}: {} MB are needed, at most {} MB may be taken of the {} MB free", folder.string(),
                    bytes / 1'000'000, most / 1'000'000, free.value_or(0) / 1'000'000),
        "free some space; --no-cache goes without");
  }
  for (const Kept& file : kept) {
    if (taken + bytes <= most) break;
    if (::unlink(file.path.c_str()) == 0) taken -= file.bytes;
  }
}

/// Whether the new file is ours: another process may have found it before we locked it, and cleared it.
bool is_secured(int fd) {
  // Where the file system has no locks, nobody clears it, and left behind it stays.
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return false;
  struct stat info {};
  return ::fstat(fd, &info) == 0 && info.st_nlink > 0;
}

}  // namespace

PartialFile begin_pack_file(const fs::path& folder, const std::string& stem, uint64_t bytes) {
  std::error_code fault;
  fs::create_directories(folder, fault);
  if (fault) throw write_error(folder.string(), fault.value());
  make_room(folder, bytes);
  for (int i = 0; i < kMaxTries; ++i) {
    PartialFile file;
    file.path = folder / fmt::format("{}{}{}{:014x}", stem, kPackSuffix, kPartialSuffix, draw_seed());
    file.fd = ::open(file.path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file.fd < 0) throw write_error(folder.string(), errno);
    if (is_secured(file.fd)) return file;
    ::unlink(file.path.c_str());
    ::close(file.fd);
  }
  throw Error(ErrorCode::kIo, "keep packed weights",
              fmt::format("{}: other processes remove what is written there", folder.string()));
}

void mark_used(int fd) {
  const timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
  [[maybe_unused]] const int done = ::futimens(fd, times);
}

}  // namespace chaski::cpu
