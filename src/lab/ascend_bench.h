// A bench that runs nowhere: what a plan's tests would give on an Ascend card by the model of its time, as
// records with device_kind "modelled". Reads a model's headers alone. docs/en/ascend.md
#pragma once

#include <string>
#include <vector>

#include "format/checkpoint.h"
#include "lab/ascend_model.h"
#include "lab/bench_plan.h"
#include "report/run_record.h"

namespace chaski {

/// One record with decode steps captured, one with all steps eager. Where launches decide, a figure has two
/// samples: those of the cheapest and of the dearest launch. `id` is the model as the user named it. Throws
/// Error(kOutOfMemory) for a model that the card has no room for, kUsage for a plan that the model is too
/// short for, or with speculation.
std::vector<RunRecord> modelled_bench(const std::string& id, const Checkpoint& checkpoint,
                                      const AscendCard& card, const BenchPlan& plan);

}  // namespace chaski
