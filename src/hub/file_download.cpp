// Workers take part after part; another thread hashes what is written from the front on, which it reads back
// from the page cache, so that parts may come in any order; a third waits for the disk now and then.
#include "hub/file_download.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/files.h"
#include "hub/part_journal.h"

namespace chaski {
namespace {

using namespace std::chrono_literals;

constexpr size_t kWriteBytes = size_t{1} << 20;   // gathered before they are written
constexpr double kWriteEvery_s = 0.5;             // or after that long, whatever has come
constexpr size_t kHashBytes = size_t{256} << 10;  // read back at once, few enough to stay in a core's cache
constexpr uint64_t kWriteBackBytes = uint64_t{8} << 20;  // after so many the disk is set to work
constexpr uint64_t kProgressBytes = 64 << 10;            // an attempt that gave so much was none in vain
constexpr int kMaxRestarts = 3;
constexpr uint64_t kMaxFileBytes = uint64_t{1} << 42;

/// The file on the server is another one than that which was begun, or cannot be had in parts: all of it is
/// fetched anew.
struct StartAnew {
  bool has_ranges = true;
  std::string why;
};

Error network(const RemoteFile& file, std::string_view what) {
  return Error(ErrorCode::kNetwork, "download", fmt::format("{}: {}", file.name, what));
}
Error corrupt(const RemoteFile& file, std::string_view what) {
  return Error(ErrorCode::kCorrupt, "download", fmt::format("{}: {}", file.name, what),
               "nothing of it was kept; if trying again does not help, what the hub says is wrong");
}

std::string_view without_weakness(std::string_view etag) {
  if (etag.rfind("W/", 0) == 0) etag.remove_prefix(2);
  return etag;
}

struct Part {
  uint64_t begin = 0, size = 0;
  std::atomic<uint64_t> n_written{0}, n_synced{0};
};

/// One attempt at all of a file.
class Attempt {
 public:
  Attempt(const HubSource& source, const RemoteFile& file, const SafeFolder& folder,
          const DownloadOptions& options, const DownloadWatch& watch, bool has_ranges);

  /// Throws StartAnew, or as download_file does.
  DownloadedFile run(const CancelToken& cancel);
  /// Removes what is there.
  void discard();

 private:
  void prepare();
  void begin_anew(const std::string& etag);
  void run_threads(const CancelToken& cancel, Digest& sha256, Digest& sha1);
  template <typename Work>
  void guarded(Work work) noexcept;
  void work();
  Part* next_part();
  void fetch(Part& part, HttpClient& client, Backoff& backoff);
  HttpRequest request_for(const Part& part, HttpClient& client);
  bool fetch_once(Part& part, HttpClient& client, std::optional<Error>& failure, double& at_least_s);
  void check_answer(const HttpResponse& answer, const Part& part, uint64_t from);
  void check_etag(const HttpResponse& answer);
  bool judge_refusal(const HttpResponse& answer, const HttpRequest& request, std::optional<Error>& failure,
                     double& at_least_s);
  void write(Part& part, std::string& gathered);
  void start_write_back(const Part& part, uint64_t before) const;
  void note_progress(const Part& part);
  void hash_along(Digest& sha256, Digest& sha1);
  void sync_now_and_then();
  DownloadedFile publish(Digest& sha256, Digest& sha1);

  const HubSource& source_;
  const RemoteFile& file_;
  const SafeFolder& folder_;
  const DownloadOptions& options_;
  const DownloadWatch& watch_;
  const bool has_ranges_;
  const std::string own_name_;

  std::optional<uint64_t> size_;  ///< nothing until the only answer has ended
  JournalIdentity identity_;
  OwnedFd fd_;
  std::unique_ptr<PartJournal> journal_;  ///< null where nothing can be continued
  std::deque<Part> parts_;
  uint64_t n_continued_ = 0;

