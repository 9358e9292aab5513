// The folder that a run leaves its files in: one writer at a time, and nothing that is there is overwritten.
// What the files hold is item_journal.h's and the commands'.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace chaski {

/// Holds a folder for its run alone while it lives. A file system that has no locks is used without.
class FolderLock {
 public:
  /// Throws Error(kUsage) where another run holds it, write_error where there is no such folder.
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int fd_ = -1;
};

/// Move those `files` and `folders` that are in `folder`, by name, to a new folder older-N in it: N is 1, or
/// the first number that is free. Gives that folder; empty where there was nothing to move. Throws
/// write_error.
std::filesystem::path move_aside(const std::filesystem::path& folder, const std::vector<std::string>& files,
                                 const std::vector<std::string>& folders = {});

}  // namespace chaski
