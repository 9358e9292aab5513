// A meter of what C++ code allocates on the heap, and a way to let one allocation fail. Replaces operator new
// for the whole program: include it in exactly one source file of a test program.
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

/// The allocation that will fail, counted down from now; 0 once it has, or where none shall.
inline std::atomic<size_t> until_failure{0};

/// Where set, asked at that point; where it says no, the next allocation is asked for.
inline bool (*may_fail)() = nullptr;

inline void* allocate(size_t bytes) {
  if (until_failure > 0 && --until_failure == 0) {
    if (may_fail == nullptr || may_fail()) return nullptr;
    until_failure = 1;
  }
  return std::malloc(std::max<size_t>(bytes, 1));
}

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
  return chaski::heap_meter::counted(chaski::heap_meter::allocate(bytes));
}
[[gnu::noinline]] void* operator new[](size_t bytes) {
  return chaski::heap_meter::counted(chaski::heap_meter::allocate(bytes));
}
[[gnu::noinline]] void operator delete(void* block) noexcept { chaski::heap_meter::uncounted(block); }
[[gnu::noinline]] void operator delete[](void* block) noexcept { chaski::heap_meter::uncounted(block); }
[[gnu::noinline]] void operator delete(void* block, size_t) noexcept { chaski::heap_meter::uncounted(block); }
[[gnu::noinline]] void operator delete[](void* block, size_t) noexcept {
  chaski::heap_meter::uncounted(block);
}
