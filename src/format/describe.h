// A checkpoint told as facts, for `show` and for records.
#pragma once

#include "base/json.h"
#include "format/checkpoint.h"

namespace chaski {

/// Kind, path, parameters, bytes, formats with the number of weights in each, config, tokenizer, template, in
/// an order that reads well. Reads no weight and computes no hash of the weight files.
OrderedJson describe_checkpoint(const Checkpoint& checkpoint);

}  // namespace chaski
