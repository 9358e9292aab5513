// A loss of power during a download: what the disk was not known to have is gone, and every line of the
// journal that was written may have got there. Nothing that the journal then says may be missing from the
// file.
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "base/digest.h"
#include "base/files.h"
#include "base/rng.h"
#include "hub/file_download.h"
#include "hub/part_journal.h"
#include "support/socket_server.h"
#include "support/temporary_folder.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kPart = 8 << 10;  // each is written at once: the journal counts by parts here
constexpr uint64_t kSize = 90 * kPart + 77;

/// The file as the disk is sure to have it: as it was when the last wait for the disk began.
struct SimulatedDisk {
  std::mutex mutex;
  fs::path file;
  ino_t inode = 0;
  std::string content;
  int n_syncs = 0;
};
SimulatedDisk* watched = nullptr;

/// The real call, after which the disk has what `fd` held before it.
int sync_watched(int fd, long number) {
  SimulatedDisk* disk = watched;
  struct stat info {
  }, of_file{};
  const bool is_it = disk != nullptr && ::fstat(fd, &info) == 0 &&
                     ::stat(disk->file.c_str(), &of_file) == 0 && info.st_ino == of_file.st_ino;
  const std::string before = is_it ? read_text_file(disk->file) : "";
  const int result = static_cast<int>(::syscall(number, fd));
  if (is_it && result == 0) {
    const std::lock_guard lock(disk->mutex);
    disk->content = before;
    ++disk->n_syncs;
  }
  return result;
}

}  // namespace
}  // namespace chaski

// In place of the C library's, for this program.
extern "C" int fdatasync(int fd) { return chaski::sync_watched(fd, SYS_fdatasync); }

namespace chaski {
namespace {

std::string some_bytes(size_t n) {
  std::string bytes(n, '\0');
  for (size_t i = 0; i < n; ++i)
    bytes[i] = static_cast<char>(philox({static_cast<uint32_t>(i), 0, 0, 0}, 3)[0] | 1U);  // no zeros
  return bytes;
}

class OneFile final : public HubSource {
 public:
  OneFile() : HubSource({"url", "http://h/file", ""}, {"http://127.0.0.1:1", "", "", {}}) {}

 private:
  RemoteListing list_unchecked(HttpClient&, const CancelToken&) const override { return {}; }
};

class PowerLoss : public ::testing::Test {
 protected:
  PowerLoss() : server_([this](test::Connection& connection) { serve(connection); }) {
    file_.name = "model.gguf";
    file_.size = kSize;
    file_.url = server_.url("/file");  // and no hash: wrong bytes would be published
    own_ = folder_ / "to/.chaski" / unfinished_name(file_.name);
    disk_.file = own_;
    options_.n_streams = 3;
    options_.part_bytes = kPart;
    options_.sync_every_s = 0.002;
    watched = &disk_;
  }
  ~PowerLoss() override { watched = nullptr; }

  /// Slowly, so that the disk is waited for in between.
  void serve(test::Connection& connection) {
    while (true) {
      const std::string request = connection.read_request();
      const size_t at = request.find("Range: bytes=");
      if (at == std::string::npos) return;
      const uint64_t first = std::stoull(request.substr(at + 13));
      const uint64_t last = std::stoull(request.substr(request.find('-', at) + 1));
      n_asked_bytes_ += last - first + 1;
      if (is_slow_) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      connection.send_answer(
          "206 Partial Content",
          fmt::format("ETag: \"one\"\r\nContent-Range: bytes {}-{}/{}\r\n", first, last, kSize),
          content_.substr(first, last - first + 1));
    }
  }

  DownloadedFile fetch(const std::function<void(int64_t)>& on_bytes, const CancelToken& cancel) {
    DownloadWatch watch;
    watch.on_bytes = on_bytes;
    return download_file(OneFile(), file_, SafeFolder(folder_ / "to"), options_, watch, cancel);
  }
  std::string journal_text() const { return read_text_file(own_.string() + ".journal"); }

