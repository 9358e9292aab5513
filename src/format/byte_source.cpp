#include "format/byte_source.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/error.h"

namespace chaski {
namespace {
constexpr uint64_t kPieceBytes = 64u << 10;
}

std::string FileSource::sha256(const OnBytes& on_bytes) const {
  // A file that was renamed or linked meanwhile looks like one that was written to: it is read once more.
  for (int i = 0; i < 2; ++i) {
    const FileIdentity before = file_.identity();
    if (const auto known = digests_ ? digests_->find(before) : std::nullopt) return *known;
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const std::string digest = sha256_of_file(file_, on_bytes);
    if (file_.identity() != before) continue;
    if (digests_) {
      digests_->remember(before, digest, std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
    }
    return digest;
  }
  throw Error(ErrorCode::kCorrupt, "hash file", fmt::format("{} was written to while it was read", name()),
              "wait until whoever writes it is done, and start again");
}

std::optional<std::string> FileSource::known_sha256() const {
  return digests_ && is_unchanged() ? digests_->find(opened_) : std::nullopt;
}

void MemorySource::read_at(uint64_t offset, std::span<std::byte> out) const {
  if (offset > bytes_.size() || out.size() > bytes_.size() - offset) {
    throw Error(ErrorCode::kCorrupt, "read file",
                fmt::format("{} ends at offset {}, expected {} bytes at offset {}", name_, bytes_.size(),
                            out.size(), offset));
  }
  if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
}

ForwardReader::ForwardReader(const ByteSource& source, uint64_t begin, uint64_t end)
    : source_(source), at_(begin), end_(end) {
  CHECK(begin <= end && end <= source.size(), "{}: {} to {} of {}", source.name(), begin, end, source.size());
}

void ForwardReader::refill() {
  CHECK(at_ < end_, "{}: read past offset {}", source_.name(), end_);
  buffer_.resize(static_cast<size_t>(std::min(kPieceBytes, end_ - at_)));
  source_.read_at(at_, std::as_writable_bytes(std::span(buffer_)));
  buffer_begin_ = at_;
  buffer_end_ = at_ + buffer_.size();
}

void ForwardReader::take(std::span<std::byte> out) {
  CHECK(out.size() <= remaining(), "{}: take {} of {}", source_.name(), out.size(), remaining());
  while (!out.empty()) {
    // What was skipped may lie beyond the buffer, never before it.
    if (at_ >= buffer_end_) refill();
    const size_t n = std::min<size_t>(out.size(), static_cast<size_t>(buffer_end_ - at_));
    std::memcpy(out.data(), buffer_.data() + (at_ - buffer_begin_), n);
    out = out.subspan(n);
    at_ += n;
  }
}

void refuse_lfs_pointer(const ByteSource& source) {
  constexpr std::string_view kBeginning = "version https://git-lfs.github.com/spec/";
  constexpr uint64_t kLongestPointer = 1024;
  if (source.size() < kBeginning.size() || source.size() > kLongestPointer) return;
  std::string text(static_cast<size_t>(source.size()), '\0');
  source.read_at(0, std::as_writable_bytes(std::span(text)));
  if (text.compare(0, kBeginning.size(), kBeginning) != 0) return;
  throw Error(ErrorCode::kCorrupt, "open model",
              fmt::format("{}: expected the file itself, found the Git LFS pointer that stands for it",
                          source.name()),
              "fetch the large files: `git lfs pull` in that folder, or `chaski pull`");
}

}  // namespace chaski