  CancelToken stop_;
  std::atomic<int> n_working_{0};
  std::atomic<bool> is_received_{false};
  std::mutex mutex_;  ///< of what follows
  size_t next_part_ = 0;
  std::string etag_;
  std::exception_ptr problem_;
};

Attempt::Attempt(const HubSource& source, const RemoteFile& file, const SafeFolder& folder,
                 const DownloadOptions& options, const DownloadWatch& watch, bool has_ranges)
    : source_(source),
      file_(file),
      folder_(folder),
      options_(options),
      watch_(watch),
      has_ranges_(has_ranges && file.size.has_value()),
      own_name_(unfinished_name(file.name)),
      size_(file.size) {
  if (size_.value_or(0) > kMaxFileBytes) throw corrupt(file, fmt::format("a file of {} bytes", *size_));
}

void Attempt::begin_anew(const std::string& etag) {
  const uint64_t size = size_.value_or(0);
  if (journal_) journal_->forget();  // before that goes which it is of
  if (::ftruncate(fd_.get(), 0) != 0) throw write_error((folder_.own_path() / own_name_).string(), errno);
  // A disk that is too full says so before the download and not in its midst, where it can tell.
  const int full = size == 0 ? 0 : ::fallocate(fd_.get(), 0, 0, static_cast<off_t>(size));
  if (full != 0 && (errno == ENOSPC || errno == EFBIG || errno == EDQUOT)) {
    const int problem = errno;
    discard();
    throw write_error((folder_.path() / file_.name).string(), problem);
  }
  if (full != 0 && ::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
    throw write_error((folder_.own_path() / own_name_).string(), errno);
  }
  if (journal_) journal_->begin(etag, std::vector<PartProgress>(parts_.size()));
}

void Attempt::prepare() {
  fd_ = folder_.open_own(own_name_);
  const uint64_t size = size_.value_or(0);
  const std::string hash = file_.sha256.empty() ? file_.git_sha1 : file_.sha256;
  identity_ = {fmt::format("{} {} {}", source_.repo().hub, source_.repo().id, file_.name), hash, size,
               has_ranges_ ? options_.part_bytes : std::max<uint64_t>(size, 1)};
  const size_t n_parts = has_ranges_ ? count_parts(identity_) : 1;
  parts_.clear();
  for (size_t i = 0; i < n_parts; ++i) {
    Part& part = parts_.emplace_back();
    part.begin = i * identity_.part_bytes;
    part.size = has_ranges_ ? bytes_of_part(identity_, i) : size_.value_or(kMaxFileBytes);
  }
  std::optional<JournalContent> earlier;
  if (has_ranges_) {
    journal_ = std::make_unique<PartJournal>(folder_.open_own(own_name_ + ".journal").release(), identity_);
    struct stat info {};
    const bool has_size = ::fstat(fd_.get(), &info) == 0 && static_cast<uint64_t>(info.st_size) == size;
    if (has_size) earlier = journal_->load();
    // Without a hash, only a strong etag says that the rest is of the same file.
    if (earlier && hash.empty() && !is_strong_etag(earlier->etag)) earlier.reset();
  }
  if (!earlier) return begin_anew("");
  etag_ = earlier->etag;
  journal_->begin(etag_, earlier->parts);
  for (size_t i = 0; i < parts_.size(); ++i) {
    parts_[i].n_written = earlier->parts[i].n_written;
    parts_[i].n_synced = earlier->parts[i].n_synced;
    n_continued_ += parts_[i].n_written;
  }
  watch_.on_continued(n_continued_);
}

void Attempt::discard() { remove_unfinished(folder_, file_.name); }

DownloadedFile Attempt::run(const CancelToken& cancel) {
  prepare();
  Digest sha256(Digest::Kind::kSha256), sha1(Digest::Kind::kSha1);
  try {
    run_threads(cancel, sha256, sha1);
    cancel.throw_if_cancelled("download");
    if (problem_) std::rethrow_exception(problem_);
  } catch (const StartAnew&) {
    uint64_t n_lost = 0;
    for (const Part& part : parts_) n_lost += part.n_written;
    watch_.on_bytes(-static_cast<int64_t>(n_lost));
    discard();
    throw;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCorrupt) discard();
    throw;
  }
  return publish(sha256, sha1);
}

/// Runs `work` on a thread of its own; what it throws first is the problem of the attempt.
template <typename Work>
void Attempt::guarded(Work work) noexcept {
  try {
    work();
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!problem_) problem_ = std::current_exception();
    stop_.cancel();
  }
}

