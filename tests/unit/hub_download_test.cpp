// One file from a server of sockets that behaves as each test wants: parts, continuation, changes, lies.
#include "hub/file_download.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <map>
#include <mutex>
#include <set>

#include "base/digest.h"
#include "base/error.h"
#include "base/files.h"
#include "base/rng.h"
#include "support/error_of.h"
#include "support/socket_server.h"
#include "support/temporary_folder.h"

namespace chaski {
namespace {

using test::Connection;
using test::error_of;
using test::SocketServer;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr uint64_t kPart = 1000;

std::string some_bytes(size_t n) {
  std::string bytes(n, '\0');
  for (size_t i = 0; i < n; ++i)
    bytes[i] = static_cast<char>(philox({static_cast<uint32_t>(i), 0, 0, 0}, 1)[0]);
  return bytes;
}

/// What a request asks for.
struct Asked {
  bool is_ranged = false;
  uint64_t first = 0, last = 0;
  std::string text;
};

Asked parse_asked(const std::string& request, uint64_t size) {
  Asked asked{false, 0, size - 1, request};
  const size_t at = request.find("Range: bytes=");
  if (at == std::string::npos) return asked;
  asked.is_ranged = true;
  asked.first = std::stoull(request.substr(at + 13));
  asked.last = std::stoull(request.substr(request.find('-', at) + 1));
  return asked;
}

/// Serves `content`; `behave` may answer in its place, and gives false where it does not.
class FileServer {
 public:
  using Behave = std::function<bool(Connection&, const Asked&, int n_asked)>;
  explicit FileServer(std::string content, Behave behave = {})
      : content_(std::move(content)),
        behave_(std::move(behave)),
        server_([this](Connection& c) { serve(c); }) {}

  std::string url() const { return server_.url("/file"); }
  std::vector<Asked> asked() const {
    const std::lock_guard lock(mutex_);
    return asked_;
  }
  void send_range(Connection& connection, const Asked& asked, const std::string& etag = "\"one\"") const {
    const std::string body = content_.substr(asked.first, asked.last - asked.first + 1);
    if (!asked.is_ranged) return connection.send_answer("200 OK", "ETag: " + etag + "\r\n", body);
    connection.send_answer("206 Partial Content",
                           fmt::format("ETag: {}\r\nContent-Range: bytes {}-{}/{}\r\n", etag, asked.first,
                                       asked.last, content_.size()),
                           body);
  }

 private:
  void serve(Connection& connection) {
    while (true) {
      const std::string request = connection.read_request();
      if (request.empty()) return;
      const Asked asked = parse_asked(request, content_.size());
      int n = 0;
      {
        const std::lock_guard lock(mutex_);
        asked_.push_back(asked);
        n = static_cast<int>(asked_.size());
      }
      if (behave_ && behave_(connection, asked, n)) return;
      send_range(connection, asked);
    }
  }

  const std::string content_;
  Behave behave_;
  mutable std::mutex mutex_;
  std::vector<Asked> asked_;
  SocketServer server_;
};

class OneFile final : public HubSource {
 public:
  OneFile() : HubSource({"url", "http://h/file", ""}, {"http://127.0.0.1:1", "", "", {}}) {}

 private:
  RemoteListing list_unchecked(HttpClient&, const CancelToken&) const override { return {}; }
};

class Download : public ::testing::Test {
 protected:
  Download() {
    options_.n_streams = 3;
    options_.part_bytes = kPart;
    options_.stall_timeout_s = 1;
    options_.retry = {4, 0.001};
  }

  RemoteFile remote(const FileServer& server, bool has_hash = true) const {
    RemoteFile file;
    file.name = "sub/model.gguf";
    file.size = content_.size();
    if (has_hash) file.sha256 = sha256_of(content_);
    file.url = server.url();
    return file;
  }
  DownloadedFile fetch(const RemoteFile& file) {
    DownloadWatch watch;
    watch.on_bytes = [this](int64_t n) { n_bytes_ += n; };
    watch.on_continued = [this](uint64_t n) { n_bytes_ += static_cast<int64_t>(n); };
    watch.on_retry = [this](const std::string&) { ++n_retries_; };
    return download_file(OneFile(), file, SafeFolder(folder_ / "to"), options_, watch, cancel_);
  }
  std::string fetched() const { return read_text_file(folder_ / "to" / "sub/model.gguf"); }
  bool is_published() const { return fs::exists(folder_ / "to" / "sub/model.gguf"); }
  size_t n_leftovers() const {
    size_t n = 0;
    for (const auto& entry : fs::directory_iterator(folder_ / "to" / ".chaski"))
      n += entry.is_regular_file() ? 1 : 0;
    return n;
  }

