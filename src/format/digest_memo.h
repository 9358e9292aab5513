// Digests of large files, remembered, so that a file that nobody has touched is not read again to name it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/files.h"

namespace chaski {

/// One small file for each path. What is damaged, old or not readable is as if it were not there; where
/// nothing can be written, nothing is remembered. Safe to use from several processes and threads.
class DigestMemo {
 public:
  explicit DigestMemo(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// The digest of the file whose identity is this one, if it was remembered.
  std::optional<std::string> find(const FileIdentity& file) const;
  /// `file` is as it was before its bytes were read; `read_at_ns`, since 1970, when that began. Not kept for
  /// a file written to so shortly before that its times might not tell a later write.
  void remember(const FileIdentity& file, const std::string& digest, int64_t read_at_ns) const noexcept;

 private:
  std::filesystem::path place_of(const FileIdentity& file) const;
  std::filesystem::path folder_;
};

}  // namespace chaski
