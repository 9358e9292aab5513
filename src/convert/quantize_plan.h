// Which type each weight of a model gets under a quantised format's name, as llama.cpp's quantiser chooses
// without an importance matrix. Writing the weights is in weight_writer.h. Source:
// docs/sources.md#quantize-mixes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "format/llama_layout.h"
#include "format/model_config.h"
#include "tensor/dtype.h"

namespace chaski {

/// A format of a whole model. The names with _S, _M and _L mix types.
struct ModelFormat {
  enum class Mix : uint8_t { kNone, kSmall, kMedium, kLarge };

  std::string_view name;  ///< "q8_0", "q4_K_M", …
  DType base;             ///< what most matrices get
  Mix mix;
  uint32_t file_type;  ///< GGUF's number of it, in general.file_type
};

std::span<const ModelFormat> model_formats();

/// In any case of letters; "q3_K", "q4_K" and "q5_K" mean the _M mixes. Throws Error(kUsage) listing the
/// names.
const ModelFormat& model_format_named(std::string_view name);

struct PlannedWeight {
  ExpectedWeight weight;
  DType dtype = DType::kF32;
  std::optional<DType> unfit;  ///< what the format asks for, where its blocks do not fit the rows
};

/// The type of every weight of a validated config, in the order of expected_weights; norms are f32.
std::vector<PlannedWeight> plan_types(const ModelConfig& config, const ModelFormat& format);

}  // namespace chaski
