#include "lab/code_runner.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <tuple>
#include <utility>

#include "base/clock.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "lab/code_harness.h"

namespace chaski {
namespace {

constexpr size_t kMaxProgramBytes = 8 << 20;
constexpr size_t kMaxMessageBytes = 4000;
/// Of what a program prints, this many times more than is kept is read; then it is stopped.
constexpr int64_t kFloodFactor = 16;
/// How long a verdict is awaited after the worker has gone: its last answer may be on the way.
constexpr double kLastWordS = 0.2;
constexpr size_t kBlockBytes = 64 << 10;

constexpr std::array<std::pair<CodeVerdict, std::string_view>, 7> kVerdictNames{
    {{CodeVerdict::kPassed, "passed"},
     {CodeVerdict::kFailed, "failed"},
     {CodeVerdict::kSyntaxError, "syntax_error"},
     {CodeVerdict::kTimedOut, "timed_out"},
     {CodeVerdict::kMemory, "memory"},
     {CodeVerdict::kLimit, "limit"},
     {CodeVerdict::kNotRun, "not_run"}}};

/// The text with control characters but newline and tab as \xNN, invalid UTF-8 as U+FFFD, at most `limit`
/// bytes of it.
std::string made_safe(std::string_view text, size_t limit) {
  std::string shown;
  for (const char c : replace_invalid_utf8(text.substr(0, limit))) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\n' && c != '\t') || byte == 0x7F) {
      shown += fmt::format("\\x{:02x}", byte);
    } else {
      shown += c;
    }
  }
  if (shown.size() > limit) {
    shown.resize(limit);
    shown.resize(limit - incomplete_utf8_tail(shown));
  }
  return shown;
}

std::string draw_token() { return fmt::format("{:014x}{:014x}", draw_seed(), draw_seed()); }

/// A JSON object as the harness reads it: its length in four bytes, then itself.
std::string framed(const Json& message) {
  const std::string text = to_json_text(message);
  std::string frame;
  for (int shift = 0; shift < 32; shift += 8) frame += static_cast<char>((text.size() >> shift) & 0xff);
  return frame + text;
}

/// What the judge said of one test.
struct Said {
  CodeVerdict verdict = CodeVerdict::kFailed;
  std::string message;
  bool defines = false, writes = false;
};

Said said_in_message(const Json& json) {
  Said said;
  const std::string verdict = require_string(json, "verdict", "verdict");
  for (const auto& [value, name] : kVerdictNames) {
    if (name == verdict) said.verdict = value;
  }
  said.message = get_string(json, "message", "", "verdict");
  said.defines = get_bool(json, "defines", false, "verdict");
  said.writes = get_bool(json, "writes", false, "verdict");
  return said;
}

/// The judge's verdict in what came from it: the first whole frame that bears the token. One that cannot be
/// read is this test's failure, not the run's.
std::optional<Said> said_in(std::string_view bytes, const std::string& token) {
  while (bytes.size() >= 4) {
    size_t length = 0;
    for (size_t i = 0; i < 4; ++i) length |= size_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
    if (bytes.size() < 4 + length) return std::nullopt;
    const std::string_view frame = bytes.substr(4, length);
    bytes.remove_prefix(4 + length);
    try {
      const Json json = parse_json(frame, "verdict");
      if (get_string(json, "token", "", "verdict") == token) return said_in_message(json);
    } catch (const Error& error) {
      return Said{CodeVerdict::kFailed, error.what(), false, false};
    }
  }
  return std::nullopt;
}

/// Bytes on their way from one descriptor to another. `from` -1: what is held is all.
struct Pump {
  int from = -1, to = -1;
  std::string held;
  bool is_over = false;

