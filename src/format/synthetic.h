// Models of an exact shape with random weights made on demand: for speed and for tests, and labelled
// synthetic everywhere. Nothing is read from a file.
#pragma once

#include <memory>
#include <string_view>

#include "format/checkpoint.h"

namespace chaski {

/// From "SHAPE[@FORMAT]": SHAPE one of tiny, llama-3.2-1b, llama-3.2-3b; FORMAT a weight format, bf16
/// without. The numbers depend on weight name, row and column alone. Throws Error(kUsage) listing what there
/// is.
std::shared_ptr<const Checkpoint> open_synthetic(std::string_view spec);

}  // namespace chaski
