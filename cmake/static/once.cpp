// pthread_once, by which std::call_once runs a function. An exception that leaves the function through libc's own makes
// libc open libgcc_s.so.1, whose unwinder cannot go on with what this program's began: the process ends. Here it passes.
#include <pthread.h>

#include <atomic>

namespace {

constexpr int kRuns = 1, kDone = 2;

/// A run that has begun; where an exception ends it, the next call begins anew.
struct Run {
  std::atomic_ref<int> state;
  int after = PTHREAD_ONCE_INIT;
  ~Run() {
    state.store(after, std::memory_order_release);
    state.notify_all();
  }
};

}  // namespace

/// Hidden: libraries that are opened at run time keep to libc's.
extern "C" __attribute__((visibility("hidden"))) int pthread_once(pthread_once_t* once, void (*function)()) {
  const std::atomic_ref<int> state(*once);
  for (;;) {
    int seen = state.load(std::memory_order_acquire);
    if (seen == kDone) return 0;
    if (seen == kRuns) {
      state.wait(kRuns, std::memory_order_acquire);
    } else if (state.compare_exchange_strong(seen, kRuns, std::memory_order_acquire)) {
      Run run{state};
      function();
      run.after = kDone;
      return 0;
    }
  }
}