  const std::string content_ = some_bytes(10 * kPart + 123);
  tests::TemporaryFolder folder_;
  DownloadOptions options_;
  CancelToken cancel_;
  std::atomic<int64_t> n_bytes_{0};
  std::atomic<int> n_retries_{0};
};

TEST_F(Download, PartsMakeTheWholeFileAndLeaveNothingElse) {
  const FileServer server(content_);
  const DownloadedFile done = fetch(remote(server));
  EXPECT_EQ(fetched(), content_);
  EXPECT_EQ(done.sha256, sha256_of(content_));
  EXPECT_EQ(done.checked_by, "sha256");
  EXPECT_EQ(server.asked().size(), 11u);
  EXPECT_EQ(n_leftovers(), 0u);
  EXPECT_EQ(n_bytes_, static_cast<int64_t>(content_.size()));
}

TEST_F(Download, GitsHashIsCheckedAndWithoutAnyTheSizeIs) {
  const FileServer server(content_);
  RemoteFile file = remote(server, false);
  EXPECT_EQ(fetch(file).checked_by, "size");
  Digest sha1(Digest::Kind::kSha1);
  sha1.add(fmt::format("blob {}", content_.size()) + '\0' + content_);
  file.git_sha1 = sha1.hex();
  EXPECT_EQ(fetch(file).checked_by, "git-sha1");
  file.git_sha1[0] = file.git_sha1[0] == '0' ? '1' : '0';
  EXPECT_EQ(error_of([&] { fetch(file); }).code(), ErrorCode::kCorrupt);
}

TEST_F(Download, AnEmptyFileIsAFile) {
  const FileServer server("x");
  RemoteFile file = remote(server, false);
  file.size = 0;
  EXPECT_EQ(fetch(file).size, 0u);
  EXPECT_EQ(fetched(), "");
}

TEST_F(Download, ConnectionsThatBreakCostOnlyWhatHadNotCome) {
  // Each part's first connection breaks, whichever worker has the part: none is unlucky twice in a row.
  std::mutex mutex;
  std::set<uint64_t> broken;
  const FileServer server(content_, [&](Connection& connection, const Asked& asked, int) {
    {
      const std::lock_guard lock(mutex);
      if (!broken.insert(asked.first / kPart).second) return false;
    }
    connection.send(fmt::format("HTTP/1.1 206 Partial Content\r\nContent-Length: {}\r\n"
                                "Content-Range: bytes {}-{}/{}\r\n\r\n",
                                asked.last - asked.first + 1, asked.first, asked.last, content_.size()) +
                    content_.substr(asked.first, 10));
    return true;
  });
  fetch(remote(server));
  EXPECT_EQ(fetched(), content_);
  EXPECT_EQ(n_retries_, 11);
  EXPECT_EQ(n_bytes_, static_cast<int64_t>(content_.size()));
}

TEST_F(Download, BusyAnswersAreRetriedAndAtLastGivenUp) {
  const FileServer server(content_, [](Connection& connection, const Asked&, int n) {
    if (n > 3) return false;
    connection.send_answer(n == 1 ? "429 Too Many Requests" : "503 Busy", "Retry-After: 0\r\n", "busy");
    return true;
  });
  fetch(remote(server));
  EXPECT_EQ(fetched(), content_);
  const FileServer always(content_, [](Connection& connection, const Asked&, int) {
    connection.send_answer("503 Busy", "", "busy");
    return true;
  });
  fs::remove_all(folder_ / "to");
  EXPECT_EQ(error_of([&] { fetch(remote(always)); }).code(), ErrorCode::kNetwork);
  EXPECT_FALSE(is_published());
}

TEST_F(Download, WhatIsNotThereIsAskedForOnce) {
  const FileServer server(content_, [](Connection& connection, const Asked&, int) {
    connection.send_answer("404 Not Found", "", "<html>no</html>");
    return true;
  });
  options_.n_streams = 1;
  EXPECT_EQ(error_of([&] { fetch(remote(server)); }).code(), ErrorCode::kNotFound);
  EXPECT_EQ(server.asked().size(), 1u);
  EXPECT_FALSE(is_published());
}

TEST_F(Download, AServerThatSendsNothingIsLeftAfterTheStallLimit) {
  options_.stall_timeout_s = 0.2;
  const FileServer server(content_, [](Connection& connection, const Asked&, int n) {
    if (n != 2) return false;
    connection.send("HTTP/1.1 206 Partial Content\r\nContent-Length: 1000\r\n");
    connection.wait_for_end();
    return true;
  });
  fetch(remote(server));
  EXPECT_EQ(fetched(), content_);
}

TEST_F(Download, AServerWithoutRangesGivesTheWholeInOneStream) {
  const FileServer server(content_, [&](Connection& connection, const Asked&, int) {
    connection.send_answer("200 OK", "", content_);
    return true;
  });
  fetch(remote(server));
  EXPECT_EQ(fetched(), content_);
  EXPECT_FALSE(server.asked().back().is_ranged);
}

TEST_F(Download, AFileOfOnePartMayComeAsAWhole) {
  options_.part_bytes = 1 << 20;
  const FileServer server(content_, [&](Connection& connection, const Asked&, int) {
    connection.send_answer("200 OK", "", content_);
    return true;
  });
  fetch(remote(server));
  EXPECT_EQ(fetched(), content_);
  EXPECT_EQ(server.asked().size(), 1u);
}

TEST_F(Download, AFileOfUnknownSizeComesAsAWhole) {
  const FileServer server(content_);
  RemoteFile file = remote(server);
  file.size.reset();
  EXPECT_EQ(fetch(file).size, content_.size());
  EXPECT_EQ(fetched(), content_);
}

TEST_F(Download, AnotherPartThanAskedForIsNotTaken) {
  const FileServer server(content_, [&](Connection& connection, const Asked& asked, int n) {
    if (n > 2) return false;
    connection.send_answer(
        "206 Partial Content",
        fmt::format("Content-Range: bytes {}-{}/{}\r\n", asked.first + 1, asked.last + 1, content_.size()),
        content_.substr(asked.first + 1, kPart));
    return true;
  });
  options_.n_streams = 1;
  fetch(remote(server));
  EXPECT_EQ(fetched(), content_);
}

TEST_F(Download, ASizeThatIsNotTheListingsEndsItAndNothingIsPublished) {
  const FileServer server(content_);
  for (const uint64_t lie : {content_.size() - 1, content_.size() + 1}) {
    RemoteFile file = remote(server);
    file.size = lie;
    EXPECT_EQ(error_of([&] { fetch(file); }).code(), ErrorCode::kCorrupt) << lie;
    EXPECT_FALSE(is_published());
    EXPECT_EQ(n_leftovers(), 0u);
  }
}

TEST_F(Download, AWrongHashIsTriedOnceMoreAndThenAnError) {
  const FileServer server(content_);
  RemoteFile file = remote(server);
  file.sha256 = std::string(64, '0');
  EXPECT_EQ(error_of([&] { fetch(file); }).code(), ErrorCode::kCorrupt);
  EXPECT_EQ(server.asked().size(), 22u);
  EXPECT_FALSE(is_published());
  EXPECT_EQ(n_leftovers(), 0u);
}

TEST_F(Download, AFileThatChangesMeanwhileIsFetchedAnew) {
  std::atomic<int> n_sent{0};
  FileServer* self = nullptr;
  FileServer server(content_, [&](Connection& connection, const Asked& asked, int) {
    if (++n_sent == 5) {
      self->send_range(connection, asked, "\"two\"");
      return true;
    }
    self->send_range(connection, asked, n_sent < 5 ? "\"one\"" : "\"two\"");
    return true;
  });
  self = &server;
  fetch(remote(server));
  EXPECT_EQ(fetched(), content_);
  EXPECT_GT(n_retries_, 0);
  EXPECT_EQ(n_bytes_, static_cast<int64_t>(content_.size()));
}

TEST_F(Download, AnInterruptedOneGoesOnWhereItWas) {
  const FileServer server(content_, [this](Connection&, const Asked&, int n) {
    if (n == 6) cancel_.cancel();
    return n >= 6;
  });
  options_.n_streams = 1;
  EXPECT_EQ(error_of([&] { fetch(remote(server)); }).code(), ErrorCode::kCancelled);
  EXPECT_FALSE(is_published());
  EXPECT_EQ(n_leftovers(), 2u);
  cancel_.reset();
  const FileServer again(content_);
  const DownloadedFile done = fetch(remote(again));
  EXPECT_EQ(fetched(), content_);
  EXPECT_EQ(done.n_continued, 5 * kPart);
  EXPECT_EQ(again.asked().size(), 6u);
  EXPECT_THAT(again.asked().front().text, HasSubstr("If-Range: \"one\""));
}

TEST_F(Download, WithoutHashOrStrongEtagNothingIsContinued) {
  for (const std::string etag : {"W/\"one\"", "\"one\""}) {
    fs::remove_all(folder_ / "to");
    cancel_.reset();
    FileServer* self = nullptr;
    FileServer server(content_, [&](Connection& connection, const Asked& asked, int n) {
      if (n == 6) cancel_.cancel();
      if (n < 6) self->send_range(connection, asked, etag);
      return true;
    });
    self = &server;
    options_.n_streams = 1;
    EXPECT_EQ(error_of([&] { fetch(remote(server, false)); }).code(), ErrorCode::kCancelled);
    cancel_.reset();
    const FileServer again(content_);
    EXPECT_EQ(fetch(remote(again, false)).n_continued, etag[0] == 'W' ? 0 : 5 * kPart) << etag;
    EXPECT_EQ(fetched(), content_);
  }
}

TEST_F(Download, WhatADamagedPartialFileHoldsIsFoundByTheHashAndFetchedAnew) {
  const FileServer server(content_, [this](Connection&, const Asked&, int n) {
    if (n == 6) cancel_.cancel();
    return n >= 6;
  });
  options_.n_streams = 1;
  EXPECT_EQ(error_of([&] { fetch(remote(server)); }).code(), ErrorCode::kCancelled);
  cancel_.reset();
  for (const auto& entry : fs::directory_iterator(folder_ / "to" / ".chaski")) {
    if (entry.path().extension() != ".partial") continue;
    std::string bytes = read_text_file(entry.path());
    bytes[100] = static_cast<char>(bytes[100] ^ 1);
    write_file_atomic(entry.path(), bytes);
  }
  const FileServer again(content_);
  fetch(remote(again));
  EXPECT_EQ(fetched(), content_);
}

TEST_F(Download, AnotherServersLinkThatExpiredIsAskedForAnew) {
  const FileServer cdn(content_, [](Connection& connection, const Asked&, int n) {
    if (n > 2) return false;
    connection.send_answer("403 Forbidden", "", "expired");
    return true;
  });
  const FileServer hub("x", [&](Connection& connection, const Asked&, int) {
    connection.send_answer("302 Found", "Location: " + cdn.url() + "\r\n", "");
    return true;
  });
  class Redirecting final : public HubSource {
   public:
    Redirecting() : HubSource({"url", "http://h/file", ""}, {"http://127.0.0.1:1", "", "", {}}) {}

   private:
    RemoteListing list_unchecked(HttpClient&, const CancelToken&) const override { return {}; }
  };
  RemoteFile file = remote(hub);
  download_file(Redirecting(), file, SafeFolder(folder_ / "to"), options_, {}, cancel_);
  EXPECT_EQ(fetched(), content_);
}

TEST_F(Download, WhatIsInTheFilesPlaceStaysUntouched) {
  const FileServer server(content_);
  write_file_atomic(folder_ / "outside", "mine");
  fs::create_directories(folder_ / "to" / "sub");
  fs::create_symlink(folder_ / "outside", folder_ / "to" / "sub/model.gguf");
  EXPECT_EQ(error_of([&] { fetch(remote(server)); }).code(), ErrorCode::kUsage);
  EXPECT_EQ(read_text_file(folder_ / "outside"), "mine");
  fs::remove(folder_ / "to" / "sub/model.gguf");
  fs::create_directories(folder_ / "to" / "sub/model.gguf");
  EXPECT_EQ(error_of([&] { fetch(remote(server)); }).code(), ErrorCode::kUsage);
}

TEST_F(Download, ALinkInPlaceOfAFolderIsNotFollowed) {
  const FileServer server(content_);
  fs::create_directories(folder_ / "elsewhere");
  fs::create_directories(folder_ / "to");
  fs::create_symlink(folder_ / "elsewhere", folder_ / "to" / "sub");
  EXPECT_EQ(error_of([&] { fetch(remote(server)); }).code(), ErrorCode::kUsage);
  EXPECT_TRUE(fs::is_empty(folder_ / "elsewhere"));
  fs::create_directories(folder_ / "third");
  fs::create_symlink(folder_ / "elsewhere", folder_ / "third" / ".chaski");
  EXPECT_EQ(error_of([&] { SafeFolder(folder_ / "third"); }).code(), ErrorCode::kUsage);
}

}  // namespace
}  // namespace chaski