void Attempt::run_threads(const CancelToken& cancel, Digest& sha256, Digest& sha1) {
  const size_t n_workers =
      std::min<size_t>(static_cast<size_t>(std::max(options_.n_streams, 1)), parts_.size());
  std::vector<std::jthread> threads;
  n_working_ = static_cast<int>(n_workers);
  try {
    for (size_t i = 0; i < n_workers; ++i) {
      threads.emplace_back([this] {
        guarded([this] { work(); });
        --n_working_;
      });
    }
    threads.emplace_back([&] { guarded([&] { hash_along(sha256, sha1); }); });
    threads.emplace_back([this] { guarded([this] { sync_now_and_then(); }); });
  } catch (...) {  // no more threads are to be had: those that run must end
    stop_.cancel();
    is_received_ = true;
    throw;
  }
  while (n_working_ > 0) {
    if (cancel.is_cancelled()) stop_.cancel();
    std::this_thread::sleep_for(5ms);
  }
  is_received_ = true;
  threads.clear();                               // which waits for them
  if (!size_) size_ = parts_.front().n_written;  // the one answer ended where its server said it would
}

Part* Attempt::next_part() {
  const std::lock_guard lock(mutex_);
  while (next_part_ < parts_.size()) {
    Part& part = parts_[next_part_++];
    if (part.n_written < part.size) return &part;
  }
  return nullptr;
}

void Attempt::work() {
  HttpClient client;
  Backoff backoff(options_.retry);
  while (Part* part = next_part()) {
    fetch(*part, client, backoff);
    if (stop_.is_cancelled()) return;
  }
}

void Attempt::fetch(Part& part, HttpClient& client, Backoff& backoff) {
  while (!stop_.is_cancelled()) {
    const uint64_t before = part.n_written;
    std::optional<Error> failure;
    double at_least_s = 0;
    if (fetch_once(part, client, failure, at_least_s)) return backoff.succeed();
    if (stop_.is_cancelled()) return;
    if (part.n_written >= before + kProgressBytes) backoff.succeed();
    if (!has_ranges_) {  // from the beginning: nothing says that the rest is of the same file
      throw StartAnew{false, failure->what()};
    }
    watch_.on_retry(failure->what());
    backoff.wait_or_throw(*failure, at_least_s, stop_);
  }
}

HttpRequest Attempt::request_for(const Part& part, HttpClient& client) {
  HttpRequest request = source_.request_for(file_, client, stop_);
  request.stall_timeout_s = options_.stall_timeout_s;
  request.max_body_bytes = std::max<int64_t>(static_cast<int64_t>(part.size - part.n_written), 1 << 20);
  request.receives_bulk = true;
  if (!has_ranges_) return request;
  request.headers.emplace_back(
      "Range", fmt::format("bytes={}-{}", part.begin + part.n_written, part.begin + part.size - 1));
  const std::lock_guard lock(mutex_);
  if (is_strong_etag(etag_)) request.headers.emplace_back("If-Range", etag_);
  return request;
}

