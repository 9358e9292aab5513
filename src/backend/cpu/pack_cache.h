// Weights as CpuOps holds them, kept in a file for the next start, which then uses them where they lie. One
// file for each content of a model's weight files and each form of it; its beginning is in pack_index.h. What
// is damaged, cut or from another machine is packed anew; where no file can be kept, there is none.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
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
    std::string kind;  ///< which of several packed forms of a model; a part of the file's name
    std::map<std::string, PanelLayout, std::less<>> weights;  ///< by name: all that may be placed
  };

  /// Looks for the file and checks all of it, of which `on_bytes` hears as in Device::begin_weights; where
  /// there is none that is good, the weights will be written. Throws Error(kOutOfMemory), and what `on_bytes`
  /// throws.
  PackCache(ThreadPool& pool, Plan plan, std::shared_ptr<const Checkpoint> checkpoint,
            const OnBytes& on_bytes);
  /// A file that is not in its place yet is given up, without waiting for the hash.
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
  /// All weights are placed and filled: the file gets its place as soon as the hash is known.
  void finish();
  /// Wait for that, if finish() was called. `on_wait` is called meanwhile; where it throws, nothing is kept
  /// yet.
  void keep(const OnWait& on_wait);
  /// What the user should know and was not told yet, a line each.
  std::vector<std::string> take_notes() { return std::exchange(notes_, {}); }
  /// Throws Error(kCorrupt) where the file was cut or written to while it was in use: what was computed since
  /// the last call may be wrong. Puts the file in its place where that can be done at once.
  void check_intact();

 private:
  enum class Mode { kReading, kWriting, kMemory };

  PackCache(ThreadPool& pool, Plan plan, std::shared_ptr<const Checkpoint> checkpoint);
  std::filesystem::path path_for(const std::string& hash) const;
  bool open_existing(const std::string& hash, const OnBytes& on_bytes);
  void use_existing(const std::string& hash, const OnBytes& on_bytes);
  void check_index(const std::string& hash) const;
  void check_chunks(bool in_place, const OnBytes& on_chunk);
  const PackedPlace* find(std::string_view name, const PanelLayout& layout) const;
  bool has_room_for_index(uint64_t bytes) const;
  void begin_writing();
  void begin_hashing(const std::optional<std::string>& known);
  void write_chunks(uint64_t end);
  void decide_where_to_stay(uint64_t begin, uint64_t end);
  void leave_file();
  void say_not_kept(const std::string& reason);
  void give_up(const std::string& reason);
  void bring_in(uint64_t offset, uint64_t bytes);
  void publish();
  void put_in_place();
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

  std::future<std::string> hash_;  ///< of the model, whose file is being made
  std::atomic<bool> stops_hashing_{false};
  bool is_unpublished_ = false;  ///< all is written but for the beginning, which waits for the hash
  std::vector<std::string> notes_;

  bool is_watched_ = false;  ///< pages of the file are in use
  int64_t modified_ns_ = 0;  ///< when the file was written to last; 0 as long as it is written
};

}  // namespace chaski::cpu
