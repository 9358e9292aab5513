// A page with the identity as JSON, then a line of 64 bytes for each part, which no crash of the process
// leaves half written since it crosses no page.
#include "hub/part_journal.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>

#include "base/digest.h"
#include "base/error.h"
#include "base/files.h"
#include "base/json.h"

namespace chaski {
namespace {

constexpr size_t kHeaderBytes = 4096, kLineBytes = 64;

/// Changes when the machine starts anew: what the disk did not have then is lost.
std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  file >> id;
  return id;
}

Json identity_json(const JournalIdentity& identity) {
  return {{"format", 1},
          {"origin", sha256_of(identity.origin)},
          {"hash", identity.hash},
          {"size", identity.size},
          {"part_bytes", identity.part_bytes}};
}

std::string line_of(const PartProgress& progress) {
  std::string line = fmt::format("{:>20} {:>20}", progress.n_written, progress.n_synced);
  line.resize(kLineBytes - 1, ' ');
  return line + "\n";
}

/// A number with spaces before it; nothing for anything else.
std::optional<uint64_t> number_in(std::string_view field) {
  const size_t first = field.find_first_not_of(' ');
  if (first == std::string_view::npos || field.size() - first > 18) return std::nullopt;
  uint64_t number = 0;
  for (const char digit : field.substr(first)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    number = number * 10 + static_cast<uint64_t>(digit - '0');
  }
  return number;
}

PartProgress parse_line(std::string_view line, uint64_t n_bytes) {
  const auto written = number_in(line.substr(0, 20)), synced = number_in(line.substr(21, 20));
  if (line.back() != '\n' || line[20] != ' ' || !written || !synced || *written > n_bytes ||
      *synced > *written) {
    return {};
  }
  return {*written, *synced};
}

}  // namespace

size_t count_parts(const JournalIdentity& identity) {
  CHECK(identity.part_bytes > 0, "a journal of parts without bytes");
  return static_cast<size_t>(identity.size / identity.part_bytes +
                             (identity.size % identity.part_bytes == 0 ? 0 : 1));
}

uint64_t bytes_of_part(const JournalIdentity& identity, size_t i) {
  return std::min(identity.part_bytes, identity.size - i * identity.part_bytes);
}

std::optional<JournalContent> parse_journal(std::string_view text, const JournalIdentity& identity) {
  const size_t n_parts = count_parts(identity);
  if (text.size() < kHeaderBytes || (text.size() - kHeaderBytes) / kLineBytes < n_parts) return std::nullopt;
  JournalContent content;
  try {
    const Json header = parse_json(text.substr(0, kHeaderBytes), "journal", {.max_bytes = kHeaderBytes});
    if (!header.is_object() || header.value("identity", Json()) != identity_json(identity))
      return std::nullopt;
    content.etag = get_string(header, "etag", "", "journal");
    content.boot = get_string(header, "boot", "", "journal");
  } catch (const std::exception&) {
    return std::nullopt;
  }
  for (size_t i = 0; i < n_parts; ++i) {
    content.parts.push_back(
        parse_line(text.substr(kHeaderBytes + i * kLineBytes, kLineBytes), bytes_of_part(identity, i)));
  }
  return content;
}

PartJournal::PartJournal(int fd, JournalIdentity identity) : fd_(fd), identity_(std::move(identity)) {}

PartJournal::~PartJournal() { ::close(fd_); }

std::optional<JournalContent> PartJournal::load() const {
  struct stat info {};
  const size_t expected = kHeaderBytes + count_parts(identity_) * kLineBytes;
  if (::fstat(fd_, &info) != 0 || static_cast<uint64_t>(info.st_size) != expected) return std::nullopt;
  std::string text(expected, '\0');
  for (size_t at = 0; at < expected;) {
    const ssize_t n = ::pread(fd_, text.data() + at, expected - at, static_cast<off_t>(at));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return std::nullopt;
    at += static_cast<size_t>(n);
  }
  auto content = parse_journal(text, identity_);
  if (!content) return std::nullopt;
  const std::string boot = boot_id();
  const bool is_same_boot = !boot.empty() && content->boot == boot;
  for (PartProgress& part : content->parts) {
    if (!is_same_boot) part.n_written = part.n_synced;
  }
  return content;
}

void PartJournal::forget() {
  struct stat info {};
  if (::fstat(fd_, &info) == 0 && info.st_size == 0) return;
  if (::ftruncate(fd_, 0) == 0) ::fdatasync(fd_);
}

// The lines before the header, without which they mean nothing: whatever ends the process in between leaves a
// journal that is true, or none.
void PartJournal::begin(const std::string& etag, const std::vector<PartProgress>& parts) {
  CHECK(parts.size() == count_parts(identity_), "a journal of {} parts", parts.size());
  std::string lines;
  for (const PartProgress& part : parts) lines += line_of(part);
  if (!load() && ::ftruncate(fd_, 0) != 0) return;
  write_all(fd_, std::as_bytes(std::span(lines)), kHeaderBytes);
  write_etag(etag);
}

void PartJournal::write_etag(const std::string& etag) {
  const Json header{{"identity", identity_json(identity_)},
                    {"etag", etag.size() <= kMaxEtagBytes ? etag : ""},
                    {"boot", boot_id()}};
  std::string text = to_json_text(header);
  CHECK(text.size() < kHeaderBytes, "a journal's header of {} bytes", text.size());
  text.resize(kHeaderBytes - 1, ' ');
  text += '\n';
  write_all(fd_, std::as_bytes(std::span(text)), 0);
}

void PartJournal::write_part(size_t part, const PartProgress& progress) {
  const std::string line = line_of(progress);
  write_all(fd_, std::as_bytes(std::span(line)), kHeaderBytes + part * kLineBytes);
}

void PartJournal::sync() { ::fdatasync(fd_); }

}  // namespace chaski
