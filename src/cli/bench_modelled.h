// chaski bench --device ascend-model:910b3: no device is opened and no weight is read; the figures are a time
// model's (lab/ascend_bench.h).
#pragma once

#include <string>

#include "cli/bench_run.h"

namespace chaski::cli {

/// Whether the device is of the family "ascend-model".
bool is_modelled_device(const std::string& device);

/// As run_bench_job. Throws Error(kUsage) for an option that a model of time has no answer to.
void run_modelled_job(const BenchJob& job, const OnBenchRecord& on_record);

}  // namespace chaski::cli
