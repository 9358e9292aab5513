// The pool under the conditions it is made for: more threads than cores, pieces of very different length, a
// caller that pauses between jobs. That pieces are done once and exceptions come back is in
// base_core_test.cpp.
#include <gtest/gtest.h>
#include <time.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "base/threads.h"

namespace chaski {
namespace {

double process_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

void sleep_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

TEST(ThreadPool, WorkersWithoutWorkSleepAndWakeForTheNextJob) {
  ThreadPool pool(4);
  std::atomic<int64_t> sum{0};
  const auto work = [&](int64_t begin, int64_t end, int) { sum += end - begin; };
  for (int round = 1; round <= 3; ++round) {
    pool.parallel_for(1000, 1, work);
    sleep_ms(30);
    const double before = process_seconds();
    sleep_ms(100);
    EXPECT_LT(process_seconds() - before, 0.02);
    EXPECT_EQ(sum.load(), 1000 * round);
  }
}

TEST(ThreadPool, ACallerThatWaitsForALongPieceSleeps) {
  ThreadPool pool(2);
  std::atomic<bool> is_taken{false};
  const double before = process_seconds();
  pool.parallel_for(2, 1, [&](int64_t, int64_t, int worker) {
    if (worker == 1) {
      is_taken = true;
      sleep_ms(200);
    } else {
      while (!is_taken) std::this_thread::yield();  // so that the other piece is the worker's
    }
  });
  EXPECT_LT(process_seconds() - before, 0.15);
}

TEST(ThreadPool, ManyMoreThreadsThanCoresDoManyShortJobs) {
  ThreadPool pool(32);
  std::atomic<int64_t> sum{0};
  for (int job = 0; job < 2000; ++job) {
    pool.parallel_for(64, 1, [&](int64_t begin, int64_t, int) { sum += begin; });
  }
  EXPECT_EQ(sum.load(), 2000 * (64 * 63 / 2));
}

TEST(ThreadPool, PiecesAreNeverLargerThanAskedForAndReachEveryWorker) {
  ThreadPool pool(3);
  std::vector<std::atomic<int>> done(1001);
  std::atomic<uint32_t> workers{0};
  pool.parallel_for(1001, 7, [&](int64_t begin, int64_t end, int worker) {
    EXPECT_LE(end - begin, 7);
    EXPECT_EQ(begin % 7, 0);
    for (int64_t i = begin; i < end; ++i) done[static_cast<size_t>(i)].fetch_add(1);
    workers |= 1u << worker;
    std::this_thread::sleep_for(std::chrono::microseconds(300));
  });
  for (const auto& count : done) EXPECT_EQ(count.load(), 1);
  EXPECT_EQ(workers.load(), 7u);
}

// In programs of libc alone this is code of the build's own (cmake/static/once.cpp).
TEST(CallOnce, AnExceptionPassesAndOnlyARunThatEndsWellIsTheLast) {
  for (int round = 0; round < 200; ++round) {
    std::once_flag once;
    std::atomic<int> n_begun{0}, n_running{0}, n_caught{0};
    std::atomic<bool> is_done{false};
    const auto run = [&] {
      try {
        std::call_once(once, [&] {
          EXPECT_EQ(n_running.fetch_add(1), 0);
          const int nth = n_begun.fetch_add(1);
          std::this_thread::yield();
          n_running.fetch_sub(1);
          if (nth < 2) throw std::runtime_error("not yet");
          is_done = true;
        });
        EXPECT_TRUE(is_done);
      } catch (const std::runtime_error&) {
        n_caught.fetch_add(1);
      }
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < 6; ++i) threads.emplace_back(run);
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(n_begun.load(), 3);
    EXPECT_EQ(n_caught.load(), 2);
  }
}

}  // namespace
}  // namespace chaski
