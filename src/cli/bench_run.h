// Benching models from their names: loads in fresh processes, all of them together where memory allows, by
// turns, then soaks; a RunRecord of each. Used by `bench` and by whoever compares models.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/options.h"
#include "lab/bench_plan.h"
#include "report/run_record.h"

namespace chaski::cli {

struct BenchJob {
  std::vector<std::string> models;
  BenchPlan plan;
  ModelOptions where;
  int64_t n_loads = 0;    ///< cold loads in fresh processes, and as many warm ones
  int64_t n_soak = 0;     ///< repeats of one greedy request in a process of its own
  bool profiles = false;  ///< trace the ops of one prefill and one decode, beside what is timed
};

/// `is_whole`: everything that was asked for was measured.
using OnBenchRecord = std::function<void(RunRecord record, bool is_whole)>;

/// Bench all, and hand over the record of each that was measured at all, in the order of `models`. A wrong
/// name, or a plan too long for a model, is found before anything is measured. A model that fails does not
/// end the others; the first failure is thrown at the end. Ctrl-C ends all with Error(kCancelled).
void run_bench_job(const BenchJob& job, const Context& context, const OnBenchRecord& on_record);

}  // namespace chaski::cli
