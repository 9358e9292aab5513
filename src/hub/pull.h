// A whole pull: what the hub has, what of it is wanted, what is here already, fetching the rest, and the
// manifest that makes the folder count.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "hub/file_download.h"
#include "hub/model_store.h"
#include "hub/selection.h"

namespace chaski {

struct PullOptions {
  RepoAddress repo;
  HubAccess access;
  SelectionRules rules;
  std::filesystem::path local_dir;  ///< empty: CHASKI_HOME/models/…
  bool is_dry_run = false;
  bool is_offline = false;
  bool ignores_caches = false;
  bool waits = true;       ///< for another process that fills the same folder
  uint64_t max_bytes = 0;  ///< refuse to fetch more; 0: as much as the disk has room for
  DownloadOptions download;
};

/// What happens in a pull, one thing at a time.
struct PullEvent {
  enum class Kind {
    kPlan,      ///< `selection` is what will be there; n_done of n_total bytes are
    kWaiting,   ///< another process fills the folder: its end is waited for
    kFile,      ///< `file` is there and right, `stored` says what it is
    kProgress,  ///< n_done of n_total bytes, n_fetched of them in this run
    kRetry      ///< something failed and is tried again: `text`
  };
  Kind kind = Kind::kProgress;
  const Selection* selection = nullptr;
  const StoredFile* stored = nullptr;
  std::string file{}, text{};
  uint64_t n_done = 0, n_total = 0;
  uint64_t n_fetched = 0;  ///< of n_done, in this run
};
/// Called by one thread at a time.
using OnPullEvent = std::function<void(const PullEvent&)>;

struct PullReport {
  std::filesystem::path path;
  std::string commit;
  uint64_t n_files = 0, n_bytes = 0;     ///< of the model
  uint64_t n_fetched = 0;                ///< bytes that came over the network in this run
  std::vector<std::string> unchecked{};  ///< files whose hash the hub does not say
  enum class Where { kFetched, kWasThere, kCache, kPlanOnly } where = Where::kFetched;
};

/// Throws as HubSource::list, select_files and download_file do; Error(kNotFound) for what is not here when
/// offline; Error(kIo) for a disk too full; Error(kUsage) for a folder that holds another repository.
PullReport pull(const PullOptions& options, const OnPullEvent& on_event, const CancelToken& cancel);

}  // namespace chaski
