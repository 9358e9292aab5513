#include "base/threads.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.h"

namespace chaski {
namespace {

inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// A waiting worker spins for tens of microseconds, the gap between two operations of a step; then it yields,
// for when the machine is shared; then it sleeps.
constexpr int kSpins = 2048;
constexpr int kYields = 64;

}  // namespace

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

struct ThreadPool::State {
  int n_threads = 1;
  std::vector<std::thread> workers;

  // One job at a time. `generation` tells the workers that there is a new one.
  const std::function<void(int64_t, int64_t, int)>* work = nullptr;
  int64_t n = 0;
  int64_t grain = 1;
  alignas(64) std::atomic<int64_t> next{0};
  alignas(64) std::atomic<uint64_t> generation{0};
  alignas(64) std::atomic<int> n_running{0};
  std::atomic<bool> is_stopping{false};
  std::atomic<int> n_asleep{0};
  std::mutex mutex;
  std::condition_variable wake;
  std::exception_ptr failure;

  void run_pieces(int worker) {
    try {
      while (true) {
        const int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
        if (begin >= n) return;
        (*work)(begin, std::min(begin + grain, n), worker);
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
      next.store(n, std::memory_order_relaxed);
    }
  }

  uint64_t wait_for_job(uint64_t seen) {
    for (int i = 0; i < kSpins + kYields; ++i) {
      const uint64_t now = generation.load(std::memory_order_acquire);
      if (now != seen) return now;
      if (i < kSpins) {
        pause_cpu();
      } else {
        std::this_thread::yield();
      }
    }
    std::unique_lock lock(mutex);
    n_asleep.fetch_add(1);
    wake.wait(lock, [&] { return generation.load() != seen; });
    n_asleep.fetch_sub(1);
    return generation.load();
  }

  void serve(int worker) {
    uint64_t seen = 0;
    while (true) {
      seen = wait_for_job(seen);
      if (is_stopping.load(std::memory_order_acquire)) return;
      run_pieces(worker);
      n_running.fetch_sub(1, std::memory_order_release);
    }
  }

  void publish() {
    generation.fetch_add(1);
    if (n_asleep.load() > 0) {
      const std::lock_guard lock(mutex);
      wake.notify_all();
    }
  }
};

ThreadPool::ThreadPool(int n_threads) : state_(std::make_unique<State>()) {
  CHECK(n_threads >= 1, "a pool needs a thread, {} asked for", n_threads);
  state_->n_threads = n_threads;
  for (int worker = 1; worker < n_threads; ++worker) {
    state_->workers.emplace_back([this, worker] { state_->serve(worker); });
  }
}

ThreadPool::~ThreadPool() {
  state_->is_stopping.store(true, std::memory_order_release);
  {
    const std::lock_guard lock(state_->mutex);
    state_->generation.fetch_add(1);
    state_->wake.notify_all();
  }
  for (std::thread& worker : state_->workers) worker.join();
}

int ThreadPool::n_threads() const { return state_->n_threads; }

void ThreadPool::parallel_for(int64_t n, int64_t grain,
                              const std::function<void(int64_t, int64_t, int)>& work) {
  if (n <= 0) return;
  State& s = *state_;
  if (s.n_threads == 1 || n <= grain) {
    for (int64_t begin = 0; begin < n; begin += grain) work(begin, std::min(begin + grain, n), 0);
    return;
  }
  s.work = &work;
  s.n = n;
  s.grain = grain;
  s.next.store(0, std::memory_order_relaxed);
  s.n_running.store(s.n_threads - 1, std::memory_order_relaxed);
  s.publish();
  s.run_pieces(0);
  for (int i = 0; s.n_running.load(std::memory_order_acquire) > 0; ++i) {
    if (i < kSpins) {
      pause_cpu();
    } else {
      std::this_thread::yield();
    }
  }
  if (s.failure) std::rethrow_exception(std::exchange(s.failure, nullptr));
}

}  // namespace chaski
