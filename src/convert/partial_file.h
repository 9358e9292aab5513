// A large file that is written in pieces from several threads, appears under its name only when it is whole,
// and can be continued after an interruption. What is written is the caller's matter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/locked_file.h"

namespace chaski {

/// What a partial file is to become. A run continues another's where both agree on all of it.
struct FilePlan {
  std::string header;    ///< the file's first bytes
  uint64_t n_bytes = 0;  ///< of the whole file
  std::string origin;    ///< what the rest is made of: inputs with their sizes and times, and options
  size_t n_parts = 0;    ///< parts that are finished one by one
};

/// TARGET.partial, and beside it TARGET.journal with the parts that are finished. Both stay where the work is
/// interrupted after a part is finished; only a machine that was started anew makes the journal void, since
/// nothing waits for the disk before commit. All throw Error(kIo) naming the file and the reason.
class PartialFile {
 public:
  /// Continues what a journal says was begun for the same plan, else begins anew. Throws Error(kUsage) where
  /// another process writes the same target.
  PartialFile(const std::filesystem::path& target, FilePlan plan);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  bool is_finished(size_t part) const { return finished_[part]; }
  size_t n_continued() const { return n_continued_; }  ///< parts that an earlier run had finished
  bool has_finished_parts() const;                     ///< of a file that has not its name yet
  const std::filesystem::path& partial_path() const { return partial_; }

  /// Thread-safe.
  void write_at(uint64_t offset, std::span<const std::byte> bytes) const;
  /// All of `part` is written. Thread-safe; the journal follows within a second or at the end.
  void finish_part(size_t part);
  /// Leave nothing behind: for work that cannot be continued.
  void discard() noexcept;
  /// Wait for the disk, give the file its name, drop the journal. Gives the seconds of waiting. Where it
  /// fails no part counts as finished any more: the disk may have lost what it was given.
  double commit();

 private:
  bool can_continue();
  void begin_anew();
  void write_journal() noexcept;

  std::filesystem::path target_, partial_, journal_;
  FilePlan plan_;
  LockedFile file_;
  bool is_over_ = false;  ///< committed or discarded
  size_t n_continued_ = 0;
  std::mutex mutex_;
  std::vector<bool> finished_;
  Stopwatch since_journal_;
};

}  // namespace chaski