/// True: the part is whole. False: `failure` says what is to be tried again.
bool Attempt::fetch_once(Part& part, HttpClient& client, std::optional<Error>& failure, double& at_least_s) {
  const HttpRequest request = request_for(part, client);
  const uint64_t from = part.n_written;
  std::string gathered;
  Stopwatch since_write;
  bool is_checked = false;
  HttpResponse answer;
  const auto take = [&](std::string_view piece) {
    if (gathered.size() + piece.size() > part.size - part.n_written) {
      throw network(file_, "the server sends more than was asked for");
    }
    gathered.append(piece);
    if (gathered.size() >= kWriteBytes || since_write.seconds() > kWriteEvery_s) {
      write(part, gathered);
      since_write.restart();
    }
    return true;
  };
  try {
    answer = client.send(request, stop_, take, [&](const HttpResponse& head) {
      check_answer(head, part, from);
      return is_checked = true;
    });
    if (!is_checked && answer.status < 400) check_answer(answer, part, from);
  } catch (const CertificateError&) {
    throw;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNetwork && error.code() != ErrorCode::kCancelled) throw;
    write(part, gathered);  // what came before is good
    if (error.code() == ErrorCode::kCancelled) throw;
    failure = error;
    return false;
  }
  if (answer.status >= 400) return judge_refusal(answer, request, failure, at_least_s);
  write(part, gathered);
  if (!size_ || part.n_written == part.size) return true;
  failure = network(file_, "the answer ended early");
  return false;
}

/// An answer below 400. Throws StartAnew, Error(kCorrupt) where the hub's size is not the server's.
void Attempt::check_answer(const HttpResponse& answer, const Part& part, uint64_t from) {
  const std::string_view encoding = answer.header("content-encoding");
  if (!encoding.empty() && encoding != "identity") throw network(file_, "the server sends it compressed");
  if (answer.status != 200 && answer.status != 206) {
    throw network(file_, fmt::format("the server answered {}", answer.status));
  }
  check_etag(answer);
  if (answer.status == 200) {
    if (has_ranges_ && (parts_.size() > 1 || from > 0)) {
      throw StartAnew{false, "the server sends no parts of files"};
    }
    const std::string_view length = answer.header("content-length");
    if (size_ && !length.empty() && length != fmt::format("{}", *size_)) {
      throw corrupt(file_,
                    fmt::format("the hub lists {} bytes, the server has {}", *size_, printable(length)));
    }
    return;
  }
  if (!has_ranges_) throw network(file_, "a part came where the whole was asked for");
  const auto range = parse_content_range(answer.header("content-range"));
  if (!range) throw network(file_, "the server does not say which part it sends");
  if (range->total != *size_) {
    throw corrupt(file_, fmt::format("the hub lists {} bytes, the server has {}", *size_, range->total));
  }
  if (range->first != part.begin + from || range->last >= part.begin + part.size) {
    throw network(file_, fmt::format("asked for bytes from {}, the server sends from {}", part.begin + from,
                                     range->first));
  }
}

void Attempt::check_etag(const HttpResponse& answer) {
  const std::string etag(answer.header("etag"));
  if (etag.empty()) return;
  const std::lock_guard lock(mutex_);
  if (etag_.empty()) {
    etag_ = etag;
    if (journal_) journal_->write_etag(etag_);
  } else if (without_weakness(etag) != without_weakness(etag_)) {
    throw StartAnew{true, "the file changed on the server"};
  }
}

/// False, with `failure` set, where another try may do; throws where none does.
bool Attempt::judge_refusal(const HttpResponse& answer, const HttpRequest& request,
                            std::optional<Error>& failure, double& at_least_s) {
  failure = source_.refusal(answer, file_.name);
  if (answer.status == 416 && has_ranges_) throw StartAnew{true, "the server has no such part of it"};
  // A link that the hub gave out may have expired; the next try gets a new one.
  const bool was_sent_on = origin_of_url(answer.url) != origin_of_url(request.url);
  const bool is_link_gone = was_sent_on && (answer.status == 401 || answer.status == 403 ||
                                            answer.status == 404 || answer.status == 410);
  if (!is_link_gone && !is_worth_retrying(answer)) throw *failure;
  at_least_s = retry_after_s(answer);
  return false;
}

void Attempt::note_progress(const Part& part) {
  if (!journal_) return;
  const std::lock_guard lock(mutex_);  // or an older line could be written over a newer one
  journal_->write_part(static_cast<size_t>(part.begin / identity_.part_bytes),
                       {part.n_written, part.n_synced});
}

