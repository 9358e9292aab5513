// What a record says of a loaded model, the same for all commands that write one.
#pragma once

#include <string>

#include "cli/models.h"
#include "report/run_record.h"

namespace chaski::cli {

/// machine, build, model, device, the load's seconds, and the settings precision and kv_dtype. Reads all
/// weights for their hash, with progress on a terminal; Ctrl-C ends it with Error(kCancelled).
void describe_model(const std::string& name, const LoadedModel& model, const PromptMaker& prompts,
                    const Context& context, RunRecord& record);

/// What the device counted; fallbacks, and their shares of calls, of the `busy_s` seconds of computing, and
/// of kinds of op; shares of 0 where the model runs on the CPU itself.
void fill_fallbacks(const LoadedModel& model, double busy_s, RunRecord& record);

}  // namespace chaski::cli
