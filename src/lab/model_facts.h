// What a record says of the model and the computer that a run had, gathered from what was loaded.
#pragma once

#include <string>

#include "base/files.h"
#include "format/checkpoint.h"
#include "report/run_record.h"
#include "text/prompt.h"

namespace chaski {

/// The types that hold most bytes of a model's weights, as "q4_1 86%, q8_0 13%".
std::string weight_types(const Checkpoint& checkpoint);

/// What the model is, for the record; reads all weights once for their hash, and tells `on_bytes` of it.
ModelFacts model_facts(const std::string& id, const Checkpoint& checkpoint, const PromptMaker& prompts,
                       const OnBytes& on_bytes = {});
/// What its makers call it, as far as its file or folder is still named so; not the folders above, nor an
/// alias.
std::string own_name(const ModelFacts& model);
MachineFacts machine_facts();

}  // namespace chaski