  pollfd waits_for() const {
    if (is_over || (held.empty() && from < 0)) return {-1, 0, 0};
    return held.empty() ? pollfd{from, POLLIN, 0} : pollfd{to, POLLOUT, 0};
  }
  void move() {
    if (held.empty()) {
      held.resize(kBlockBytes);
      const ssize_t n = ::read(from, held.data(), held.size());
      held.resize(n > 0 ? static_cast<size_t>(n) : 0);
      is_over = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
      if (held.empty()) return;
    }
    const ssize_t n = ::write(to, held.data(), held.size());
    if (n > 0) held.erase(0, static_cast<size_t>(n));
    is_over = n < 0 && errno != EAGAIN && errno != EINTR;
  }
};

/// Reads what there is. False at the end.
bool read_into(int fd, std::string& text) {
  char block[kBlockBytes];
  const ssize_t n = ::read(fd, block, sizeof block);
  if (n > 0) text.append(block, static_cast<size_t>(n));
  return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/// A write to a process that is gone is an error here, not a signal.
class WithoutSigpipe {
 public:
  WithoutSigpipe() {
    sigset_t pipe;
    ::sigemptyset(&pipe);
    ::sigaddset(&pipe, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe, &before_);
    was_blocked_ = ::sigismember(&before_, SIGPIPE) == 1;
  }
  ~WithoutSigpipe() {
    if (was_blocked_) return;
    sigset_t pipe;
    ::sigemptyset(&pipe);
    ::sigaddset(&pipe, SIGPIPE);
    const timespec at_once{0, 0};
    while (::sigtimedwait(&pipe, nullptr, &at_once) > 0) {
    }
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t before_{};
  bool was_blocked_ = false;
};

/// One test, from the start of its worker to its verdict.
struct TestRun {
  CodeVerdict verdict = CodeVerdict::kFailed;
  std::optional<Said> said;
  std::string message, output;
};

class Conversation {
 public:
  Conversation(SandboxedProcess& worker, SandboxedProcess& judge, std::string job, std::string token)
      : worker_(worker), judge_(judge), token_(std::move(token)) {
    pumps_[0] = {-1, judge.channel(0).to, std::move(job), false};
    pumps_[1] = {judge.channel(1).from, worker.channel(0).to, {}, false};
    pumps_[2] = {worker.channel(0).from, judge.channel(1).to, {}, false};
  }

  enum class Outcome { kVerdict, kWorkerEnded, kJudgeEnded, kTimeUp, kFlood };

  /// Carry words to and fro until one of the outcomes.
  Outcome run(double seconds, int64_t max_output, const CancelToken& cancel) {
    const Stopwatch clock;
    std::optional<double> worker_ended_at;
    while (true) {
      cancel.throw_if_cancelled("run code");
      const double now = clock.seconds();
      if (worker_ended_at && now > *worker_ended_at + kLastWordS) return Outcome::kWorkerEnded;
      if (now >= seconds) return Outcome::kTimeUp;
      std::array<pollfd, 7> polled;
      for (size_t i = 0; i < 3; ++i) polled[i] = pumps_[i].waits_for();
      polled[3] = {is_output_over_ ? -1 : worker_.output(), POLLIN, 0};
      polled[4] = {judge_.channel(0).from, POLLIN, 0};
      polled[5] = {worker_ended_at ? -1 : worker_.ended(), POLLIN, 0};
      polled[6] = {judge_.ended(), POLLIN, 0};
      const double wait_s = std::min(0.05, seconds - now);
      if (::poll(polled.data(), polled.size(), static_cast<int>(std::ceil(wait_s * 1000))) <= 0) continue;
      for (size_t i = 0; i < 3; ++i) {
        if (polled[i].revents != 0) pumps_[i].move();
      }
      if (polled[3].revents != 0) is_output_over_ = !take_output(max_output);
      if (polled[4].revents != 0) {
        const bool goes_on = read_into(judge_.channel(0).from, verdict_);
        said_ = said_in(verdict_, token_);
        if (said_) return Outcome::kVerdict;
        if (!goes_on) return Outcome::kJudgeEnded;
      }
      if (polled[5].revents != 0) worker_ended_at = clock.seconds();
      if (polled[6].revents != 0) return Outcome::kJudgeEnded;
      if (n_output_ > kFloodFactor * max_output) return Outcome::kFlood;
    }
  }

  /// What was printed and not read yet.
  void drain(int64_t max_output) {
    while (!is_output_over_ && n_output_ <= kFloodFactor * max_output) {
      pollfd one{worker_.output(), POLLIN, 0};
      if (::poll(&one, 1, 0) <= 0) return;
      is_output_over_ = !take_output(max_output);
    }
  }

  const std::optional<Said>& said() const { return said_; }
  const std::string& output() const { return output_; }

 private:
  bool take_output(int64_t max_output) {
    std::string block;
    const bool goes_on = read_into(worker_.output(), block);
    n_output_ += static_cast<int64_t>(block.size());
    output_.append(
        block, 0,
        static_cast<size_t>(max_output) - std::min(output_.size(), static_cast<size_t>(max_output)));
    return goes_on;
  }

  SandboxedProcess& worker_;
  SandboxedProcess& judge_;
  std::string token_;
  std::array<Pump, 3> pumps_;
  std::string verdict_, output_;
  int64_t n_output_ = 0;
  bool is_output_over_ = false;
  std::optional<Said> said_;
};

/// Why there is no verdict from the judge.
std::pair<CodeVerdict, std::string> verdict_of_end(Conversation::Outcome outcome, bool is_at_task_limit,
                                                   const SandboxedProcess::End& end,
                                                   const CodeLimits& limits) {
  if (end.hit_task_limit || is_at_task_limit) {
    return {CodeVerdict::kLimit, fmt::format("more than {} processes and threads", kMaxTasks)};
  }
  if (outcome == Conversation::Outcome::kFlood) return {CodeVerdict::kLimit, "printed without end"};
  if (end.hit_memory_limit) return {CodeVerdict::kMemory, "killed at the limit of memory"};
  if (outcome == Conversation::Outcome::kTimeUp) return {CodeVerdict::kTimedOut, "the time was up"};
  if (outcome == Conversation::Outcome::kJudgeEnded)
    return {CodeVerdict::kFailed, "the test could not be judged"};
  if (end.signal == SIGXCPU || (end.signal == SIGKILL && end.cpu_s >= limits.cpu_s)) {
    return {CodeVerdict::kTimedOut, "the processor time was up"};
  }
  if (end.signal == SIGKILL) return {CodeVerdict::kMemory, "killed, as a system short of memory does"};
  if (end.signal != 0) return {CodeVerdict::kFailed, fmt::format("ended by signal {}", end.signal)};
  return {CodeVerdict::kFailed, "ended the interpreter"};
}

class SandboxedRunner final : public CodeRunner {
 public:
  SandboxedRunner(std::unique_ptr<Sandbox> sandbox, std::string why_not)
      : sandbox_(std::move(sandbox)), why_not_(std::move(why_not)) {}

  std::string tier() const override { return chaski::name_of(sandbox_->tier()); }
  std::string why_not() const override { return why_not_; }

  CodeResult run(const CodeTask& task, const CancelToken& cancel) override {
    CodeResult result;
    result.tier = tier();
    if (task.tests.empty()) {
      result.message = "there are no tests";
      return result;
    }
    if (task.program.size() > kMaxProgramBytes) {
      result.verdict = CodeVerdict::kFailed;
      result.tests.assign(task.tests.size(), CodeVerdict::kFailed);
      result.message =
          fmt::format("{} bytes of program, at most {} are run", task.program.size(), kMaxProgramBytes);
      return result;
    }
    const Stopwatch clock;
    std::unique_ptr<SandboxedProcess> judge;
    for (size_t i = 0; i < task.tests.size(); ++i) {
      const bool is_last = i + 1 == task.tests.size();
      const double left = task.limits.wall_s - clock.seconds();
      const TestRun test = run_test(task, i, is_last ? left : left / 2, judge, cancel);
      result.tests.push_back(test.verdict);
      if (i == 0) result.output = made_safe(test.output, static_cast<size_t>(task.limits.output_bytes));
      if (test.said) {
        result.defines_entry_point = result.defines_entry_point || test.said->defines;
        result.writes_output = result.writes_output || test.said->writes;
      }
      if (test.verdict != CodeVerdict::kPassed && result.message.empty()) {
        result.message = made_safe(test.message, kMaxMessageBytes);
      }
      if (test.verdict == CodeVerdict::kSyntaxError) {  // and so of each other test
        result.tests.assign(task.tests.size(), CodeVerdict::kSyntaxError);
        break;
      }
    }
    const auto bad = std::find_if(result.tests.begin(), result.tests.end(),
                                  [](CodeVerdict verdict) { return verdict != CodeVerdict::kPassed; });
    result.verdict = bad == result.tests.end() ? CodeVerdict::kPassed : *bad;
    result.seconds = clock.seconds();
    return result;
  }

 private:
  /// `judge` is started where there is none. It stays with one program: what a program left in the pipes is
  /// no other's to hear.
  TestRun run_test(const CodeTask& task, size_t i, double seconds, std::unique_ptr<SandboxedProcess>& judge,
                   const CancelToken& cancel) const {
    TestRun run;
    if (seconds <= 0) {
      run.verdict = CodeVerdict::kTimedOut;
      run.message = "no time was left";
      return run;
    }
    const WithoutSigpipe without_sigpipe;
    SandboxedProgram program;
    program.name = "worker";
    program.script = worker_script();
    program.limits = {task.limits.cpu_s, task.limits.memory_bytes, false};
    const std::unique_ptr<SandboxedProcess> worker = sandbox_->start(program);
    if (!judge) judge = start_judge();
    const std::string token = draw_token();
    Json job{{"token", token},
             {"program", task.program},
             {"entry", task.entry_point},
             {"test", task.tests[i]},
             {"tasks", sandbox_->task_limit()},
             {"cpu_s", static_cast<int64_t>(std::ceil(task.limits.cpu_s))}};
    Conversation talk(*worker, *judge, framed(job), token);
    const Conversation::Outcome outcome = talk.run(seconds, task.limits.output_bytes, cancel);
    const bool is_at_task_limit =
        outcome == Conversation::Outcome::kTimeUp && worker->n_tasks() >= kMaxTasks - 4;
    const SandboxedProcess::End& end = worker->stop();
    talk.drain(task.limits.output_bytes);
    run.output = talk.output();
    run.said = talk.said();
    if (run.said) {
      run.verdict = run.said->verdict;
      run.message = run.said->message;
      if (run.verdict != CodeVerdict::kPassed && end.hit_task_limit) run.verdict = CodeVerdict::kLimit;
    } else {
      judge.reset();  // what it was about to say or to hear is not the next test's
      std::tie(run.verdict, run.message) = verdict_of_end(outcome, is_at_task_limit, end, task.limits);
    }
    return run;
  }

  std::unique_ptr<SandboxedProcess> start_judge() const {
    SandboxedProgram program;
    program.name = "judge";
    program.script = judge_script();
    program.limits.cpu_s = 86400;  // each test's own process has a limit of its own
    program.n_channels = 2;
    program.wants_output = false;
    return sandbox_->start(program);
  }

  std::unique_ptr<Sandbox> sandbox_;
  std::string why_not_;
};

/// Where nothing isolates.
class RefusingRunner final : public CodeRunner {
 public:
  explicit RefusingRunner(std::string why_not) : why_not_(std::move(why_not)) {}
  std::string tier() const override { return "none"; }
  std::string why_not() const override { return why_not_; }
  CodeResult run(const CodeTask& task, const CancelToken&) override {
    CodeResult result;
    result.tests.assign(task.tests.size(), CodeVerdict::kNotRun);
    result.message = why_not_;
    result.tier = tier();
    return result;
  }

 private:
  std::string why_not_;
};

/// A program that tries to get out, and names where it could.
constexpr const char* kEscapes = R"PY(
def escapes():
    import os, socket
    def opens(path, mode):
        return lambda: open(path, mode).close()
    ways = {
        "opens a network socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "opens a local socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
        "reads /etc/passwd": opens("/etc/passwd", "rb"),
        "lists /root": lambda: os.listdir("/root"),
        "lists /home": lambda: os.listdir("/home"),
        "lists processes": lambda: os.listdir("/proc"),
        "writes to /usr": opens("/usr/chaski-probe", "wb"),
        "writes to /dev/shm": opens("/dev/shm/chaski-probe", "wb"),
        "writes to /var/tmp": opens("/var/tmp/chaski-probe", "wb"),
        "signals its parent": lambda: os.kill(os.getppid(), 0),
        "changes its user": lambda: os.setuid(0),
        "changes a mode": lambda: os.chmod("/", 0o777),
    }
    found = []
    for name, way in ways.items():
        try:
            way()
        except OSError:
            continue
        found.append(name)
    found += ["sees " + name for name in os.environ if name not in ("HOME", "PWD", "LC_CTYPE")]
    return found
)PY";

/// Why this way of isolating does not hold; empty where it does.
std::string weakness_of(CodeRunner& runner) {
  CodeTask task;
  task.program = kEscapes;
  task.entry_point = "escapes";
  task.tests = {"found = candidate()\nassert not found, ', '.join(found)"};
  const CodeResult result = runner.run(task, CancelToken());
  if (result.verdict == CodeVerdict::kPassed) return {};
  return result.output.empty() ? result.message : result.output;  // bubblewrap says what it was refused
}

}  // namespace

