// A folder that is filled under another name and appears under its own when it is whole.
#pragma once

#include <filesystem>
#include <optional>
#include <set>
#include <string>

#include "base/locked_file.h"

namespace chaski {

/// TARGET.partial, with a marker in it that says whose it is and keeps other processes out. What is in it
/// stays for a later run unless nothing is but the marker.
class PartialFolder {
 public:
  /// Makes the folder, or takes one that an earlier run left. Throws Error(kUsage) where another process
  /// writes it, or where what is there was not made by us; Error(kIo) naming what cannot be written.
  explicit PartialFolder(const std::filesystem::path& target);
  ~PartialFolder();
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// Remove what earlier runs left, except for `names`. Throws Error(kIo) naming what cannot be removed.
  void keep_only(const std::set<std::string>& names);
  /// Give the folder its name. Throws Error(kIo).
  void commit();

 private:
  std::filesystem::path target_, path_;
  std::optional<LockedFile> marker_;
};

}  // namespace chaski
