// Files: reading users' files by pread, so that a file cut under us is an error and not a signal; writing
// atomically; names that may be followed below a folder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace chaski {

/// Since 1970, as the file system says it.
inline int64_t nanoseconds_of(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/// By which a file is known again without reading it: a file that was written to since has another one.
struct FileIdentity {
  std::string path;  ///< absolute
  uint64_t device = 0, inode = 0, size = 0;
  int64_t modified_ns = 0, changed_ns = 0;  ///< since 1970: the content; the content or what is said of it
  bool operator==(const FileIdentity&) const = default;
};

/// A regular file opened for reading. Reads are thread-safe and do not move a position.
class InputFile {
 public:
  /// Throws Error(kNotFound), or Error(kUnsupported) for what is not a regular file (folder, pipe, device).
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }  ///< in bytes, when it was opened
  FileIdentity identity() const;           ///< as it is now
  /// Fill `out` from `offset`. Throws Error(kCorrupt) naming file and offset where the file ends before.
  void read_at(uint64_t offset, std::span<std::byte> out) const;

 private:
  std::string path_;
  int fd_ = -1;
  uint64_t size_ = 0;
};

/// The whole file as text, refused over `max_bytes` before anything is read.
std::string read_text_file(const std::filesystem::path& path, uint64_t max_bytes = 64u << 20);

/// The error of a write to `path` that failed with `error_number` (an errno): kNotFound where there is no
/// such folder, else kIo.
Error write_error(std::string_view path, int error_number);

/// Write all of `bytes` at `offset` of a file. False, with the reason in errno, where not all could be
/// written.
bool write_all(int fd, std::span<const std::byte> bytes, uint64_t offset);

/// Write `text` to `path` with the permissions that the umask leaves, so that a reader sees the old content
/// or the new, never a part. Throws write_error.
void write_file_atomic(const std::filesystem::path& path, std::string_view text);
/// The same with what `write` appends piece by piece; where it throws, the old content stays.
using Append = std::function<void(std::string_view)>;
void write_file_atomic(const std::filesystem::path& path, const std::function<void(const Append&)>& write);

/// Whether `name` is a relative path that stays below its folder: no empty, `.` or `..` part, no absolute or
/// drive form, no backslash, colon, control character, mark of direction or character without width, no
/// device's name (CON, nul.txt), valid UTF-8, at most 16 parts of 255 bytes.
bool is_safe_relative_name(std::string_view name);

/// $CHASKI_HOME, or ~/.local/share/chaski.
std::filesystem::path chaski_home();

/// Hears how many more bytes were read; what it throws ends the reading.
using OnBytes = std::function<void(uint64_t n_bytes)>;

/// Lower-case hex SHA-256 of a whole file.
std::string sha256_of_file(const InputFile& file, const OnBytes& on_bytes = {});
std::string sha256_of(std::string_view bytes);

}  // namespace chaski
