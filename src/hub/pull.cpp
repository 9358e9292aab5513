#include "hub/pull.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <thread>

#include "base/clock.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/files.h"
#include "base/locked_file.h"
#include "hub/hub_places.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

constexpr double kProgressEvery_s = 0.1;

/// How far a pull is; events leave one at a time.
class Meter {
 public:
  Meter(const OnPullEvent& on_event, uint64_t n_total) : on_event_(on_event), n_total_(n_total) {}

  void add_kept(uint64_t n_bytes) {
    const std::lock_guard lock(mutex_);
    n_done_ += static_cast<int64_t>(n_bytes);
  }
  void add(int64_t n_bytes) {
    const std::lock_guard lock(mutex_);
    n_done_ += n_bytes;
    n_fetched_ += n_bytes;
    if (since_event_.seconds() < kProgressEvery_s) return;
    send();
  }
  void retry(const std::string& file, const std::string& why) {
    const std::lock_guard lock(mutex_);
    PullEvent event;
    event.kind = PullEvent::Kind::kRetry;
    event.file = file;
    event.text = why;
    on_event_(event);
  }
  void finish(const StoredFile& stored) {
    const std::lock_guard lock(mutex_);
    send();
    PullEvent event;
    event.kind = PullEvent::Kind::kFile;
    event.file = stored.name;
    event.stored = &stored;
    on_event_(event);
  }

 private:
  void send() {
    since_event_.restart();
    PullEvent event;
    event.kind = PullEvent::Kind::kProgress;
    event.n_done = static_cast<uint64_t>(std::max<int64_t>(n_done_, 0));
    event.n_fetched = static_cast<uint64_t>(std::max<int64_t>(n_fetched_, 0));
    event.n_total = std::max(n_total_, event.n_done);  // sizes that the hub did not say
    on_event_(event);
  }

  const OnPullEvent& on_event_;
  std::mutex mutex_;
  int64_t n_done_ = 0, n_fetched_ = 0;
  uint64_t n_total_;
  Stopwatch since_event_;
};

uint64_t bytes_of(const std::vector<RemoteFile>& files) {
  uint64_t sum = 0;
  for (const RemoteFile& file : files) sum += file.size.value_or(0);
  return sum;
}

/// The file as it is on the disk where it is what the hub promises: by its hash, and nothing without one.
std::optional<StoredFile> check_file(const fs::path& path, const RemoteFile& remote,
                                     const CancelToken& cancel) {
  std::error_code problem;
  if (!fs::is_regular_file(path, problem) || (remote.sha256.empty() && remote.git_sha1.empty())) return {};
  const InputFile input(path);
  if (remote.size && input.size() != *remote.size) return {};
  StoredFile stored{remote.name, input.size(), "", remote.git_sha1, "sha256"};
  if (remote.sha256.empty()) {  // small files: weights have the other hash
    if (input.size() > (uint64_t{64} << 20)) return {};
    std::string content(static_cast<size_t>(input.size()), '\0');
    input.read_at(0, std::as_writable_bytes(std::span(content)));
    Digest sha1(Digest::Kind::kSha1);
    sha1.add(fmt::format("blob {}", content.size()) + '\0');
    sha1.add(content);
    if (sha1.hex() != remote.git_sha1) return {};
    stored.sha256 = sha256_of(content);
    stored.checked_by = "git-sha1";
    return stored;
  }
  stored.sha256 = sha256_of_file(input, [&](uint64_t) { cancel.throw_if_cancelled("check files"); });
  if (stored.sha256 != remote.sha256) return {};
  return stored;
}

/// Where another program has all of it already, unchanged.
std::optional<PullReport> find_in_cache(const PullOptions& options, const RemoteListing& listing,
                                        const Selection& selection, const CancelToken& cancel) {
  const auto is_in = [&](const fs::path& path, const RemoteFile& file) {
    return check_file(fs::is_directory(path) ? path / file.name : path, file, cancel).has_value();
  };
  for (const CachedModel& cached : find_in_caches(options.repo.hub, options.repo.id, options.repo.revision)) {
    // Of Ollama's files only the model itself is needed.
    const bool is_folder = fs::is_directory(cached.path);
    const bool has_all =
        std::all_of(selection.files.begin(), selection.files.end(), [&](const RemoteFile& file) {
          return (!is_folder && !is_weight_file(file.name)) || is_in(cached.path, file);
        });
    if (!has_all) continue;
    return PullReport{
        cached.path, listing.commit,           selection.files.size(), bytes_of(selection.files), 0,
        {},          PullReport::Where::kCache};
  }
  return std::nullopt;
}

