// The words between a worker and a judge, which both run in sandboxes: carried to and fro by us until the
// judge has said what it thinks of a test. What they say: src/lab/harness/. Who starts them: code_runner.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "base/cancel.h"
#include "base/json.h"
#include "lab/code_runner.h"
#include "lab/sandbox.h"

namespace chaski {

/// What the judge said of one test.
struct Said {
  CodeVerdict verdict = CodeVerdict::kFailed;
  std::string message;
  bool defines = false, writes = false;
};

/// Bytes on their way from one descriptor to another. `from` -1: what is held is all.
struct Pump {
  int from = -1, to = -1;
  std::string held;
  bool is_over = false;
};

class Conversation {
 public:
  /// The job is the judge's first word to hear; a verdict counts that bears the token.
  Conversation(SandboxedProcess& worker, SandboxedProcess& judge, const Json& job, std::string token);

  enum class Outcome { kVerdict, kWorkerEnded, kJudgeEnded, kTimeUp, kFlood };

  /// Carry words to and fro until one of the outcomes. Throws Error(kCancelled).
  Outcome run(double seconds, int64_t max_output, const CancelToken& cancel);
  /// What was printed and not read yet.
  void drain(int64_t max_output);

  const std::optional<Said>& said() const { return said_; }
  const std::string& output() const { return output_; }  ///< what the worker printed, as far as it is kept

 private:
  bool take_output(int64_t max_output);

  SandboxedProcess& worker_;
  SandboxedProcess& judge_;
  std::string token_;
  std::array<Pump, 3> pumps_;
  std::string verdict_, output_;
  int64_t n_output_ = 0;
  bool is_output_over_ = false;
  std::optional<Said> said_;
};

}  // namespace chaski