void Attempt::write(Part& part, std::string& gathered) {
  if (gathered.empty()) return;
  const uint64_t at = part.n_written;
  if (!write_all(fd_.get(), std::as_bytes(std::span(gathered)), part.begin + at)) {
    throw write_error((folder_.path() / file_.name).string(), errno);
  }
  part.n_written = at + gathered.size();
  start_write_back(part, at);
  watch_.on_bytes(static_cast<int64_t>(gathered.size()));
  note_progress(part);
  gathered.clear();
}

/// Sets the disk to work on what was written of `part` where enough came since `before`, so that there is
/// little left to wait for in the end. Where it does not help, nothing is lost.
void Attempt::start_write_back(const Part& part, uint64_t before) const {
  const uint64_t now = part.n_written, from = before / kWriteBackBytes * kWriteBackBytes;
  if (now < from + kWriteBackBytes && now != part.size) return;
  ::sync_file_range(fd_.get(), static_cast<off_t>(part.begin + from), static_cast<off_t>(now - from),
                    SYNC_FILE_RANGE_WRITE);
}

void Attempt::hash_along(Digest& sha256, Digest& sha1) {
  const bool needs_sha1 = !file_.git_sha1.empty() && file_.size.has_value();
  if (needs_sha1) sha1.add(fmt::format("blob {}", *file_.size) + '\0');
  std::vector<std::byte> chunk(kHashBytes);
  for (Part& part : parts_) {
    for (uint64_t at = 0; at < part.size;) {
      if (stop_.is_cancelled()) return;
      const bool is_end = is_received_ || part.n_written == part.size;
      const uint64_t n_ready = part.n_written - at;
      if (n_ready == 0 && is_end) return;
      if (n_ready < chunk.size() && !is_end) {
        std::this_thread::sleep_for(2ms);
        continue;
      }
      const auto bytes =
          std::span(chunk).first(static_cast<size_t>(std::min<uint64_t>(n_ready, chunk.size())));
      const ssize_t n = ::pread(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(part.begin + at));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) throw write_error((folder_.own_path() / own_name_).string(), n == 0 ? EIO : errno);
      sha256.add(bytes.first(static_cast<size_t>(n)));
      if (needs_sha1) sha1.add(bytes.first(static_cast<size_t>(n)));
      at += static_cast<uint64_t>(n);
    }
  }
}

/// What the disk is known to have survives a loss of power; the rest survives the end of the process.
void Attempt::sync_now_and_then() {
  for (Stopwatch since_sync; !is_received_ && journal_; std::this_thread::sleep_for(5ms)) {
    if (since_sync.seconds() < options_.sync_every_s) continue;
    std::vector<uint64_t> n_written;
    for (const Part& part : parts_) n_written.push_back(part.n_written);
    if (::fdatasync(fd_.get()) != 0) throw write_error((folder_.own_path() / own_name_).string(), errno);
    for (size_t i = 0; i < parts_.size(); ++i) {
      if (parts_[i].n_synced == n_written[i]) continue;
      parts_[i].n_synced = n_written[i];
      note_progress(parts_[i]);
    }
    journal_->sync();
    since_sync.restart();
  }
}

DownloadedFile Attempt::publish(Digest& sha256, Digest& sha1) {
  DownloadedFile done{*size_, sha256.hex(), "size", n_continued_};
  const std::string by_git = file_.git_sha1.empty() || !file_.size ? "" : sha1.hex();
  const bool is_wrong =
      (!file_.sha256.empty() && done.sha256 != file_.sha256) || (!by_git.empty() && by_git != file_.git_sha1);
  if (is_wrong) {
    watch_.on_bytes(-static_cast<int64_t>(*size_));
    discard();
    throw corrupt(file_, fmt::format("expected the hash {}, found {}",
                                     file_.sha256.empty() ? file_.git_sha1 : file_.sha256,
                                     file_.sha256.empty() ? by_git : done.sha256));
  }
  if (!file_.sha256.empty()) {
    done.checked_by = "sha256";
  } else if (!by_git.empty()) {
    done.checked_by = "git-sha1";
  }
  if (::ftruncate(fd_.get(), static_cast<off_t>(*size_)) != 0 || ::fsync(fd_.get()) != 0) {
    const int problem = errno;
    discard();  // the disk may have lost what it was given
    throw write_error((folder_.path() / file_.name).string(), problem);
  }
  folder_.publish(own_name_, file_.name);
  folder_.remove_own(own_name_ + ".journal");
  return done;
}

