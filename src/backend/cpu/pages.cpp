#include "backend/cpu/pages.h"

#include <sys/mman.h>

#include <algorithm>

#include "base/error.h"

namespace chaski::cpu {

Buffer allocate_pages(size_t bytes, std::string_view what) {
  constexpr size_t kLargePage = size_t{2} << 20;
  const size_t size = std::max<size_t>(bytes, 1);
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    throw Error(ErrorCode::kOutOfMemory, "allocate",
                fmt::format("{} bytes for {} are not to be had", bytes, what),
                "use a smaller model or format, or a machine with more memory");
  }
  if (size >= kLargePage) madvise(data, size, MADV_HUGEPAGE);  // a wish; nothing depends on it
  return Buffer(data, size, [size](void* p) { munmap(p, size); });
}

}  // namespace chaski::cpu
