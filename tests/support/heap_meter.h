// A meter of what C++ code allocates on the heap. Replaces operator new for the whole program: include it in
// exactly one source file of a test program.
#pragma once

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace chaski::heap_meter {

inline std::atomic<size_t> bytes_now{0}, bytes_most{0};

inline size_t now() { return bytes_now; }
inline size_t peak() { return bytes_most; }  ///< the most there were since `reset_peak`
inline void reset_peak() { bytes_most = bytes_now.load(); }

inline void* counted(void* block) {
  if (block == nullptr) throw std::bad_alloc();
  const size_t now = bytes_now += malloc_usable_size(block);
  size_t most = bytes_most.load();
  while (now > most && !bytes_most.compare_exchange_weak(most, now)) {
  }
  return block;
}
inline void uncounted(void* block) {
  if (block != nullptr) bytes_now -= malloc_usable_size(block);
  std::free(block);
}

}  // namespace chaski::heap_meter

[[gnu::noinline]] void* operator new(size_t bytes) {
  return chaski::heap_meter::counted(std::malloc(std::max<size_t>(bytes, 1)));
}
[[gnu::noinline]] void* operator new[](size_t bytes) {
  return chaski::heap_meter::counted(std::malloc(std::max<size_t>(bytes, 1)));
}
[[gnu::noinline]] void operator delete(void* block) noexcept { chaski::heap_meter::uncounted(block); }
[[gnu::noinline]] void operator delete[](void* block) noexcept { chaski::heap_meter::uncounted(block); }
[[gnu::noinline]] void operator delete(void* block, size_t) noexcept { chaski::heap_meter::uncounted(block); }
[[gnu::noinline]] void operator delete[](void* block, size_t) noexcept {
  chaski::heap_meter::uncounted(block);
}
