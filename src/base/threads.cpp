#include "base/threads.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <fstream>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
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
  int n = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) n = std::max(1, CPU_COUNT(&set));
  // A container may see all cores and be allowed the time of a few: "quota period", or "max" for no limit.
  std::ifstream limit("/sys/fs/cgroup/cpu.max");
  double quota = 0;
  double period = 0;
  if (limit >> quota >> period && quota > 0 && period > 0) {
    n = std::min(n, std::max(1, static_cast<int>(std::ceil(quota / period))));
  }
  return n;
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

  /// End the workers that were started.
  void stop() {
    is_stopping.store(true, std::memory_order_release);
    {
      const std::lock_guard lock(mutex);
      generation.fetch_add(1);
      wake.notify_all();
    }
    for (std::thread& worker : workers) worker.join();
    workers.clear();
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
  try {
    for (int worker = 1; worker < n_threads; ++worker) {
      state_->workers.emplace_back([state = state_.get(), worker] { state->serve(worker); });
    }
  } catch (const std::system_error& error) {
    const size_t n_started = state_->workers.size() + 1;
    state_->stop();
    throw Error(ErrorCode::kOutOfMemory, "start threads",
                fmt::format("{} of {} threads could be started: {}", n_started, n_threads, error.what()),
                fmt::format("use fewer, with --threads {}", n_started));
  }
}

ThreadPool::~ThreadPool() { state_->stop(); }

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