  const std::string content_ = some_bytes(kSize);
  const JournalIdentity identity_{"url http://h/file model.gguf", "", kSize, kPart};
  tests::TemporaryFolder folder_;
  RemoteFile file_;
  fs::path own_;
  SimulatedDisk disk_;
  DownloadOptions options_;
  std::atomic<bool> is_slow_{true};
  std::atomic<uint64_t> n_asked_bytes_{0};
  test::SocketServer server_;
};

TEST_F(PowerLoss, WhatTheJournalSaysIsOnTheDiskIsThere) {
  int n_looked = 0;
  uint64_t most_synced = 0;
  const auto look = [&](int64_t) {
    const auto journal = parse_journal(journal_text(), identity_);  // before the disk, which may move on
    const std::lock_guard lock(disk_.mutex);
    if (!journal) return;
    ++n_looked;
    uint64_t n_synced = 0;
    for (size_t i = 0; i < journal->parts.size(); ++i) {
      const uint64_t n = journal->parts[i].n_synced;
      n_synced += n;
      ASSERT_TRUE(n == 0 || disk_.content.compare(i * kPart, n, content_, i * kPart, n) == 0)
          << "part " << i << ", " << n << " bytes";
    }
    most_synced = std::max(most_synced, n_synced);
  };
  fetch(look, CancelToken());
  EXPECT_GT(n_looked, 80);
  EXPECT_GT(disk_.n_syncs, 5);
  EXPECT_GT(most_synced, kSize / 4);
}

TEST_F(PowerLoss, ADownloadGoesOnFromWhatTheDiskHasAndEndsRight) {
  int n_continued = 0;
  for (const uint64_t stop_after : {kSize / 8, kSize / 4, kSize / 2, kSize * 7 / 8}) {
    fs::remove_all(folder_ / "to");
    disk_.content.clear();
    is_slow_ = true;
    uint64_t n_bytes = 0;
    std::mutex mutex;
    CancelToken cancel;
    const auto count = [&](int64_t n) {
      const std::lock_guard lock(mutex);
      n_bytes += static_cast<uint64_t>(n);
      if (n_bytes >= stop_after) cancel.cancel();
    };
    EXPECT_ANY_THROW(fetch(count, cancel));
    std::string journal = journal_text();
    const size_t boot = journal.find("\"boot\":\"") + 8;
    journal[boot] = journal[boot] == '0' ? '1' : '0';  // the machine has started anew
    disk_.content.resize(kSize, '\0');
    const std::string on_disk = disk_.content;
    write_file_atomic(own_, on_disk);
    write_file_atomic(own_.string() + ".journal", journal);
    is_slow_ = false;
    n_asked_bytes_ = 0;
    const DownloadedFile done = fetch([](int64_t) {}, CancelToken());
    EXPECT_EQ(read_text_file(folder_ / "to/model.gguf"), content_);
    EXPECT_EQ(done.sha256, sha256_of(content_));
    EXPECT_EQ(n_asked_bytes_, kSize - done.n_continued);
    n_continued += done.n_continued > 0 ? 1 : 0;
  }
  EXPECT_GT(n_continued, 1);
}

TEST_F(PowerLoss, AJournalWhoseFileIsGoneDoesNotComeBack) {
  CancelToken cancel;
  EXPECT_ANY_THROW(fetch([&](int64_t) { cancel.cancel(); }, cancel));
  fs::resize_file(own_, 5);
  // From the first moment of a new beginning on, nothing may say that bytes are there which are not.
  const auto look = [&](int64_t) {
    const auto journal = parse_journal(journal_text(), identity_);
    for (size_t i = 0; journal && i < journal->parts.size(); ++i) {
      const std::string found = read_text_file(own_).substr(i * kPart, journal->parts[i].n_written);
      ASSERT_EQ(found, content_.substr(i * kPart, journal->parts[i].n_written));
    }
  };
  fetch(look, CancelToken());
  EXPECT_EQ(read_text_file(folder_ / "to/model.gguf"), content_);
}

}  // namespace
}  // namespace chaski
