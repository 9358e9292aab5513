#include "backend/cpu/guarded_memory.h"

#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <string>

#include "base/error.h"

namespace chaski::cpu {
namespace {

constexpr size_t kLargePage = size_t{2} << 20;

/// What the signal handler knows of one range. `begin` is written last and is 0 where the slot is free.
struct Slot {
  std::atomic<uintptr_t> begin{0}, end{0};
  std::atomic<std::atomic<bool>*> was_cut{nullptr};
};
static_assert(std::atomic<uintptr_t>::is_always_lock_free);

std::array<Slot, 64> slots;
std::mutex slots_mutex;    // of taking and giving back, never of the handler
struct sigaction earlier;  // what SIGBUS did before

/// Put zeros where the file has ended, from the page that was missed to the end of its large page: the thread
/// goes on, and what it computes is thrown away by whoever asks was_cut().
bool fill_in(uintptr_t address) {
  for (Slot& slot : slots) {
    const uintptr_t begin = slot.begin.load(std::memory_order_acquire);
    if (begin == 0 || address < begin || address >= slot.end.load(std::memory_order_acquire)) continue;
    const uintptr_t page = address & ~uintptr_t{4095};
    const uintptr_t end = std::min((address | (kLargePage - 1)) + 1, slot.end.load());
    for (const uintptr_t from : {page, address & ~uintptr_t{65535}}) {  // a page may be 64 KiB
      void* zeros = mmap(reinterpret_cast<void*>(from), end - from, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
      if (zeros == MAP_FAILED) continue;
      slot.was_cut.load()->store(true, std::memory_order_release);
      return true;
    }
  }
  return false;
}

void on_bus_error(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const bool is_ours = fill_in(reinterpret_cast<uintptr_t>(info->si_addr));
  errno = saved_errno;
  if (is_ours) return;
  if ((earlier.sa_flags & SA_SIGINFO) != 0) {
    earlier.sa_sigaction(signal, info, context);
  } else if (earlier.sa_handler != SIG_DFL && earlier.sa_handler != SIG_IGN) {
    earlier.sa_handler(signal);
  } else {
    ::signal(signal, SIG_DFL);  // the access is tried again, and ends the program as it would have
  }
}

/// Once for the whole process and for good: a handler that others have put on top of ours may call ours, and
/// ours in its place again would then call that one, which calls ours.
bool handles_bus_errors() {
  static const bool is_installed = [] {
    struct sigaction ours {};
    ours.sa_sigaction = on_bus_error;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&ours.sa_mask);
    return sigaction(SIGBUS, &ours, &earlier) == 0;
  }();
  return is_installed;
}

int take_slot(const std::byte* data, size_t bytes, std::atomic<bool>& was_cut) {
  const std::lock_guard lock(slots_mutex);
  const auto free = std::find_if(slots.begin(), slots.end(), [](const Slot& s) { return s.begin == 0; });
  if (free == slots.end() || !handles_bus_errors()) return -1;
  const auto begin = reinterpret_cast<uintptr_t>(data);
  free->was_cut = &was_cut;
  free->end = begin + bytes;
  free->begin.store(begin, std::memory_order_release);
  return static_cast<int>(free - slots.begin());
}

void give_back_slot(int slot) {
  const std::lock_guard lock(slots_mutex);
  slots[static_cast<size_t>(slot)].begin = 0;
}

}  // namespace

GuardedMemory::GuardedMemory(size_t bytes, std::string_view what)
    : reserved_bytes_(bytes + kLargePage), bytes_(bytes) {
  reserved_ = mmap(nullptr, reserved_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (reserved_ == MAP_FAILED) {
    throw Error(ErrorCode::kOutOfMemory, "allocate",
                fmt::format("{} bytes for {} are not to be had", bytes, what),
                "use a smaller model or format, or a machine with more memory");
  }
  const auto aligned = (reinterpret_cast<uintptr_t>(reserved_) + kLargePage - 1) / kLargePage * kLargePage;
  data_ = reinterpret_cast<std::byte*>(aligned);
  slot_ = take_slot(data_, bytes_, was_cut_);
}

GuardedMemory::~GuardedMemory() {
  if (slot_ >= 0) give_back_slot(slot_);
  munmap(reserved_, reserved_bytes_);
}

bool GuardedMemory::map_file(int fd, size_t offset, size_t bytes) {
  CHECK(offset % kLargePage == 0 && offset <= bytes_ && bytes <= bytes_ - offset, "{} bytes at {} of {}",
        bytes, offset, bytes_);
  if (!is_guarded()) return false;
  void* mapped =
      mmap(data_ + offset, bytes, PROT_READ, MAP_SHARED | MAP_FIXED, fd, static_cast<off_t>(offset));
  if (mapped == MAP_FAILED) return false;
  madvise(mapped, bytes, MADV_HUGEPAGE);  // has the file read in large pages, where the file system can
  return true;
}

bool GuardedMemory::map_memory(size_t offset, size_t bytes) {
  CHECK(offset % kLargePage == 0 && offset <= bytes_ && bytes <= bytes_ - offset, "{} bytes at {} of {}",
        bytes, offset, bytes_);
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  void* mapped = mmap(data_ + offset, bytes, PROT_READ | PROT_WRITE, kFlags, -1, 0);
  if (mapped == MAP_FAILED) return false;
  madvise(mapped, bytes, MADV_HUGEPAGE);  // a wish; nothing depends on it
  return true;
}

size_t large_page_bytes(const std::byte* data, size_t bytes) {
  const auto first = reinterpret_cast<uintptr_t>(data);
  std::ifstream maps("/proc/self/smaps");
  size_t found = 0;
  bool is_inside = false;
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0, end = 0;
    size_t kib = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {
      is_inside = begin < first + bytes && first < end;
    } else if (is_inside && (std::sscanf(line.c_str(), "FilePmdMapped: %zu", &kib) == 1 ||
                             std::sscanf(line.c_str(), "AnonHugePages: %zu", &kib) == 1)) {
      found += kib << 10;
    }
  }
  return found;
}

}  // namespace chaski::cpu
