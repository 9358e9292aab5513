// Runs generated Python where it can do no harm, and says how its tests went. The tier of isolation that this
// machine allows is probed once and recorded; where there is none, nothing runs (F22, H101–H111 of the
// tests). docs/en/sandbox.md says what keeps a program from passing without being right.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel.h"
#include "lab/sandbox.h"

namespace chaski {

enum class CodeVerdict { kPassed, kFailed, kSyntaxError, kTimedOut, kMemory, kLimit, kNotRun };
/// "passed", "failed", "syntax_error", "timed_out", "memory", "limit", "not_run".
std::string_view name_of(CodeVerdict verdict);
/// By its name; nothing for another text.
std::optional<CodeVerdict> find_verdict(std::string_view name);

struct CodeLimits {
  double wall_s = 10;  ///< for all tests together; one that is not the last gets half of what is left
  double cpu_s = 10;   ///< of each process
  int64_t memory_bytes = int64_t{1} << 30;
  int64_t output_bytes = 1 << 20;  ///< that are kept
};

/// A program and its hidden tests. Each test is Python that asserts, run with the names that the program
/// defines; `candidate` is the one named entry_point, or, where that is empty, the last function that the
/// program defines at top level. Each test sees the program freshly loaded, in a process that is not the
/// test's: arguments and answers are handed over by value, and what is printed during a call goes to the
/// test's sys.stdout.
struct CodeTask {
  std::string program;
  std::string entry_point;
  std::vector<std::string> tests;
  CodeLimits limits;
};

struct CodeResult {
  CodeVerdict verdict = CodeVerdict::kNotRun;  ///< kPassed: all tests, of which there is one at least
  std::vector<CodeVerdict> tests;              ///< of each test, in order
  bool defines_entry_point = false;
  bool writes_output = false;  ///< the program printed, or asked for input, when it was loaded
  std::string message;         ///< the first failure, made safe, capped
  std::string output;          ///< of the first test's run: capped, escapes and invalid UTF-8 made visible
  double seconds = 0;
  std::string tier;  ///< "A", "B", "none", "unsafe"

  int64_t n_passed() const;
};

class CodeRunner {
 public:
  virtual ~CodeRunner() = default;
  /// Threads may call this at the same time. Throws Error(kCancelled), and kIo where no process can be
  /// started.
  virtual CodeResult run(const CodeTask& task, const CancelToken& cancel) = 0;
  /// "A", "B", "none" or "unsafe"; why_not says what kept it from a better one.
  virtual std::string tier() const = 0;
  virtual std::string why_not() const = 0;
};

/// Probes what this machine allows: each tier must first keep in a program that tries to get out. With
/// `allow_unsafe`, code runs with limits alone where nothing isolates it.
std::unique_ptr<CodeRunner> make_code_runner(bool allow_unsafe = false, const SandboxTools& tools = {});

/// The tasks' results, in order, `n_parallel` of them at a time. Throws as run does.
std::vector<CodeResult> run_tasks(CodeRunner& runner, const std::vector<CodeTask>& tasks, int n_parallel,
                                  const CancelToken& cancel);

}  // namespace chaski
