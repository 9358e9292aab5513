// The weights that a Llama model of a given config has: Hugging Face's names and shapes, in one place for
// every kind of file.
#pragma once

#include <string>
#include <vector>

#include "format/model_config.h"
#include "tensor/tensor.h"

namespace chaski {

class Checkpoint;

struct ExpectedWeight {
  std::string name;
  Shape shape;  ///< [rows, columns], or [n] for a norm
  bool is_norm() const { return shape.rank() == 1; }
};

/// All weights of a validated config, embedding first, then layer by layer.
std::vector<ExpectedWeight> expected_weights(const ModelConfig& config);

/// Throws Error(kCorrupt) naming the first weight that is missing or of another shape.
void check_weights(const Checkpoint& checkpoint);

}  // namespace chaski
