// How long steps of a Llama-family model would take on an Ascend 910B, by a model of the card: bytes moved,
// operators, launches. Nothing is measured and no coefficient is fitted; how far the model is off from what
// others measured says ascend_published.h. docs/sources.md#ascend-time-model
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "format/checkpoint.h"
#include "tensor/dtype.h"

namespace chaski {

/// One variant, by the figures of its datasheet as Huawei's own simulator has them.
struct AscendCard {
  std::string_view name;     ///< "910b3"
  double f16_ops_per_s = 0;  ///< of the matrix units
  double bf16_ops_per_s = 0;
  double vector_ops_per_s = 0;  ///< of the vector units, in f16
  double memory_bytes_per_s = 0;
  int64_t memory_bytes = 0;
};
const std::vector<AscendCard>& ascend_cards();
/// By that name, or as a driver spells it ("Ascend910B3", "910B4-1"); null for none.
const AscendCard* find_ascend_card(std::string_view name);

// The simulator's defaults: the shares of the above that operators reach, and what each costs besides.
inline constexpr double kComputeEfficiency = 0.7;
inline constexpr double kMemoryEfficiency = 0.6;
inline constexpr double kMatrixOpSeconds = 5e-6;
inline constexpr double kVectorOpSeconds = 2e-6;

/// What the host takes for one launch: both phases of an operator's call, from C++ on a Kunpeng. An estimate,
/// not from a document: predictions with it are ranges.
struct LaunchCost {
  double low_s = 20e-6, high_s = 40e-6;
};

/// A model as the Ascend backend holds it: two bytes a weight, or the int8 and int4 groups of q8_0 and q4_0.
struct AscendShape {
  ModelConfig config;
  bool is_bf16 = false;         ///< of the activations, the cache and the unquantised weights
  double bytes_per_weight = 2;  ///< of the layers' matrices, in the mean
  double bytes_per_head_weight = 2;
  bool has_quantised_head = false;

  int64_t layer_weights() const;  ///< of the matrices of one layer
  /// That stay on the card: layers, head, and the table of embeddings where it is another.
  int64_t weight_bytes() const;
  int64_t kv_bytes_per_position() const;
};
AscendShape ascend_shape(const ModelConfig& config, DType weights);
/// Of a model's files: reads their headers alone.
AscendShape ascend_shape(const Checkpoint& checkpoint);

/// What one step computes.
struct AscendStep {
  int64_t n_rows = 1;
  int64_t n_sequences = 1;  ///< as many rows: a decode; fewer: a prompt's piece
  int64_t context = 1;      ///< positions of each sequence that are attended to, this step's own among them
  int64_t n_outputs = 1;    ///< rows that want a token
};

/// All launches of one operator in a step.
struct ModelledOp {
  std::string_view name;  ///< as ACLNN names it
  std::string shape;
  bool is_matrix = false;  ///< on the matrix units; else on the vector units
  int64_t launches = 0;
  double bytes = 0, matrix_ops = 0, vector_ops = 0;
};
/// What chaski's backend launches: 11 a layer to decode one sequence, 13 with more rows.
std::vector<ModelledOp> ops_of_step(const AscendShape& shape, const AscendStep& step);

int64_t launches_of(const std::vector<ModelledOp>& ops);
/// Of all launches of `op` on the card: the slower of memory and arithmetic, and the cost of each.
double seconds_of(const ModelledOp& op, const AscendCard& card, bool is_bf16);
double seconds_of(const std::vector<ModelledOp>& ops, const AscendCard& card, bool is_bf16);

/// A time that is a point where the launches' cost plays no part.
struct ModelledTime {
  double low_s = 0, high_s = 0;
};
/// Eager, the host works ahead of the card, and the slower of both decides; captured, the card alone.
ModelledTime step_time(double card_s, int64_t launches, bool is_captured, const LaunchCost& cost = {});

/// Positions that attention reads of a context: the backend's buckets.
int64_t ascend_bucket(int64_t context);
/// A prompt after `depth` other tokens, in pieces of `rows_per_step`; never captured.
ModelledTime prefill_time(const AscendShape& shape, const AscendCard& card, int64_t n_tokens, int64_t depth,
                          int64_t rows_per_step, const LaunchCost& cost = {});
/// `n_tokens` of each of `n_sequences`, the first after `depth` positions.
ModelledTime decode_time(const AscendShape& shape, const AscendCard& card, int64_t n_tokens, int64_t depth,
                         int64_t n_sequences, bool is_captured, const LaunchCost& cost = {});

}  // namespace chaski
