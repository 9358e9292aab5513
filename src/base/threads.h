// The thread pool: work handed out piece by piece, so that a neighbour who takes a core delays one piece
// only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace chaski {

/// Cores this process may run on: its affinity, and its container's share of time where that is less.
int available_cores();

class ThreadPool {
 public:
  using Work = std::function<void(int64_t begin, int64_t end, int worker)>;

  /// `n_threads` includes the caller's: 1 runs everything in place. Throws Error(kOutOfMemory) where the
  /// system starts no more threads.
  explicit ThreadPool(int n_threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int n_threads() const;

  /// Call `work(begin, end, worker)` over [0, n) in pieces of `grain`; returns when all are done. `worker` is
  /// in [0, n_threads). The first exception thrown by a piece is rethrown here. Not reentrant.
  void parallel_for(int64_t n, int64_t grain, const Work& work);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace chaski
