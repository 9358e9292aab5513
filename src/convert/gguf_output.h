// A model into a GGUF file: the types of its weights planned, its metadata carried over, its weights
// converted on all threads.
#pragma once

#include <filesystem>

#include "convert/output.h"
#include "convert/quantize_plan.h"
#include "format/checkpoint.h"

namespace chaski {

/// Write `checkpoint` to `target`, which appears when it is whole. Without a `format`, weights keep the types
/// they have, norms apart, which are f32. Throws as write_weights and PartialFile do, and Error(kUsage) for a
/// target that must not be written.
OutputReport write_gguf(const Checkpoint& checkpoint, const std::filesystem::path& target,
                        const ModelFormat* format, const OutputOptions& options);

}  // namespace chaski
