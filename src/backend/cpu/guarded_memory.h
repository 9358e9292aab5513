// Address space in which parts of a file stand in place of memory. A file that another process cuts is a
// signal to whoever reads its pages; here it is a mark that can be asked for.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace chaski::cpu {

/// A range of addresses, aligned to large pages, empty at first; parts of it are filled by memory or by a
/// file's pages, and filled anew, at will. Offsets and sizes are in bytes. Different parts may be filled by
/// different threads at once.
class GuardedMemory {
 public:
  /// Throws Error(kOutOfMemory) naming `what`.
  GuardedMemory(size_t bytes, std::string_view what);
  ~GuardedMemory();
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  /// Put the file's bytes at `offset` there, to be read only. `offset` is a multiple of a large page. False
  /// where the system refuses, or is_guarded() is false.
  bool map_file(int fd, size_t offset, size_t bytes);
  /// Put zeroed memory there, in large pages where the system grants them. False where it refuses.
  bool map_memory(size_t offset, size_t bytes);
  /// Whether reading beyond the end of a mapped file is caught; where it is not, no file is mapped.
  bool is_guarded() const { return slot_ >= 0; }
  /// Whether pages of a file were missing when they were read. What was read in their place is zeros.
  bool was_cut() const { return was_cut_.load(std::memory_order_acquire); }

 private:
  void* reserved_ = nullptr;
  size_t reserved_bytes_ = 0;
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
  int slot_ = -1;
  std::atomic<bool> was_cut_{false};
};

/// Bytes of [data, data + bytes) that the processor reaches through large pages.
size_t large_page_bytes(const std::byte* data, size_t bytes);

}  // namespace chaski::cpu
