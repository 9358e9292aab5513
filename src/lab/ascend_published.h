// What others measured on an Ascend 910B and published (ascend_published.csv), and how far the time model is
// off from each. None of these figures was used to set it. Which were left out, and why:
// docs/sources.md#ascend-time-model
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "lab/ascend_model.h"

namespace chaski {

struct PublishedStep {
  std::string id, program, source;
  const AscendCard* card = nullptr;  ///< where the source names none, a 910B3
  bool is_card_named = false;
  bool is_captured = false, is_prefill = false;
  AscendShape shape;
  AscendStep step;
  int64_t n_matrix = 0, n_vector = 0;  ///< operators that the program launches in a step, by its source
  double ms_low = 0, ms_high = 0;      ///< measured, of one step
};

/// The table's text, as it is built in.
std::string_view ascend_published_csv();
/// Throws Error(kCorrupt) naming line and column.
std::vector<PublishedStep> parse_published_steps(std::string_view csv, std::string_view where);
const std::vector<PublishedStep>& published_steps();

/// By the model, in ms.
ModelledTime modelled_ms(const PublishedStep& published);
/// (predicted − measured) ÷ measured, by the nearest end of the predicted range; 0 inside it.
double error_of(const PublishedStep& published);

/// The model's errors over the published figures of one kind.
struct ModelError {
  int64_t n = 0;
  double low = 0, median = 0, high = 0;
};
enum class ModelledPhase { kCapturedDecode, kEagerDecode, kPrefill };
ModelError error_over(ModelledPhase phase);
OrderedJson to_json(const ModelError& error);
/// "on 7 published figures of captured decoding it was off by −66 % to +10 %, median −14 %".
std::string error_text(ModelledPhase phase);

}  // namespace chaski
