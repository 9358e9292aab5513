// Where the readers of this folder get their bytes: a file by pread, or memory, so that every parser can be
// tested and fuzzed without a file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/files.h"
#include "format/digest_memo.h"

namespace chaski {

/// Bytes of known length that can be read at any place, from several threads.
class ByteSource {
 public:
  virtual ~ByteSource() = default;
  virtual const std::string& name() const = 0;  ///< for errors: the path
  virtual uint64_t size() const = 0;
  /// Fill `out` from `offset`. Throws Error(kCorrupt) naming source and offset where it ends before.
  virtual void read_at(uint64_t offset, std::span<std::byte> out) const = 0;
  /// Of all bytes; `on_bytes` as in sha256_of_file.
  virtual std::string sha256(const OnBytes& on_bytes) const = 0;
  /// The same, where it is known without reading them.
  virtual std::optional<std::string> known_sha256() const { return std::nullopt; }
  /// Whether nobody has written to it since it was opened, as far as the file system tells.
  virtual bool is_unchanged() const { return true; }
};

using ByteSourcePtr = std::shared_ptr<const ByteSource>;

class FileSource : public ByteSource {
 public:
  /// Its digest is looked for in `digests` and left there, where there is one.
  explicit FileSource(const std::filesystem::path& path, std::shared_ptr<const DigestMemo> digests = {})
      : file_(path), opened_(file_.identity()), digests_(std::move(digests)) {}
  const std::string& name() const override { return file_.path(); }
  uint64_t size() const override { return file_.size(); }
  void read_at(uint64_t offset, std::span<std::byte> out) const override { file_.read_at(offset, out); }
  /// Throws Error(kCorrupt) where the file was written to meanwhile.
  std::string sha256(const OnBytes& on_bytes) const override;
  std::optional<std::string> known_sha256() const override;
  bool is_unchanged() const override { return file_.identity() == opened_; }

 private:
  InputFile file_;
  FileIdentity opened_;  ///< as it was then
  std::shared_ptr<const DigestMemo> digests_;
};

class MemorySource : public ByteSource {
 public:
  MemorySource(std::string name, std::string bytes) : name_(std::move(name)), bytes_(std::move(bytes)) {}
  const std::string& name() const override { return name_; }
  uint64_t size() const override { return bytes_.size(); }
  void read_at(uint64_t offset, std::span<std::byte> out) const override;
  std::string sha256(const OnBytes&) const override { return sha256_of(bytes_); }

 private:
  std::string name_, bytes_;
};

/// Reads forward from `begin` to `end` of a source in pieces of 64 KiB.
class ForwardReader {
 public:
  /// `end` is at most the source's size.
  ForwardReader(const ByteSource& source, uint64_t begin, uint64_t end);

  uint64_t offset() const { return at_; }  ///< of the next byte, in the source
  uint64_t remaining() const { return end_ - at_; }
  const std::string& name() const { return source_.name(); }
  /// The next byte without taking it; there must be one.
  unsigned char peek() {
    if (at_ >= buffer_end_) refill();
    return buffer_[static_cast<size_t>(at_ - buffer_begin_)];
  }
  void advance() { ++at_; }
  /// The bytes from here on that are in memory already, at least one; there must be one.
  std::string_view buffered() {
    if (at_ >= buffer_end_) refill();
    return std::string_view(buffer_).substr(static_cast<size_t>(at_ - buffer_begin_));
  }
  /// Take `out.size()` bytes, at most `remaining()`.
  void take(std::span<std::byte> out);
  /// Pass over `n` bytes, at most `remaining()`, without reading them.
  void skip(uint64_t n) { at_ += n; }

 private:
  void refill();

  const ByteSource& source_;
  uint64_t at_, end_;
  uint64_t buffer_begin_ = 0, buffer_end_ = 0;
  std::string buffer_;
};

/// Throws Error(kCorrupt) where the source is the small text that Git LFS leaves in place of a large file.
void refuse_lfs_pointer(const ByteSource& source);

}  // namespace chaski
