// --draft: the model that guesses tokens ahead, beside the one that answers.
#pragma once

#include "cli/models.h"

namespace chaski::cli {

/// Set engine_options.speculation by --draft (empty: n-grams; "none": off; else a model, which is loaded into
/// `ops` and left in loaded.draft). Throws Error(kUsage) where that model's tokens are not the model's own.
void set_speculation(LoadedModel& loaded, Ops& ops, const std::string& draft, const Context& context,
                     EngineOptions& engine_options);

/// What the reader must know where guessing failed and the answers went on without.
std::optional<RunWarning> speculation_warning(const LoadedModel& loaded);
/// Say that on standard error.
void note_speculation(const LoadedModel& loaded, Lang lang);

}  // namespace chaski::cli