std::string_view name_of(CodeVerdict verdict) {
  for (const auto& [value, name] : kVerdictNames) {
    if (value == verdict) return name;
  }
  return "not_run";
}

int64_t CodeResult::n_passed() const { return std::count(tests.begin(), tests.end(), CodeVerdict::kPassed); }

std::unique_ptr<CodeRunner> make_code_runner(bool allow_unsafe, const SandboxTools& tools) {
  std::string why_not;
  const auto add = [&why_not](SandboxTier tier, std::string_view why) {
    why_not += fmt::format("{}tier {}: {}", why_not.empty() ? "" : "; ", name_of(tier), printable(why, 300));
  };
  for (const SandboxTier tier : {SandboxTier::kA, SandboxTier::kB}) {
    try {
      auto sandbox = std::make_unique<Sandbox>(tier, tools);
      std::string found = why_not;
      if (!sandbox->has_cgroup()) {
        found += fmt::format("{}no cgroup can be made here: memory is limited per process",
                             found.empty() ? "" : "; ");
      }
      auto runner = std::make_unique<SandboxedRunner>(std::move(sandbox), found);
      const std::string weakness = weakness_of(*runner);
      if (weakness.empty()) return runner;
      add(tier, weakness);
    } catch (const Error& error) {
      add(tier, error.what());
    }
  }
  if (!allow_unsafe) return std::make_unique<RefusingRunner>(why_not);
  try {
    return std::make_unique<SandboxedRunner>(std::make_unique<Sandbox>(SandboxTier::kUnsafe, tools), why_not);
  } catch (const Error& error) {
    return std::make_unique<RefusingRunner>(why_not);
  }
}

std::vector<CodeResult> run_tasks(CodeRunner& runner, const std::vector<CodeTask>& tasks, int n_parallel,
                                  const CancelToken& cancel) {
  std::vector<CodeResult> results(tasks.size());
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&] {
    for (size_t i = next++; i < tasks.size(); i = next++) {
      try {
        results[i] = runner.run(tasks[i], cancel);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(mutex);
        if (!failure) failure = std::current_exception();
        next = tasks.size();
      }
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < n_parallel; ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  if (failure) std::rethrow_exception(failure);
  return results;
}

}  // namespace chaski
