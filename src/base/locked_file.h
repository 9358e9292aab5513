// A file that one process at a time has open for writing. What is in it is the caller's matter.
#pragma once

#include <filesystem>

namespace chaski {

/// Opened for reading and writing, made where it is not there, and locked until the end. Throws
/// Error(kUsage) where another process has it, and Error(kIo) naming it.
class LockedFile {
 public:
  explicit LockedFile(const std::filesystem::path& path);
  ~LockedFile();
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;

  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

/// Wait until the disk has the names in the folder of `path`; as far as the file system can.
void sync_folder_of(const std::filesystem::path& path) noexcept;

}  // namespace chaski
