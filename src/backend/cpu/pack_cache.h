// Weights as CpuOps holds them, kept in a file for the next start, which then uses them where they lie. One
// file for each content of a model's weight files and each form of it; its beginning is in pack_index.h. What
// is damaged, cut, from another version or from another machine is packed anew; where no file can be kept,
// there is none.
#pragma once

#include <atomic>
#include <filesystem>
#include <future>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "backend/cpu/guarded_memory.h"
#include "backend/cpu/pack_index.h"
#include "backend/cpu/panel.h"
#include "base/threads.h"
#include "format/checkpoint.h"

namespace chaski::cpu {

/// The weights of one model, from the first to the last. Not thread-safe; it works with the pool's threads,
/// and reads the model's hash on one of its own where that is not known.
class PackCache {
 public:
  struct Plan {
    std::filesystem::path folder;
    std::string kind;    ///< which of several packed forms of a model; a part of the file's name
    uint64_t bytes = 0;  ///< sum of bytes_of all weights
  };
  static uint64_t bytes_of(const PanelLayout& layout);

  /// Looks for the file and checks all of it; where there is none that is good, the weights will be written.
  /// Throws Error(kOutOfMemory) only.
  PackCache(ThreadPool& pool, Plan plan, std::shared_ptr<const Checkpoint> checkpoint);
  /// Waits for the file to be put in its place, if finish() was called.
  ~PackCache();
  PackCache(const PackCache&) = delete;
  PackCache& operator=(const PackCache&) = delete;

  struct Place {
    std::byte* panels = nullptr;  ///< zeros to be packed into; null: find memory elsewhere
    bool is_packed = false;       ///< they are there, for reading only
  };
  /// Where the panels of the next weight lie, as long as this lives.
  Place place(const WeightSource& source, const PanelLayout& layout);
  /// The last place has been packed into; from here on it is for reading only.
  void filled();
  /// All weights are placed and filled.
  void finish();
  /// What the user should know, a line each.
  const std::vector<std::string>& notes() const { return notes_; }
  /// Throws Error(kCorrupt) where the file was cut or written to while it was in use: what was computed since
  /// the last call may be wrong.
  void check_intact();

 private:
  enum class Mode { kReading, kWriting, kMemory };

  std::filesystem::path path_for(const std::string& hash) const;
  bool open_existing(const std::string& hash);
  void use_existing(const std::string& hash);
  void check_chunks(bool in_place);
  void begin_writing();
  void write_chunks(uint64_t end);
  void decide_where_to_stay(uint64_t begin, uint64_t end);
  void leave_file();
  void give_up(const std::string& reason);
  void bring_in(uint64_t offset, uint64_t bytes);
  void publish() noexcept;
  std::span<std::byte> chunk_at(uint64_t offset) const;
  template <class Work>
  void for_chunks(uint64_t begin, uint64_t end, Work&& work);

  ThreadPool& pool_;
  Plan plan_;
  std::filesystem::path path_, partial_;
  std::shared_ptr<const Checkpoint> checkpoint_;
  Mode mode_ = Mode::kMemory;
  std::unique_ptr<GuardedMemory> memory_;  ///< laid out as the file is
  PackIndex index_;
  int fd_ = -1;
  uint64_t end_ = kPackChunk;      ///< of what was placed
  uint64_t written_ = kPackChunk;  ///< up to here
  bool stays_in_file_ = true;      ///< written chunks are used from the file, not from memory
  bool is_decided_ = false;        ///< whether that is so
  std::vector<char> is_in_file_;   ///< of each chunk of the file being written

  std::future<std::string> hash_;  ///< where it was not known
  std::atomic<bool> stops_hashing_{false};
  std::thread publisher_;
  std::vector<std::string> notes_;

  bool is_watched_ = false;              ///< pages of the file are in use
  std::atomic<int64_t> modified_ns_{0};  ///< when the file was written to last; 0 as long as it is written
};

}  // namespace chaski::cpu