DownloadedFile write_content(const std::string& content, const RemoteFile& file, const SafeFolder& folder,
                             const DownloadWatch& watch) {
  const std::string own = unfinished_name(file.name);
  Digest sha1(Digest::Kind::kSha1);
  sha1.add(fmt::format("blob {}", content.size()) + '\0');
  sha1.add(content);
  if (sha1.hex() != file.git_sha1) throw corrupt(file, "its hash is another than git's");
  const OwnedFd fd = folder.open_own(own);
  if (::ftruncate(fd.get(), 0) != 0 || !write_all(fd.get(), std::as_bytes(std::span(content)), 0) ||
      ::fsync(fd.get()) != 0) {
    throw write_error((folder.path() / file.name).string(), errno);
  }
  folder.publish(own, file.name);
  watch.on_bytes(static_cast<int64_t>(content.size()));
  return {content.size(), sha256_of(content), "git-sha1", 0};
}

}  // namespace

std::string unfinished_name(std::string_view name) { return sha256_of(name).substr(0, 24) + ".partial"; }

void remove_unfinished(const SafeFolder& folder, std::string_view name) {
  folder.remove_own(unfinished_name(name));
  folder.remove_own(unfinished_name(name) + ".journal");
}

bool is_strong_etag(std::string_view etag) { return etag.size() > 2 && etag.front() == '"'; }

std::optional<ContentRange> parse_content_range(std::string_view header) {
  constexpr std::string_view kUnit = "bytes ";
  if (header.rfind(kUnit, 0) != 0) return std::nullopt;
  header.remove_prefix(kUnit.size());
  const auto number_until = [&](char end) -> std::optional<uint64_t> {
    const size_t n_digits = std::min(header.find_first_not_of("0123456789"), header.size());
    if (n_digits == 0 || n_digits > 18) return std::nullopt;
    const uint64_t number = std::stoull(std::string(header.substr(0, n_digits)));
    header.remove_prefix(n_digits);
    if (end == '\0') return header.empty() ? std::optional(number) : std::nullopt;
    if (header.empty() || header.front() != end) return std::nullopt;
    header.remove_prefix(1);
    return number;
  };
  const auto first = number_until('-');
  const auto last = first ? number_until('/') : std::nullopt;
  const auto total = last ? number_until('\0') : std::nullopt;
  if (!total || *first > *last || *last >= *total) return std::nullopt;
  return ContentRange{*first, *last, *total};
}

DownloadedFile download_file(const HubSource& source, const RemoteFile& file, const SafeFolder& folder,
                             const DownloadOptions& options, const DownloadWatch& watch,
                             const CancelToken& cancel) {
  if (const auto content = source.content_of(file)) return write_content(*content, file, folder, watch);
  Backoff backoff(options.retry);
  bool has_ranges = true;
  for (int n_restarts = 0;; ++n_restarts) {
    Attempt attempt(source, file, folder, options, watch, has_ranges);
    std::string why;
    try {
      return attempt.run(cancel);
    } catch (const StartAnew& anew) {
      why = anew.why;
      has_ranges = has_ranges && anew.has_ranges;
    } catch (const Error& error) {
      // A hash that is wrong after a continuation may be the fault of what was there before.
      if (error.code() != ErrorCode::kCorrupt || n_restarts > 0) throw;
      why = error.what();
    }
    watch.on_retry(fmt::format("{}; beginning again", why));
    const Error failure = network(file, why);
    if (has_ranges && n_restarts + 1 >= kMaxRestarts) throw failure;
    backoff.wait_or_throw(failure, 0, cancel);
  }
}

}  // namespace chaski
