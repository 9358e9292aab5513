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

// Who waits spins for tens of microseconds, the gap between two operations of a step; then it yields, for
// when the machine is shared; then it sleeps, which also leaves its core to a worker that lost another one.
// With more threads than cores spinning only takes time from who works.
constexpr int kSpins = 2048;
constexpr int kSpinsOversubscribed = 16;
constexpr int kYields = 4;

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

// One job at a time, cut into pieces. A job is over when its pieces are done, not when all workers have
// looked at it: a worker that the system has put aside delays nobody unless it holds a piece. So a worker may
// come late, to a job that is over or to the next one; the ticket tells it. It holds the job's number and the
// next piece; a piece is taken by a compare-and-swap of both, and between jobs the ticket is closed while the
// description of the job changes.
struct ThreadPool::State {
  static constexpr uint64_t kClosed = 0xFFFFFFFF;  // as the ticket's lower half: no piece

  int n_threads = 1;
  int n_spins = kSpins;
  std::vector<std::thread> workers;

  std::atomic<const Work*> work{nullptr};
  std::atomic<int64_t> n{0};
  std::atomic<int64_t> grain{1};
  std::atomic<uint64_t> n_pieces{0};
  alignas(64) std::atomic<uint64_t> ticket{kClosed};
  alignas(64) std::atomic<uint64_t> n_done{0};
  std::atomic<bool> has_failed{false};
  std::exception_ptr failure;  // of the first piece that threw; guarded by mutex until the job is over

  alignas(64) std::atomic<uint64_t> generation{0};  // number of the last job
  std::atomic<bool> is_stopping{false};
  std::atomic<int> n_asleep{0};
  std::mutex mutex;
  std::condition_variable wake;  // workers, when there is a job
  std::atomic<bool> is_caller_asleep{false};
  std::condition_variable done;  // the caller, when pieces are done

  static uint64_t first_ticket(uint64_t job) { return job << 32; }

  void run_piece(int64_t piece, int worker) {
    const int64_t size = grain.load(std::memory_order_relaxed);
    const int64_t begin = piece * size;
    try {
      if (!has_failed.load(std::memory_order_relaxed)) {
        (*work.load(std::memory_order_relaxed))(
            begin, std::min(begin + size, n.load(std::memory_order_relaxed)), worker);
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
      has_failed.store(true, std::memory_order_relaxed);
    }
  }

  /// Take pieces while there are any: several at once while many are left, so that threads seldom meet at the
  /// ticket, and single ones at the end, so that all end together.
  void run_pieces(uint64_t job, int worker) {
    uint64_t n_mine = 0;
    uint64_t next = ticket.load(std::memory_order_acquire);
    while (next >> 32 == (job & 0xFFFFFFFF)) {
      const uint64_t piece = next & 0xFFFFFFFF;
      const uint64_t all = n_pieces.load(std::memory_order_acquire);
      if (piece >= all) break;
      const uint64_t count = std::max<uint64_t>(1, (all - piece) / (4 * static_cast<uint64_t>(n_threads)));
      if (!ticket.compare_exchange_weak(next, next + count, std::memory_order_acq_rel,
                                        std::memory_order_acquire))
        continue;
      for (uint64_t i = piece; i < piece + count; ++i) run_piece(static_cast<int64_t>(i), worker);
      n_mine += count;
      next = ticket.load(std::memory_order_acquire);
    }
    if (n_mine == 0) return;
    n_done.fetch_add(n_mine);
    if (is_caller_asleep.load()) {
      const std::lock_guard lock(mutex);
      done.notify_one();
    }
  }

  /// Spin, then yield, while `is_over` says no; false where it still does.
  template <class IsOver>
  bool wait_awake(const IsOver& is_over) const {
    for (int i = 0; i < n_spins; ++i) {
      if (is_over()) return true;
      pause_cpu();
    }
    for (int i = 0; i < kYields; ++i) {
      if (is_over()) return true;
      std::this_thread::yield();
    }
    return is_over();
  }

  void wait_for_pieces() {
    const uint64_t all = n_pieces.load(std::memory_order_relaxed);
    const auto is_over = [&] { return n_done.load(std::memory_order_acquire) >= all; };
    if (wait_awake(is_over)) return;
    std::unique_lock lock(mutex);
    is_caller_asleep.store(true);
    done.wait(lock, [&] { return n_done.load() >= all; });
    is_caller_asleep.store(false);
  }

  uint64_t wait_for_job(uint64_t seen) {
    if (wait_awake([&] { return generation.load(std::memory_order_acquire) != seen; }))
      return generation.load(std::memory_order_acquire);
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
      run_pieces(seen, worker);
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

  /// Describe the next job, open it, and wake who sleeps; gives its number.
  uint64_t publish(const Work& job_work, int64_t job_n, int64_t job_grain) {
    const uint64_t job = generation.load(std::memory_order_relaxed) + 1;
    ticket.store(first_ticket(job) | kClosed, std::memory_order_relaxed);
    // Released after the ticket was closed: who sees the new number of pieces can take none of the old job.
    n_pieces.store(static_cast<uint64_t>((job_n + job_grain - 1) / job_grain), std::memory_order_release);
    work.store(&job_work, std::memory_order_relaxed);
    n.store(job_n, std::memory_order_relaxed);
    grain.store(job_grain, std::memory_order_relaxed);

    n_done.store(0, std::memory_order_relaxed);
    has_failed.store(false, std::memory_order_relaxed);
    ticket.store(first_ticket(job), std::memory_order_release);
    generation.store(job);
    if (n_asleep.load() > 0) {
      const std::lock_guard lock(mutex);
      wake.notify_all();
    }
    return job;
  }
};

ThreadPool::ThreadPool(int n_threads) : state_(std::make_unique<State>()) {
  CHECK(n_threads >= 1, "a pool needs a thread, {} asked for", n_threads);
  state_->n_threads = n_threads;
  if (n_threads > available_cores()) state_->n_spins = kSpinsOversubscribed;
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

void ThreadPool::parallel_for(int64_t n, int64_t grain, const Work& work) {
  if (n <= 0) return;
  State& s = *state_;
  if (s.n_threads == 1 || n <= grain) {
    for (int64_t begin = 0; begin < n; begin += grain) work(begin, std::min(begin + grain, n), 0);
    return;
  }
  CHECK((n + grain - 1) / grain < static_cast<int64_t>(State::kClosed), "{} pieces of {}", n, grain);
  const uint64_t job = s.publish(work, n, grain);
  s.run_pieces(job, 0);
  s.wait_for_pieces();
  if (s.failure) std::rethrow_exception(std::exchange(s.failure, nullptr));
}

}  // namespace chaski
