// A folder into which files of untrusted names are put: nothing outside of it is ever touched, whatever links
// lie in it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace chaski {

/// A file descriptor that closes itself.
class OwnedFd {
 public:
  explicit OwnedFd(int fd = -1) : fd_(fd) {}
  ~OwnedFd();
  OwnedFd(OwnedFd&& other) noexcept : fd_(other.release()) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept;
  int get() const { return fd_; }
  int release();

 private:
  int fd_;
};

/// Folders below it are made as they are needed and never followed where they are links. All throw
/// Error(kIo) naming path and reason, and Error(kUsage) where something else is in a file's place.
class SafeFolder {
 public:
  /// Made where it is not there.
  explicit SafeFolder(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  /// Where unfinished work and the manifest are: `.chaski` in it.
  std::filesystem::path own_path() const { return path_ / kOwn; }

  /// The size of the regular file; nothing where there is none.
  std::optional<uint64_t> size_of(const std::string& name) const;
  /// A file in `.chaski`, made where it is not there.
  OwnedFd open_own(const std::string& name) const;
  void remove_own(const std::string& name) const noexcept;
  /// Gives the file `own` in `.chaski` its name and waits until the disk knows it.
  void publish(const std::string& own, const std::string& name) const;
  void remove(const std::string& name) const noexcept;
  /// Bytes that may still be written, some being left for others; nothing where that cannot be told.
  std::optional<uint64_t> free_bytes() const;

  static constexpr const char* kOwn = ".chaski";

 private:
  /// The folder that holds `name`, and the name in it. Gives -1 where it is not there and not to be made.
  OwnedFd parent_of(const std::string& name, bool is_made, std::string& leaf) const;

  std::filesystem::path path_;
  OwnedFd root_, own_;
};

}  // namespace chaski
