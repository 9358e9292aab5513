// One file of a repository onto the disk: parts in parallel into one preallocated file, continued where an
// earlier run was interrupted, hashed as it arrives, visible under its name only when it is whole and right.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "hub/hub_source.h"
#include "hub/safe_folder.h"

namespace chaski {

struct DownloadOptions {
  int n_streams = 4;
  uint64_t part_bytes = uint64_t{16} << 20;
  double stall_timeout_s = 30;  ///< without a byte; there is no limit on the whole
  double sync_every_s = 5;      ///< between two waits for the disk, for what shall survive a loss of power
  RetryLimits retry;
};

/// What is heard of a download, from several threads.
struct DownloadWatch {
  /// Bytes that came; less than zero where some are fetched again.
  std::function<void(int64_t n_bytes)> on_bytes = [](int64_t) {};
  /// Bytes that an earlier run had fetched.
  std::function<void(uint64_t n_bytes)> on_continued = [](uint64_t) {};
  /// Something failed and is tried again.
  std::function<void(const std::string& why)> on_retry = [](const std::string&) {};
};

struct DownloadedFile {
  uint64_t size = 0;
  std::string sha256;
  /// What it was checked against: "sha256", "git-sha1" or "size".
  std::string checked_by;
  uint64_t n_continued = 0;  ///< bytes that an earlier run had fetched
};

/// Fetch `file` into `folder`, which no other process may be filling. Throws Error(kNetwork) where tries are
/// used up, Error(kCorrupt) where what came is not what the hub promised, Error(kIo), Error(kCancelled); what
/// was fetched stays for the next run but where it was wrong.
DownloadedFile download_file(const HubSource& source, const RemoteFile& file, const SafeFolder& folder,
                             const DownloadOptions& options, const DownloadWatch& watch,
                             const CancelToken& cancel);

/// The name in `.chaski` of the unfinished file `name`, and of its journal with ".journal" after it.
std::string unfinished_name(std::string_view name);
/// Removes both where they are there.
void remove_unfinished(const SafeFolder& folder, std::string_view name);

/// Whether the header ETag names bytes, and not only what is as good.
bool is_strong_etag(std::string_view etag);

/// What a Content-Range header says; nothing where it is none of bytes with a known total.
struct ContentRange {
  uint64_t first = 0, last = 0, total = 0;
};
std::optional<ContentRange> parse_content_range(std::string_view header);

}  // namespace chaski
