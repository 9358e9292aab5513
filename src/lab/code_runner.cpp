#include "lab/code_runner.h"

#include <signal.h>

#include <algorithm>
#include <array>
#include <atomic>
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
#include "lab/code_conversation.h"
#include "lab/code_harness.h"

namespace chaski {
namespace {

constexpr size_t kMaxProgramBytes = 8 << 20;
constexpr size_t kMaxMessageBytes = 4000;

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

/// One test, from the start of its worker to its verdict.
struct TestRun {
  CodeVerdict verdict = CodeVerdict::kFailed;
  std::optional<Said> said;
  std::string message, output;
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
    SandboxedProgram program;
    program.name = "worker";
    program.script = std::string(worker_script());
    program.limits = {task.limits.cpu_s, task.limits.memory_bytes, false};
    const std::unique_ptr<SandboxedProcess> worker = sandbox_->start(program);
    if (!judge) judge = start_judge();
    const std::string token = draw_token();
    const Json job{{"token", token},
                   {"program", task.program},
                   {"entry", task.entry_point},
                   {"test", task.tests[i]},
                   {"tasks", sandbox_->task_limit()},
                   {"cpu_s", static_cast<int64_t>(std::ceil(task.limits.cpu_s))}};
    Conversation talk(*worker, *judge, job, token);
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
    program.script = std::string(judge_script());
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

/// Why this way of isolating does not hold; empty where it does.
std::string weakness_of(CodeRunner& runner) {
  CodeTask task;
  task.program = escape_attempts();
  task.entry_point = "escapes";
  task.tests = {"found = candidate()\nassert not found, ', '.join(found)"};
  const CodeResult result = runner.run(task, CancelToken());
  if (result.verdict == CodeVerdict::kPassed) return {};
  std::string said =
      result.output.empty() ? result.message : result.output;  // bubblewrap says what it was refused
  while (said.ends_with('\n')) said.pop_back();
  return said;
}

}  // namespace

std::string_view name_of(CodeVerdict verdict) {
  for (const auto& [value, name] : kVerdictNames) {
    if (value == verdict) return name;
  }
  return "not_run";
}

std::optional<CodeVerdict> find_verdict(std::string_view name) {
  for (const auto& [value, its_name] : kVerdictNames) {
    if (its_name == name) return value;
  }
  return std::nullopt;
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
