#include "base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>
#include <vector>

#include "base/digest.h"
#include "base/rng.h"
#include "base/utf8.h"

namespace chaski {
namespace {

std::string reason() { return std::error_code(errno, std::generic_category()).message(); }

/// Controls, and what moves or hides the text around it: marks of direction, characters without width.
bool has_hiding_character(std::string_view name) {
  for (size_t at = 0; at < name.size();) {
    const Utf8Char c = decode_utf8(name, at);
    at += static_cast<size_t>(c.length);
    const auto is_in = [&](uint32_t first, uint32_t last) { return c.code >= first && c.code <= last; };
    if (is_in(0, 0x1F) || is_in(0x7F, 0x9F) || is_in(0x200B, 0x200F) || is_in(0x2028, 0x202E) ||
        is_in(0x2060, 0x206F) || is_in(0xE0000, 0xE007F) || c.code == 0x61C || c.code == 0xFEFF) {
      return true;
    }
  }
  return false;
}

/// What Windows takes for a device whatever ending it has: CON, nul.txt, COM1, …
bool is_device_name(std::string_view part) {
  std::string stem(part.substr(0, part.find('.')));
  for (char& c : stem) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  const bool is_numbered = stem.size() == 4 && stem[3] >= '1' && stem[3] <= '9' &&
                           (stem.rfind("COM", 0) == 0 || stem.rfind("LPT", 0) == 0);
  return is_numbered || stem == "CON" || stem == "PRN" || stem == "AUX" || stem == "NUL";
}

/// A descriptor that closes itself.
struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

InputFile::InputFile(const std::filesystem::path& path) : path_(path.string()) {
  // O_NONBLOCK: opening a pipe without a writer must not wait.
  fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd_ < 0) throw Error(ErrorCode::kNotFound, "open file", fmt::format("{}: {}", path_, reason()));
  struct stat info {};
  if (::fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd_);
    throw Error(ErrorCode::kUnsupported, "open file", fmt::format("{}: expected a regular file", path_));
  }
  size_ = static_cast<uint64_t>(info.st_size);
}

InputFile::~InputFile() {
  if (fd_ >= 0) ::close(fd_);
}

FileIdentity InputFile::identity() const {
  struct stat info {};
  if (::fstat(fd_, &info) != 0) {
    throw Error(ErrorCode::kCorrupt, "look at file", fmt::format("{}: {}", path_, reason()));
  }
  std::error_code ignored;
  const std::filesystem::path absolute = std::filesystem::absolute(path_, ignored);
  return {absolute.string(),
          info.st_dev,
          info.st_ino,
          static_cast<uint64_t>(info.st_size),
          nanoseconds_of(info.st_mtim),
          nanoseconds_of(info.st_ctim)};
}

void InputFile::read_at(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t n = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      throw Error(ErrorCode::kCorrupt, "read file",
                  fmt::format("{} at offset {}: {}", path_, offset, reason()));
    }
    if (n == 0) {
      throw Error(ErrorCode::kCorrupt, "read file",
                  fmt::format("{} ends at offset {}, {} more bytes were expected", path_, offset, out.size()),
                  "the file is incomplete or was cut while it was read; fetch it again");
    }
    out = out.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
}

std::string read_text_file(const std::filesystem::path& path, uint64_t max_bytes) {
  const InputFile file(path);
  if (file.size() > max_bytes) {
    throw Error(ErrorCode::kCorrupt, "read file",
                fmt::format("{}: {} bytes, at most {} are accepted", file.path(), file.size(), max_bytes));
  }
  std::string text(static_cast<size_t>(file.size()), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text)));
  return text;
}

Error write_error(std::string_view path, int error_number) {
  const bool is_missing = error_number == ENOENT || error_number == ENOTDIR;
  return Error(
      is_missing ? ErrorCode::kNotFound : ErrorCode::kIo, "write file",
      fmt::format("{}: {}", path, std::error_code(error_number, std::generic_category()).message()),
      is_missing ? "check that the folder exists" : "check the free space and the permissions of the folder");
}

bool write_all(int fd, std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = EIO;
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return true;
}

void write_file_atomic(const std::filesystem::path& path, std::string_view text) {
  write_file_atomic(path, [text](const Append& append) { append(text); });
}

void write_file_atomic(const std::filesystem::path& path, const std::function<void(const Append&)>& write) {
  const std::string target = path.string();
  const std::string partial = fmt::format("{}.partial-{:014x}", target, draw_seed());
  const Descriptor file{::open(partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)};
  if (file.fd < 0) throw write_error(target, errno);
  try {
    uint64_t at = 0;
    write([&](std::string_view text) {
      if (!write_all(file.fd, std::as_bytes(std::span(text)), at)) throw write_error(target, errno);
      at += text.size();
    });
    if (::fsync(file.fd) != 0 || ::rename(partial.c_str(), target.c_str()) != 0) {
      throw write_error(target, errno);
    }
  } catch (...) {
    ::unlink(partial.c_str());
    throw;
  }
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  const Descriptor directory{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (directory.fd >= 0) ::fsync(directory.fd);
}

bool is_safe_relative_name(std::string_view name) {
  if (name.empty() || !is_valid_utf8(name) || has_hiding_character(name)) return false;
  int n_parts = 0;
  while (true) {
    const size_t slash = name.find('/');
    const std::string_view part = name.substr(0, slash);
    if (part.empty() || part == "." || part == ".." || part.size() > 255 || ++n_parts > 16) return false;
    if (part.find_first_of("\\:") != std::string_view::npos || is_device_name(part)) return false;
    if (slash == std::string_view::npos) return true;
    name.remove_prefix(slash + 1);
  }
}

std::filesystem::path chaski_home() {
  if (const char* home = std::getenv("CHASKI_HOME"); home != nullptr && *home != '\0') return home;
  const char* user = std::getenv("HOME");
  return std::filesystem::path(user != nullptr ? user : ".") / ".local/share/chaski";
}

std::string sha256_of_file(const InputFile& file, const OnBytes& on_bytes) {
  Digest hash;
  std::vector<std::byte> chunk(1u << 20);
  for (uint64_t at = 0; at < file.size();) {
    const size_t n = static_cast<size_t>(std::min<uint64_t>(chunk.size(), file.size() - at));
    file.read_at(at, std::span(chunk).first(n));
    hash.add(std::span(chunk).first(n));
    at += n;
    if (on_bytes) on_bytes(n);
  }
  return hash.hex();
}

std::string sha256_of(std::string_view bytes) {
  Digest hash;
  hash.add(bytes);
  return hash.hex();
}

}  // namespace chaski
