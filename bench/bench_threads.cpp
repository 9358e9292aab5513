// Times the thread pool alone: what handing out an operation costs, and how much of its speed a step of many
// short operations keeps when other processes want the same cores. The operations read memory, as decoding
// does.
//   bench_threads [--threads N] [--neighbours N] [--seconds S] [--ops-us MICROSECONDS] [--pieces N] [--rounds
//   N]
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/threads.h"

namespace chaski {
namespace {

struct Options {
  int n_threads = 0, n_neighbours = 1, n_pieces = 32, n_rounds = 5;
  double seconds = 1.0, op_us = 200;
};

/// Processes that spin until this goes out of scope.
class Neighbours {
 public:
  explicit Neighbours(int n) {
    for (int i = 0; i < n; ++i) {
      const pid_t child = fork();
      if (child == 0) {
        while (true) asm volatile("");
      }
      children_.push_back(child);
    }
  }
  ~Neighbours() {
    for (const pid_t child : children_) {
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
    }
  }

 private:
  std::vector<pid_t> children_;
};

/// Operations of `n_pieces` pieces, each reading `bytes`, with a little work of the caller's own between.
class Load {
 public:
  Load(ThreadPool& pool, int n_pieces) : pool_(pool), n_pieces_(n_pieces), words_(size_t{1} << 25, 1) {}
  void set_piece_words(size_t n) { piece_words_ = n; }
  size_t piece_words() const { return piece_words_; }
  void run_op() {
    const auto work = [this](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) {
        const size_t at = (first_ + static_cast<size_t>(i) * piece_words_) % (words_.size() - piece_words_);
        uint64_t sum = 0;
        for (size_t j = 0; j < piece_words_; ++j) sum ^= words_[at + j];
        if (sum == 12345) std::abort();
      }
    };
    pool_.parallel_for(n_pieces_, 1, std::ref(work));
    first_ += static_cast<size_t>(n_pieces_) * piece_words_;
  }
  double ops_per_second(double seconds) {
    const Stopwatch all;
    int64_t n = 0;
    for (; all.seconds() < seconds; ++n) run_op();
    return static_cast<double>(n) / all.seconds();
  }

 private:
  ThreadPool& pool_;
  int64_t n_pieces_;
  std::vector<uint64_t> words_;
  size_t piece_words_ = 1024, first_ = 0;
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void time_empty(ThreadPool& pool) {
  for (const int64_t n : {int64_t{pool.n_threads()}, int64_t{32}, int64_t{256}}) {
    std::vector<double> times;
    for (int repeat = 0; repeat < 9; ++repeat) {
      constexpr int kCalls = 5000;
      const Stopwatch all;
      for (int i = 0; i < kCalls; ++i) pool.parallel_for(n, 1, [](int64_t, int64_t, int) {});
      times.push_back(all.seconds() / kCalls * 1e6);
    }
    fmt::print("{} empty pieces on {} threads: median {:.2f} us, best {:.2f}\n", n, pool.n_threads(),
               median(times), *std::min_element(times.begin(), times.end()));
  }
}

int run(const std::vector<std::string>& args) {
  Options o;
  for (size_t i = 0; i + 1 < args.size(); i += 2) {
    if (args[i] == "--threads") o.n_threads = std::stoi(args[i + 1]);
    if (args[i] == "--neighbours") o.n_neighbours = std::stoi(args[i + 1]);
    if (args[i] == "--pieces") o.n_pieces = std::stoi(args[i + 1]);
    if (args[i] == "--rounds") o.n_rounds = std::stoi(args[i + 1]);
    if (args[i] == "--seconds") o.seconds = std::stod(args[i + 1]);
    if (args[i] == "--ops-us") o.op_us = std::stod(args[i + 1]);
  }
  ThreadPool pool(o.n_threads == 0 ? available_cores() : o.n_threads);
  time_empty(pool);
  Load load(pool, o.n_pieces);
  for (int i = 0; i < 4; ++i) {  // pieces that make an operation as long as asked for
    const double us = 1e6 / load.ops_per_second(0.2);
    load.set_piece_words(
        std::max<size_t>(64, static_cast<size_t>(static_cast<double>(load.piece_words()) * o.op_us / us)));
  }
  std::vector<double> kept;
  for (int round = 0; round < o.n_rounds; ++round) {
    const double quiet = load.ops_per_second(o.seconds);
    const Neighbours neighbours(o.n_neighbours);
    const double busy = load.ops_per_second(o.seconds);
    kept.push_back(busy / quiet);
    fmt::print("quiet {:8.0f} ops/s, with {} neighbours {:8.0f}: keeps {:.2f}\n", quiet, o.n_neighbours, busy,
               kept.back());
  }
  fmt::print("median kept {:.2f}\n", median(kept));
  return 0;
}

}  // namespace
}  // namespace chaski

int main(int argc, char** argv) {
  try {
    return chaski::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
