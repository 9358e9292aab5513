#include "convert/partial_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
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
      file_(partial_),
      finished_(plan_.n_parts, false) {
  if (can_continue()) return;
  try {
    begin_anew();
  } catch (...) {
    discard();
    throw;
  }
}

PartialFile::~PartialFile() {
  if (is_over_) return;
  has_finished_parts() ? write_journal() : discard();
}

bool PartialFile::has_finished_parts() const {
  return !is_over_ && std::find(finished_.begin(), finished_.end(), true) != finished_.end();
}

void PartialFile::begin_anew() {
  finished_.assign(plan_.n_parts, false);
  n_continued_ = 0;
  std::error_code ignored;
  fs::remove(journal_, ignored);
  if (::ftruncate(file_.fd(), 0) != 0 || ::ftruncate(file_.fd(), static_cast<off_t>(plan_.n_bytes)) != 0) {
    throw write_error(partial_.string(), errno);
  }
  // A disk that is too full says so before the work and not in its midst, where the file system can tell.
  if (::fallocate(file_.fd(), 0, 0, static_cast<off_t>(plan_.n_bytes)) != 0 && errno == ENOSPC) {
    throw write_error(partial_.string(), ENOSPC);
  }
  write_at(0, std::as_bytes(std::span(plan_.header)));
}

/// Reads the journal; a file there that is no journal of this plan is no error.
bool PartialFile::can_continue() {
  struct stat info {};
  if (::fstat(file_.fd(), &info) != 0 || !S_ISREG(info.st_mode)) throw write_error(partial_.string(), EINVAL);
  // Without the machine's word on when it was started, nothing says that the disk still has the parts.
  if (static_cast<uint64_t>(info.st_size) != plan_.n_bytes || boot_id().empty()) return false;
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
  if (!write_all(file_.fd(), bytes, offset)) throw write_error(partial_.string(), errno);
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
  if (::fsync(file_.fd()) != 0 || ::rename(partial_.c_str(), target_.c_str()) != 0) {
    const int problem = errno;
    finished_.assign(plan_.n_parts, false);
    std::error_code ignored;
    fs::remove(journal_, ignored);
    throw write_error(target_.string(), problem);
  }
  is_over_ = true;
  std::error_code ignored;
  fs::remove(journal_, ignored);
  sync_folder_of(target_);
  return since_start.seconds();
}

}  // namespace chaski
