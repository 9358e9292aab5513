#include "convert/partial_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <system_error>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

constexpr double kJournalEvery_s = 1;
constexpr size_t kMaxJournalBytes = 16u << 20;

/// Changes when the machine starts anew: what was not yet on the disk then is lost.
std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  file >> id;
  return id;
}

/// What a journal must repeat for its work to be continued.
Json identity_of(const FilePlan& plan) {
  return {{"format", 1},
          {"boot", boot_id()},
          {"origin", sha256_of(plan.origin)},
          {"header", sha256_of(plan.header)},
          {"bytes", plan.n_bytes},
          {"parts", plan.n_parts}};
}

fs::path beside(const fs::path& target, std::string_view suffix) {
  return fs::path(target.string() + std::string(suffix));
}

}  // namespace

PartialFile::PartialFile(const fs::path& target, FilePlan plan)
    : target_(target),
      partial_(beside(target, ".partial")),
      journal_(beside(target, ".journal")),
      plan_(std::move(plan)),
      finished_(plan_.n_parts, false) {
  fd_ = ::open(partial_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd_ < 0) throw write_error(partial_.string(), errno);
  try {
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      throw Error(ErrorCode::kUsage, "write file",
                  fmt::format("{}: another process is writing it", partial_.string()),
                  "wait until it is done, or choose another name");
    }
    if (!can_continue()) {
      finished_.assign(plan_.n_parts, false);
      n_continued_ = 0;
      std::error_code ignored;
      fs::remove(journal_, ignored);
      if (::ftruncate(fd_, 0) != 0 || ::ftruncate(fd_, static_cast<off_t>(plan_.n_bytes)) != 0) {
        throw write_error(partial_.string(), errno);
      }
      write_at(0, std::as_bytes(std::span(plan_.header)));
    }
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

PartialFile::~PartialFile() {
  if (!is_over_) write_journal();
  ::close(fd_);
}

/// Reads the journal; a file there that is no journal of this plan is no error.
bool PartialFile::can_continue() {
  struct stat info {};
  if (::fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) throw write_error(partial_.string(), EINVAL);
  if (static_cast<uint64_t>(info.st_size) != plan_.n_bytes) return false;
  try {
    std::string header(plan_.header.size(), '\0');
    InputFile(partial_).read_at(0, std::as_writable_bytes(std::span(header)));
    const Json journal = parse_json(read_text_file(journal_, kMaxJournalBytes), journal_.string());
    if (header != plan_.header || journal.value("plan", Json()) != identity_of(plan_)) return false;
    for (const Json& part : journal.value("finished", Json::array())) {
      const auto i = part.get<size_t>();
      if (i >= plan_.n_parts) return false;
      finished_[i] = true;
    }
  } catch (const std::exception&) {
    return false;
  }
  for (const bool is_done : finished_) n_continued_ += is_done ? 1 : 0;
  return true;
}

void PartialFile::write_at(uint64_t offset, std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw write_error(partial_.string(), errno);
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
}

void PartialFile::finish_part(size_t part) {
  const std::lock_guard lock(mutex_);
  finished_[part] = true;
  if (since_journal_.seconds() < kJournalEvery_s) return;
  write_journal();
  since_journal_.restart();
}

/// Without waiting for the disk, which would wait for the large file as well. A journal that cannot be
/// written costs the continuation and nothing else.
void PartialFile::write_journal() noexcept {
  try {
    Json finished = Json::array();
    for (size_t part = 0; part < finished_.size(); ++part) {
      if (finished_[part]) finished.push_back(part);
    }
    const fs::path fresh = beside(journal_, ".new");
    std::ofstream file(fresh, std::ios::trunc);
    file << to_json_text(Json{{"plan", identity_of(plan_)}, {"finished", std::move(finished)}}) << "\n";
    file.close();
    if (file) fs::rename(fresh, journal_);
  } catch (...) {
  }
}

void PartialFile::discard() noexcept {
  std::error_code ignored;
  fs::remove(partial_, ignored);
  fs::remove(journal_, ignored);
  is_over_ = true;
}

double PartialFile::commit() {
  const Stopwatch since_start;
  if (::fsync(fd_) != 0 || ::rename(partial_.c_str(), target_.c_str()) != 0) {
    throw write_error(target_.string(), errno);
  }
  is_over_ = true;
  std::error_code ignored;
  fs::remove(journal_, ignored);
  const fs::path folder = target_.has_parent_path() ? target_.parent_path() : ".";
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0) {
    ::fsync(directory);
    ::close(directory);
  }
  return since_start.seconds();
}

}  // namespace chaski
