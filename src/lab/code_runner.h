// Runs generated Python where it can do no harm, and says how its tests went. The tier of isolation that this
// machine allows is probed once and recorded; where there is none, nothing runs (F22, H101–H111 of the
// tests).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel.h"

namespace chaski {

enum class CodeVerdict { kPassed, kFailed, kSyntaxError, kTimedOut, kMemory, kLimit, kNotRun };
/// "passed", "failed", "syntax_error", "timed_out", "memory", "limit", "not_run".
std::string_view name_of(CodeVerdict verdict);

struct CodeLimits {
  double wall_s = 10, cpu_s = 10;
  int64_t memory_bytes = int64_t{1} << 30;
  int64_t output_bytes = 1 << 20;
};

/// A program and its hidden tests. Each test is Python that asserts, run after the program in its namespace;
/// `candidate` is the function named entry_point, or, where that is empty, the last function that the program
/// defines at top level.
struct CodeTask {
  std::string program;
  std::string entry_point;
  std::vector<std::string> tests;
  CodeLimits limits;
};

struct CodeResult {
  CodeVerdict verdict = CodeVerdict::kNotRun;  ///< kPassed: all tests
  std::vector<CodeVerdict> tests;              ///< of each test, in order
  bool defines_entry_point = false;
  bool writes_output = false;  ///< the program printed, or asked for input, by itself
  std::string message;         ///< the first failure, made safe, capped
  std::string output;          ///< capped, invalid UTF-8 as U+FFFD
  double seconds = 0;
  std::string tier;  ///< "A", "B", "none", "unsafe"

  int64_t n_passed() const;
};

class CodeRunner {
 public:
  virtual ~CodeRunner() = default;
  virtual CodeResult run(const CodeTask& task, const CancelToken& cancel) = 0;
  /// "A", "B", "none" or "unsafe"; why_not says what kept it from a better one.
  virtual std::string tier() const = 0;
  virtual std::string why_not() const = 0;
};

/// Probes what this machine allows. With `allow_unsafe`, code runs with limits alone where nothing isolates
/// it.
std::unique_ptr<CodeRunner> make_code_runner(bool allow_unsafe = false);

}  // namespace chaski
