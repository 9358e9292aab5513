#include "backend/cpu/pack_cache.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
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

int64_t modified_ns_of(const struct stat& info) {
  return int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

/// False, with errno, where not all could be written.
bool write_all(int fd, std::span<const std::byte> bytes, uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return true;
}

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

/// Whether memory comes in large pages where it is asked for.
bool has_large_pages() {
  std::ifstream setting("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string text;
  return std::getline(setting, text) && text.find("[never]") == std::string::npos;
}

}  // namespace

uint64_t PackCache::bytes_of(const PanelLayout& layout) {
  return rounded_up(static_cast<uint64_t>(layout.bytes()), kPackAlignment);
}

PackCache::PackCache(ThreadPool& pool, Plan plan, std::shared_ptr<const Checkpoint> checkpoint)
    : pool_(pool), plan_(std::move(plan)), checkpoint_(std::move(checkpoint)) {
  const auto known = checkpoint_->known_hash();
  if (known && open_existing(*known)) return;
  begin_writing();
  if (mode_ != Mode::kWriting) return;
  hash_ = std::async(std::launch::async, [this] {
    return checkpoint_->content_hash([this](uint64_t) {
      if (stops_hashing_) throw Error(ErrorCode::kCancelled, "hash model", "it is not needed any more");
    });
  });
}

PackCache::~PackCache() {
  if (publisher_.joinable()) {
    publisher_.join();
  } else {
    stops_hashing_ = true;
  }
  if (hash_.valid()) hash_.wait();
  if (!partial_.empty()) ::unlink(partial_.c_str());
  if (fd_ >= 0) ::close(fd_);
}

/// Work on whole chunks in parallel; `work(offset, chunk)`.
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

bool PackCache::open_existing(const std::string& hash) {
  path_ = path_for(hash);
  fd_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (fd_ < 0) return false;
  try {
    mode_ = Mode::kReading;
    use_existing(hash);
    mark_used(fd_);
    return true;
  } catch (const Error& error) {
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

void PackCache::use_existing(const std::string& hash) {
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
  if (index_.model_hash != hash) {
    throw Error(ErrorCode::kCorrupt, "read packed weights", "the weights are another model's");
  }
  memory_ = std::make_unique<GuardedMemory>(rounded_up(file_bytes, kPackChunk), "packed weights");
  const uint64_t bytes = file_bytes - kPackChunk;
  bool in_place = memory_->map_file(fd_, kPackChunk, bytes);
  if (in_place && has_large_pages()) {
    // Weights are read from end to end for every token, and small pages slow that down by a third and more:
    // where the file system keeps the file in those, memory in large ones is worth the copy.
    for_chunks(kPackChunk, file_bytes, [&](uint64_t offset) {
      const std::span<std::byte> chunk = chunk_at(offset);
      madvise(chunk.data(), chunk.size(), MADV_POPULATE_READ);
    });
    in_place = bytes < kPackChunk || large_page_bytes(memory_->data() + kPackChunk, bytes) >= bytes / 2;
  }
  check_chunks(in_place);
  modified_ns_ = modified_ns_of(info);
  is_watched_ = in_place;
}

void PackCache::check_chunks(bool in_place) {
  std::atomic<bool> is_damaged{false};
  for_chunks(kPackChunk, index_.file_bytes, [&](uint64_t offset) {
    if (!in_place) bring_in(offset, chunk_at(offset).size());
    if (checksum_of(chunk_at(offset)) != index_.checksums[offset / kPackChunk - 1]) is_damaged = true;
  });
  if (is_damaged || memory_->was_cut()) {
    throw Error(ErrorCode::kCorrupt, "read packed weights", "the file is damaged");
  }
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
  memory_ =
      std::make_unique<GuardedMemory>(kPackChunk + rounded_up(plan_.bytes, kPackChunk), "packed weights");
  if (!memory_->map_memory(0, memory_->bytes())) {
    throw Error(ErrorCode::kOutOfMemory, "allocate",
                fmt::format("{} bytes for packed weights are not to be had", plan_.bytes),
                "use a smaller model or format, or a machine with more memory");
  }
  stays_in_file_ = memory_->is_guarded();
  is_in_file_.resize(static_cast<size_t>(memory_->bytes() / kPackChunk));
  try {
    // The hash may not be known yet, and two processes may be at it: any name will do.
    const PartialFile file = begin_pack_file(plan_.folder, "new", plan_.bytes);
    fd_ = file.fd;
    partial_ = file.path;
    mode_ = Mode::kWriting;
  } catch (const Error& error) {
    give_up(error.what());
  }
}

PackCache::Place PackCache::place(const WeightSource& source, const PanelLayout& layout) {
  const auto bytes = static_cast<uint64_t>(layout.bytes());
  if (mode_ == Mode::kReading) {
    const auto at = index_.weights.find(source.name());
    const bool fits = at != index_.weights.end() && at->second.dtype == layout.dtype() &&
                      at->second.is_wide == layout.is_wide() && at->second.n_rows == layout.n_rows() &&
                      at->second.n_cols == layout.n_cols() && at->second.bytes == bytes;
    if (fits) return {memory_->data() + at->second.offset, true};
    if (notes_.empty()) {
      notes_.push_back(
          fmt::format("{}: weight {} is not in it as expected; the weights are packed anew at "
                      "the next start",
                      path_.string(), printable(source.name())));
      ::unlink(path_.c_str());
    }
    return {};
  }
  if (end_ + bytes >
      memory_->bytes()) {  // a weight that the checkpoint does not list, or one handed in twice
    if (mode_ == Mode::kWriting) give_up("the model has more weights than it said");
    return {};
  }
  const uint64_t offset = end_;
  end_ = rounded_up(offset + bytes, kPackAlignment);
  index_.weights[source.name()] = {layout.dtype(),  layout.is_wide(), layout.n_rows(),
                                   layout.n_cols(), offset,           bytes};
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
    give_up(write_error(plan_.folder.string(), fault).what());
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

/// No file after all, and the disk as it was.
void PackCache::give_up(const std::string& reason) {
  notes_.push_back(fmt::format("packed weights are not kept for the next start: {}", reason));
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
  if (hash_.wait_for(std::chrono::seconds(0)) == std::future_status::ready) {
    publish();
  } else {
    publisher_ = std::thread([this] { publish(); });
  }
}

/// Write the beginning and give the file its name. Whatever is in the way of that: the weights are there.
void PackCache::publish() noexcept {
  try {
    index_.model_hash = hash_.get();
    const std::string beginning = encode_pack_index(index_, kPanelLayoutVersion);
    if (beginning.empty() || !write_all(fd_, std::as_bytes(std::span(beginning)), 0)) return;
    const fs::path path = path_for(index_.model_hash);
    if (::rename(partial_.c_str(), path.c_str()) != 0) return;
    path_ = path;
    partial_.clear();
    struct stat info {};
    if (::fstat(fd_, &info) == 0) modified_ns_ = modified_ns_of(info);
  } catch (const std::exception&) {
    return;  // the model's files changed, or the load was ended
  }
}

void PackCache::check_intact() {
  if (!is_watched_) return;
  struct stat info {};
  const bool is_known = ::fstat(fd_, &info) == 0;
  const int64_t modified_ns = modified_ns_;
  const bool is_intact = is_known && !memory_->was_cut() &&
                         static_cast<uint64_t>(info.st_size) == index_.file_bytes &&
                         (modified_ns == 0 || modified_ns == modified_ns_of(info));
  if (is_intact) return;
  struct stat named {};
  if (modified_ns != 0 && is_known && ::stat(path_.c_str(), &named) == 0 && named.st_ino == info.st_ino &&
      named.st_dev == info.st_dev) {
    ::unlink(path_.c_str());
  }
  throw Error(ErrorCode::kCorrupt, "compute",
              fmt::format("{}: the packed weights were cut or written to while they were in use",
                          modified_ns != 0 ? path_.string() : plan_.folder.string()),
              "start again: they are packed anew then; --no-cache goes without them");
}

}  // namespace chaski::cpu