PullReport pull_offline(const PullOptions& options) {
  const fs::path folder = options.local_dir.empty() ? folder_of(options.repo) : options.local_dir;
  if (const auto manifest = read_manifest(folder)) {
    PullReport report;
    report.path = folder;
    report.commit = manifest->commit;
    report.n_files = manifest->files.size();
    for (const StoredFile& file : manifest->files) report.n_bytes += file.size;
    report.where = PullReport::Where::kWasThere;
    return report;
  }
  const auto cached = find_in_caches(options.repo.hub, options.repo.id, options.repo.revision);
  if (!cached.empty()) return {cached.front().path, "", 0, 0, 0, {}, PullReport::Where::kCache};
  throw Error(ErrorCode::kNotFound, "pull",
              fmt::format("{} from {} is not on this computer, and no network was to be used",
                          printable(options.repo.id, 200), options.repo.hub),
              "leave out --offline, and see HF_HUB_OFFLINE");
}

void check_limit(const PullOptions& options, uint64_t n_bytes) {
  if (options.max_bytes == 0 || n_bytes <= options.max_bytes) return;
  throw Error(ErrorCode::kUsage, "pull",
              fmt::format("{} bytes are to be fetched, --max-size allows {}", n_bytes, options.max_bytes));
}

/// A pull into one folder that nobody else fills.
class Filling {
 public:
  Filling(const PullOptions& options, const HubSource& source, const RemoteListing& listing,
          const Selection& selection, const fs::path& path, const OnPullEvent& on_event,
          const CancelToken& cancel);
  PullReport run();

 private:
  void lock();
  void read_earlier();
  bool is_kept(const RemoteFile& file);
  void check_room(const std::vector<const RemoteFile*>& missing) const;
  StoredFile fetch(const RemoteFile& file, Meter& meter);
  void publish(const std::vector<StoredFile>& files);

  const PullOptions& options_;
  const HubSource& source_;
  const RemoteListing& listing_;
  const Selection& selection_;
  const OnPullEvent& on_event_;
  const CancelToken& cancel_;
  SafeFolder folder_;
  std::unique_ptr<LockedFile> lock_;
  std::optional<Manifest> earlier_;
  std::vector<StoredFile> kept_;
  PullReport report_;
};

Filling::Filling(const PullOptions& options, const HubSource& source, const RemoteListing& listing,
                 const Selection& selection, const fs::path& path, const OnPullEvent& on_event,
                 const CancelToken& cancel)
    : options_(options),
      source_(source),
      listing_(listing),
      selection_(selection),
      on_event_(on_event),
      cancel_(cancel),
      folder_(path) {}

void Filling::lock() {
  for (bool is_said = false;; std::this_thread::sleep_for(std::chrono::milliseconds(200))) {
    cancel_.throw_if_cancelled("pull");
    try {
      lock_ = std::make_unique<LockedFile>(folder_.own_path() / "lock");
      return;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kUsage || !options_.waits) throw;
    }
    if (!is_said) {
      PullEvent event;
      event.kind = PullEvent::Kind::kWaiting;
      on_event_(event);
    }
    is_said = true;
  }
}

void Filling::read_earlier() {
  try {
    earlier_ = read_manifest(folder_.path());
  } catch (const Error&) {  // one that is damaged is none
  }
  if (!earlier_ || (earlier_->hub == options_.repo.hub && earlier_->id == options_.repo.id)) return;
  throw Error(ErrorCode::kUsage, "pull",
              fmt::format("{} holds {} from {}", folder_.path().string(), printable(earlier_->id, 200),
                          earlier_->hub),
              "choose another --local-dir");
}

/// Whether the file is there and what the hub promises; what the manifest says of it is believed.
bool Filling::is_kept(const RemoteFile& file) {
  const auto size = folder_.size_of(file.name);
  if (!size || (file.size && *size != *file.size)) return false;
  const StoredFile* stored = earlier_ ? earlier_->find(file.name) : nullptr;
  if (stored != nullptr && stored->size == *size) {
    const bool is_same = !file.sha256.empty() ? stored->sha256 == file.sha256
                                              : !file.git_sha1.empty() && stored->git_sha1 == file.git_sha1;
    const bool has_no_hash = file.sha256.empty() && file.git_sha1.empty() && file.size.has_value();
    const bool is_unchanged = file.etag.empty() || stored->etag.empty() || file.etag == stored->etag;
    if (is_same || (has_no_hash && is_unchanged)) {
      kept_.push_back(*stored);
      return true;
    }
  }
  const auto checked = check_file(folder_.path() / file.name, file, cancel_);
  if (checked) kept_.push_back(*checked);
  return checked.has_value();
}

void Filling::check_room(const std::vector<const RemoteFile*>& missing) const {
  uint64_t needed = 0, there = 0;
  for (const RemoteFile* file : missing) {
    needed += file->size.value_or(0);
    struct stat info {};
    if (::lstat((folder_.own_path() / unfinished_name(file->name)).c_str(), &info) == 0) {
      there += std::min(uint64_t(info.st_blocks) * 512, file->size.value_or(0));
    }
  }
  check_limit(options_, needed);
  const auto room = folder_.free_bytes();
  if (!room || needed - there <= *room) return;
  throw Error(ErrorCode::kIo, "pull",
              fmt::format("{:.2f} GB are still needed in {}, and {:.2f} GB may be used there",
                          static_cast<double>(needed - there) * 1e-9, folder_.path().string(),
                          static_cast<double>(*room) * 1e-9),
              "make room, set CHASKI_HOME to a larger disk, or name one by --local-dir");
}

