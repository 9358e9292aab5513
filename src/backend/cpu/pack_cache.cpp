#include "backend/cpu/pack_cache.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <mutex>
#include <system_error>
#include <utility>

#include "backend/cpu/cache_folder.h"
#include "base/checked.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/files.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

namespace chaski::cpu {
namespace {

namespace fs = std::filesystem;

uint64_t rounded_up(uint64_t bytes, uint64_t unit) { return (bytes + unit - 1) / unit * unit; }

bool read_all(int fd, std::span<std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = ::pread(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return true;
}

PackedPlace place_of(const PanelLayout& layout, uint64_t offset) {
  return {layout.dtype(),  layout.is_wide(), layout.n_rows(),
          layout.n_cols(), offset,           static_cast<uint64_t>(layout.bytes())};
}

uint64_t placed_bytes(const PanelLayout& layout) {
  return rounded_up(static_cast<uint64_t>(layout.bytes()), kPackAlignment);
}

std::string reason_of(const Error& error) {
  return error.hint().empty() ? error.what() : fmt::format("{} ({})", error.what(), error.hint());
}

bool is_ready(const std::future<std::string>& hash) {
  return hash.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

/// Whether memory comes in large pages where it is asked for.
bool has_large_pages() {
  std::ifstream setting("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string text;
  return std::getline(setting, text) && text.find("[never]") == std::string::npos;
}

}  // namespace

// From the second constructor's first line on, what is thrown runs the destructor.
PackCache::PackCache(ThreadPool& pool, Plan plan, std::shared_ptr<const Checkpoint> checkpoint)
    : pool_(pool), plan_(std::move(plan)), checkpoint_(std::move(checkpoint)) {}

PackCache::PackCache(ThreadPool& pool, Plan plan, std::shared_ptr<const Checkpoint> checkpoint,
                     const OnBytes& on_bytes)
    : PackCache(pool, std::move(plan), std::move(checkpoint)) {
  const auto known = checkpoint_->known_hash();
  if (known && open_existing(*known, on_bytes)) return;
  begin_writing();
  if (mode_ == Mode::kWriting) begin_hashing(known);
}

PackCache::~PackCache() {
  stops_hashing_ = true;
  if (hash_.valid()) hash_.wait();
  if (!partial_.empty()) ::unlink(partial_.c_str());
  if (fd_ >= 0) ::close(fd_);
}

/// Whole chunks in parallel: `work(offset)`, on any thread of the pool.
template <class Work>
void PackCache::for_chunks(uint64_t begin, uint64_t end, Work&& work) {
  const uint64_t n = rounded_up(end - begin, kPackChunk) / kPackChunk;
  pool_.parallel_for(static_cast<int64_t>(n), 1, [&](int64_t first, int64_t last, int) {
    for (int64_t i = first; i < last; ++i) work(begin + static_cast<uint64_t>(i) * kPackChunk);
  });
}

std::span<std::byte> PackCache::chunk_at(uint64_t offset) const {
  const uint64_t end = mode_ == Mode::kReading ? index_.file_bytes : end_;
  return {memory_->data() + offset, static_cast<size_t>(std::min(kPackChunk, end - offset))};
}

// The file is there.

fs::path PackCache::path_for(const std::string& hash) const {
  return plan_.folder / fmt::format("{}-{}{}", hash, plan_.kind, kPackSuffix);
}

/// Whether there is nothing to write: the file is good, or what is there is not ours to replace.
bool PackCache::open_existing(const std::string& hash, const OnBytes& on_bytes) {
  path_ = path_for(hash);
  fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd_ < 0) {
    const int fault = errno;
    if (fault == ENOENT || fault == ENOTDIR) return false;
    give_up(fmt::format("{}: {}", path_.string(), std::error_code(fault, std::generic_category()).message()));
    return true;
  }
  try {
    mode_ = Mode::kReading;
    use_existing(hash, on_bytes);
    mark_used(fd_);
    return true;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) throw;
    notes_.push_back(fmt::format("the weights are packed anew: {}: {}", path_.string(), error.what()));
    if (error.code() == ErrorCode::kCorrupt) ::unlink(path_.c_str());
  }
  mode_ = Mode::kMemory;
  memory_.reset();
  index_ = {};
  ::close(fd_);
  fd_ = -1;
  return false;
}

void PackCache::use_existing(const std::string& hash, const OnBytes& on_bytes) {
  struct stat info {};
  if (::fstat(fd_, &info) != 0 || !S_ISREG(info.st_mode)) {
    throw Error(ErrorCode::kUnsupported, "read packed weights", "expected a regular file");
  }
  const auto file_bytes = static_cast<uint64_t>(info.st_size);
  std::vector<std::byte> beginning(static_cast<size_t>(std::min(file_bytes, kPackChunk)));
  if (!read_all(fd_, beginning, 0)) {
    throw Error(ErrorCode::kCorrupt, "read packed weights", "the file cannot be read");
  }
  index_ = decode_pack_index(beginning, file_bytes, kPanelLayoutVersion);
  check_index(hash);
  std::mutex mutex;
  bool is_read = false;  // each byte is told of once, but the listener may end both rounds
  const auto on_chunk = [&](uint64_t n_bytes) {
    if (!on_bytes) return;
    const std::lock_guard lock(mutex);
    on_bytes(is_read ? 0 : n_bytes);
  };
  memory_ = std::make_unique<GuardedMemory>(rounded_up(file_bytes, kPackChunk), "packed weights");
  const uint64_t bytes = file_bytes - kPackChunk;
  bool in_place = memory_->map_file(fd_, kPackChunk, bytes);
  if (in_place && has_large_pages()) {
    // Weights are read from end to end for every token, and small pages slow that down by a third and more:
    // where the file system keeps the file in those, memory in large ones is worth the copy.
    for_chunks(kPackChunk, file_bytes, [&](uint64_t offset) {
      const std::span<std::byte> chunk = chunk_at(offset);
      madvise(chunk.data(), chunk.size(), MADV_POPULATE_READ);
      on_chunk(chunk.size());
    });
    in_place = bytes < kPackChunk || large_page_bytes(memory_->data() + kPackChunk, bytes) >= bytes / 2;
    is_read = true;
  }
  check_chunks(in_place, on_chunk);
  modified_ns_ = nanoseconds_of(info.st_mtim);
  is_watched_ = in_place;
}

/// What the file has of the plan must fit: packed beside it, it would be in memory twice.
void PackCache::check_index(const std::string& hash) const {
  if (index_.model_hash != hash) {
    throw Error(ErrorCode::kCorrupt, "read packed weights", "the weights are another model's");
  }
  for (const auto& [name, layout] : plan_.weights) {
    if (index_.weights.find(name) == index_.weights.end() || find(name, layout) != nullptr) continue;
    throw Error(ErrorCode::kCorrupt, "read packed weights",
                fmt::format("weight {} is not in it as expected", printable(name)));
  }
}

void PackCache::check_chunks(bool in_place, const OnBytes& on_chunk) {
  std::atomic<bool> is_damaged{false};
  for_chunks(kPackChunk, index_.file_bytes, [&](uint64_t offset) {
    const std::span<std::byte> chunk = chunk_at(offset);
    if (!in_place) bring_in(offset, chunk.size());
    if (checksum_of(chunk) != index_.checksums[offset / kPackChunk - 1]) is_damaged = true;
    on_chunk(chunk.size());
  });
  if (is_damaged || memory_->was_cut()) {
    throw Error(ErrorCode::kCorrupt, "read packed weights", "the file is damaged");
  }
}

const PackedPlace* PackCache::find(std::string_view name, const PanelLayout& layout) const {
  const auto at = index_.weights.find(name);
  if (at == index_.weights.end()) return nullptr;
  const PackedPlace& place = at->second;
  const bool fits = place.dtype == layout.dtype() && place.is_wide == layout.is_wide() &&
                    place.n_rows == layout.n_rows() && place.n_cols == layout.n_cols() &&
                    place.bytes == static_cast<uint64_t>(layout.bytes());
  return fits ? &place : nullptr;
}

/// Bytes of the file into memory, in place.
void PackCache::bring_in(uint64_t offset, uint64_t bytes) {
  if (!memory_->map_memory(offset, bytes)) {
    throw Error(ErrorCode::kOutOfMemory, "allocate", fmt::format("{} bytes for packed weights", bytes));
  }
  if (!read_all(fd_, {memory_->data() + offset, static_cast<size_t>(bytes)}, offset)) {
    throw Error(ErrorCode::kCorrupt, "read packed weights", "the file ends early");
  }
}

// The file is being made. A weight is packed into memory; full chunks are written, and the file's pages then
// take the memory's place.

void PackCache::begin_writing() {
  uint64_t bytes = 0;
  for (const auto& [name, layout] : plan_.weights) bytes += placed_bytes(layout);
  memory_ = std::make_unique<GuardedMemory>(kPackChunk + rounded_up(bytes, kPackChunk), "packed weights");
  if (!memory_->map_memory(0, memory_->bytes())) {
    throw Error(ErrorCode::kOutOfMemory, "allocate",
                fmt::format("{} bytes for packed weights are not to be had", bytes),
                "use a smaller model or format, or a machine with more memory");
  }
  stays_in_file_ = memory_->is_guarded();
  is_in_file_.resize(static_cast<size_t>(memory_->bytes() / kPackChunk));
  if (!has_room_for_index(bytes)) {
    give_up("the names of its weights are too many or too long");
    return;
  }
  try {
    // The hash may not be known yet, and two processes may be at it: any name will do.
    const PartialFile file = begin_pack_file(plan_.folder, "new", bytes);
    fd_ = file.fd;
    partial_ = file.path;
    mode_ = Mode::kWriting;
  } catch (const Error& error) {
    give_up(reason_of(error));
  }
}

bool PackCache::has_room_for_index(uint64_t bytes) const {
  PackIndex index;
  index.model_hash = std::string(64, '0');
  index.checksums.resize(static_cast<size_t>(PackIndex::n_chunks(kPackChunk + bytes)));
  for (const auto& [name, layout] : plan_.weights) index.weights[name] = place_of(layout, 0);
  return !encode_pack_index(index, kPanelLayoutVersion).empty();
}

void PackCache::begin_hashing(const std::optional<std::string>& known) {
  if (known) {
    std::promise<std::string> hash;
    hash.set_value(*known);
    hash_ = hash.get_future();
    return;
  }
  try {
    hash_ = std::async(std::launch::async, [this] {
      return checkpoint_->content_hash([this](uint64_t) {
        if (stops_hashing_) throw Error(ErrorCode::kCancelled, "hash model", "it is not needed any more");
      });
    });
  } catch (const std::system_error& error) {
    give_up(fmt::format("the system starts no thread for the model's hash: {}", error.what()));
  }
}

PackCache::Place PackCache::place(const WeightSource& source, const PanelLayout& layout) {
  if (memory_ == nullptr) return {};
  if (mode_ == Mode::kReading) {
    if (const PackedPlace* there = find(source.name(), layout))
      return {memory_->data() + there->offset, true};
    if (notes_.empty()) {
      notes_.push_back(
          fmt::format("{}: weight {} is not in it as expected; the weights are packed anew at "
                      "the next start",
                      path_.string(), printable(source.name())));
      ::unlink(path_.c_str());
    }
    return {};
  }
  const auto bytes = static_cast<uint64_t>(layout.bytes());
  if (end_ + bytes >
      memory_->bytes()) {  // a weight that the checkpoint does not list, or one handed in twice
    if (mode_ == Mode::kWriting) give_up("the model has more weights than it said");
    return {};
  }
  const uint64_t offset = end_;
  end_ = rounded_up(offset + bytes, kPackAlignment);
  index_.weights[source.name()] = place_of(layout, offset);
  return {memory_->data() + offset, false};
}

void PackCache::filled() {
  if (mode_ == Mode::kWriting) write_chunks(end_ / kPackChunk * kPackChunk);
}

/// Write what is filled, up to `end`, which is a multiple of a chunk or the end of all.
void PackCache::write_chunks(uint64_t end) {
  if (end <= written_) return;
  index_.checksums.resize(static_cast<size_t>(PackIndex::n_chunks(end)));
  std::atomic<int> fault{0};
  for_chunks(written_, end, [&](uint64_t offset) {
    const std::span<std::byte> chunk = chunk_at(offset);
    index_.checksums[offset / kPackChunk - 1] = checksum_of(chunk);
    // In one piece: the file system then keeps it as one large page, where it can.
    if (!write_all(fd_, chunk, offset)) {
      fault = errno;
    } else if (stays_in_file_ && chunk.size() == kPackChunk) {
      is_in_file_[offset / kPackChunk] = memory_->map_file(fd_, offset, kPackChunk);
      madvise(chunk.data(), chunk.size(), MADV_POPULATE_READ);
    }
  });
  const uint64_t begin = std::exchange(written_, end);
  if (fault != 0) {
    give_up(reason_of(write_error(plan_.folder.string(), fault)));
  } else if (!is_decided_) {
    decide_where_to_stay(begin, end / kPackChunk * kPackChunk);
  }
}

/// As in use_existing: large pages matter more than whose they are.
void PackCache::decide_where_to_stay(uint64_t begin, uint64_t end) {
  if (end <= begin) return;
  is_decided_ = true;
  if (!stays_in_file_ || !has_large_pages()) return;
  if (large_page_bytes(memory_->data() + begin, end - begin) >= (end - begin) / 2) return;
  stays_in_file_ = false;
  leave_file();
}

/// What is used from the file comes back into memory.
void PackCache::leave_file() {
  for_chunks(kPackChunk, written_, [&](uint64_t offset) {
    if (std::exchange(is_in_file_[offset / kPackChunk], 0) != 0) bring_in(offset, kPackChunk);
  });
}

void PackCache::say_not_kept(const std::string& reason) {
  notes_.push_back(fmt::format("packed weights are not kept for the next start: {}", reason));
}

/// No file after all, and the disk as it was.
void PackCache::give_up(const std::string& reason) {
  say_not_kept(reason);
  if (mode_ == Mode::kWriting) {
    leave_file();
    ::unlink(partial_.c_str());
    ::close(fd_);
  }
  partial_.clear();
  fd_ = -1;
  mode_ = Mode::kMemory;
  stops_hashing_ = true;
}

void PackCache::finish() {
  if (mode_ != Mode::kWriting) return;
  write_chunks(end_);
  if (mode_ != Mode::kWriting) return;
  index_.file_bytes = end_;
  is_watched_ = std::any_of(is_in_file_.begin(), is_in_file_.end(), [](char is) { return is != 0; });
  is_unpublished_ = true;
  if (is_ready(hash_)) publish();
}

void PackCache::keep(const OnWait& on_wait) {
  if (!is_unpublished_) return;
  while (hash_.wait_for(std::chrono::milliseconds(20)) != std::future_status::ready) {
    if (on_wait) on_wait();
  }
  publish();
}

/// Whatever is in the way of the file: the weights are there.
void PackCache::publish() {
  is_unpublished_ = false;
  try {
    put_in_place();
    return;
  } catch (const Error& error) {
    say_not_kept(reason_of(error));
  } catch (const std::exception& error) {
    say_not_kept(error.what());
  }
  ::unlink(partial_.c_str());
  partial_.clear();
}

/// Write the beginning and give the file its name, which is the hash of the bytes that were packed: those of
/// the files as they were opened, for nobody has written to them from then on until after the last was read.
void PackCache::put_in_place() {
  index_.model_hash = hash_.get();
  if (!checkpoint_->is_unchanged()) {
    throw Error(ErrorCode::kCorrupt, "keep packed weights",
                "the model's files were written to while they were read", "start again when that is over");
  }
  const std::string beginning = encode_pack_index(index_, kPanelLayoutVersion);
  CHECK(!beginning.empty(), "an index that has no room after all");
  if (!write_all(fd_, std::as_bytes(std::span(beginning)), 0)) {
    throw write_error(partial_.string(), errno);
  }
  const fs::path path = path_for(index_.model_hash);
  if (::rename(partial_.c_str(), path.c_str()) != 0) throw write_error(path.string(), errno);
  path_ = path;
  partial_.clear();
  notes_.push_back(
      fmt::format("packed weights are kept for the next start: {} ({} MB); --no-cache goes without",
                  path_.string(), index_.file_bytes / 1'000'000));
  struct stat info {};
  if (::fstat(fd_, &info) == 0) modified_ns_ = nanoseconds_of(info.st_mtim);
}

void PackCache::check_intact() {
  if (is_unpublished_ && is_ready(hash_)) publish();
  if (!is_watched_) return;
  struct stat info {};
  const bool is_known = ::fstat(fd_, &info) == 0;
  const bool is_intact = is_known && !memory_->was_cut() &&
                         static_cast<uint64_t>(info.st_size) == index_.file_bytes &&
                         (modified_ns_ == 0 || modified_ns_ == nanoseconds_of(info.st_mtim));
  if (is_intact) return;
  struct stat named {};
  if (modified_ns_ != 0 && is_known && ::stat(path_.c_str(), &named) == 0 && named.st_ino == info.st_ino &&
      named.st_dev == info.st_dev) {
    ::unlink(path_.c_str());
  }
  throw Error(ErrorCode::kCorrupt, "compute",
              fmt::format("{}: the packed weights were cut or written to while they were in use",
                          modified_ns_ != 0 ? path_.string() : plan_.folder.string()),
              "start again: they are packed anew then; --no-cache goes without them");
}

}  // namespace chaski::cpu
