// --draft: the model that guesses tokens ahead, beside the one that answers.
#pragma once

#include "cli/models.h"

namespace chaski::cli {

/// Set engine_options.speculation by --draft (empty: n-grams; "none": off; else a model, which is loaded into
/// `ops` and left in loaded.draft). Throws Error(kUsage) where that model's tokens are not the model's own.
void set_speculation(LoadedModel& loaded, Ops& ops, const std::string& draft, EngineOptions& engine_options);

}  // namespace chaski::cli