StoredFile Filling::fetch(const RemoteFile& file, Meter& meter) {
  DownloadWatch watch;
  watch.on_bytes = [&](int64_t n) { meter.add(n); };
  watch.on_continued = [&](uint64_t n) { meter.add_kept(n); };
  watch.on_retry = [&](const std::string& why) { meter.retry(file.name, why); };
  const DownloadedFile done = download_file(source_, file, folder_, options_.download, watch, cancel_);
  report_.n_fetched += done.size - std::min(done.size, done.n_continued);
  if (done.size <= kMaxLfsPointerBytes && is_weight_file(file.name) &&
      parse_lfs_pointer(read_text_file(folder_.path() / file.name, kMaxLfsPointerBytes))) {
    folder_.remove(file.name);
    throw Error(ErrorCode::kCorrupt, "download",
                fmt::format("{}: the hub gave a pointer of git LFS in place of the file", file.name));
  }
  if (done.checked_by == "size") report_.unchecked.push_back(file.name);
  return {file.name, done.size, done.sha256, file.git_sha1, done.checked_by, file.etag};
}

/// The files that an earlier pull fetched stay the model's where the hub still has them so.
void Filling::publish(const std::vector<StoredFile>& files) {
  Manifest manifest{options_.repo.hub,
                    options_.access.endpoint,
                    options_.repo.id,
                    options_.repo.revision,
                    listing_.commit,
                    utc_timestamp(),
                    files};
  for (const SkippedFile& skipped : selection_.skipped) {
    const StoredFile* stored = earlier_ ? earlier_->find(skipped.file.name) : nullptr;
    const bool is_same = stored != nullptr && !stored->sha256.empty() &&
                         (stored->sha256 == skipped.file.sha256 ||
                          (!stored->git_sha1.empty() && stored->git_sha1 == skipped.file.git_sha1));
    if (is_same) manifest.files.push_back(*stored);
  }
  std::sort(manifest.files.begin(), manifest.files.end(),
            [](const StoredFile& a, const StoredFile& b) { return a.name < b.name; });
  write_file_atomic(folder_.own_path() / kManifestName, manifest_text(manifest));
  for (const StoredFile& file : manifest.files)
    remove_unfinished(folder_, file.name);  // a kill may leave some
  report_.n_files = manifest.files.size();
  for (const StoredFile& file : manifest.files) report_.n_bytes += file.size;
}

PullReport Filling::run() {
  lock();
  read_earlier();
  std::vector<const RemoteFile*> missing;
  for (const RemoteFile& file : selection_.files) {
    if (!is_kept(file)) missing.push_back(&file);
  }
  report_.path = folder_.path();
  report_.commit = listing_.commit;
  check_room(missing);
  // A file that is replaced makes the folder a mixture until all are there.
  const bool replaces = std::any_of(missing.begin(), missing.end(), [&](const RemoteFile* file) {
    return earlier_ && earlier_->find(file->name) != nullptr;
  });
  if (replaces) folder_.remove_own(kManifestName);
  Meter meter(on_event_, bytes_of(selection_.files));
  std::vector<StoredFile> files = kept_;
  for (const StoredFile& file : files) meter.add_kept(file.size);
  for (const RemoteFile* file : missing) {
    files.push_back(fetch(*file, meter));
    meter.finish(files.back());
  }
  if (missing.empty() && earlier_) report_.where = PullReport::Where::kWasThere;
  publish(files);
  return report_;
}

}  // namespace

PullReport pull(const PullOptions& options, const OnPullEvent& on_event, const CancelToken& cancel) {
  if (options.is_offline) return pull_offline(options);
  const auto source = make_source(options.repo, options.access);
  HttpClient client;
  const RemoteListing listing = source->list(client, cancel);
  const Selection selection = select_files(listing.files, options.rules);
  PullEvent plan;
  plan.kind = PullEvent::Kind::kPlan;
  plan.selection = &selection;
  plan.n_total = bytes_of(selection.files);
  on_event(plan);
  const fs::path folder = options.local_dir.empty() ? folder_of(options.repo) : options.local_dir;
  if (options.is_dry_run) {
    return {
        folder, listing.commit, selection.files.size(), plan.n_total, 0, {}, PullReport::Where::kPlanOnly};
  }
  std::error_code ignored;
  if (options.local_dir.empty() && !options.ignores_caches && !fs::exists(folder, ignored)) {
    if (const auto cached = find_in_cache(options, listing, selection, cancel)) return *cached;
  }
  if (!fs::exists(folder, ignored)) check_limit(options, plan.n_total);  // before there is a trace of it
  return Filling(options, *source, listing, selection, folder, on_event, cancel).run();
}

}  // namespace chaski
