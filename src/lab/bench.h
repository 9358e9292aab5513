// Times a plan's tests (bench_plan.h) on one or several loaded models, by turns. What the times mean is
// bench_metrics.h's, tables and JSON are bench_report.h's, loading is the caller's.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/cancel.h"
#include "engine/engine.h"
#include "lab/bench_plan.h"
#include "text/tokenizer.h"

namespace chaski {

/// What is measured; all must outlive the call.
struct BenchSubject {
  Device& device;
  Ops& ops;
  const LlamaModel& model;
  const Tokenizer& tokenizer;
};

/// One timed run of a test, in seconds on the monotonic clock.
struct BenchSample {
  double seconds = 0;            ///< of what is timed
  int64_t n_tokens = 0;          ///< computed or generated meanwhile, of all sequences
  std::optional<double> ttft_s;  ///< from admission to the first token; where the whole request is timed
  std::vector<double> itl_s;     ///< gaps between tokens; of one sequence without speculation only

  double tokens_per_s() const { return static_cast<double>(n_tokens) / seconds; }
};

struct TestSamples {
  BenchTest test;
  int64_t n_warmup = 1;  ///< runs before, not counted
  std::vector<BenchSample> samples;
};

/// What one subject has been measured at; as far as it came, where something ended it.
struct BenchRun {
  std::vector<TestSamples> tests;
  int64_t kv_bytes = 0;       ///< of the cache for one sequence of the plan's longest test
  int64_t scratch_bytes = 0;  ///< of a step's buffers and temporaries
  std::string runner, why_not_faster;
  double busy_s = 0;           ///< in steps of the engines, timed or not
  std::exception_ptr failure;  ///< what ended this subject alone; null: it was measured to the end
};

/// All may be empty.
struct BenchHooks {
  std::function<void(int64_t done, int64_t total)> on_progress;  ///< of all samples
  /// Around what is timed, warm-ups included only where `is_warmup`; both are outside the time.
  std::function<void(size_t subject, const BenchTest& test, bool is_warmup)> on_begin;
  std::function<void(size_t subject, const BenchTest& test, const BenchSample& sample, bool is_warmup)>
      on_end;
};

/// A step's own memory: buffers and temporaries that a runner of such limits allocates.
int64_t scratch_bytes(const ModelConfig& config, const RunnerLimits& limits);

/// Run every test on every subject: each once unmeasured, then round by round, one sample of each subject in
/// turn, the order turned about from round to round. `runs` is filled as it goes, one for each subject. A
/// subject that fails is left out from there on. Throws what check_fits does, Error(kCancelled).
void run_bench(std::span<const BenchSubject> subjects, const BenchPlan& plan, const CancelToken& cancel,
               const BenchHooks& hooks, std::vector<BenchRun>& runs);

}  // namespace chaski
