#include "lab/ascend_model.h"

#include <algorithm>
#include <cctype>

#include "base/checked.h"
#include "base/error.h"

namespace chaski {
namespace {

constexpr double kTera = 1e12;
constexpr double kTebi = 1024.0 * 1024 * 1024 * 1024;
constexpr int64_t kGibi = int64_t{1} << 30;

constexpr int64_t kBucket = 256;                // positions; a captured step is of one bucket
constexpr int64_t kActivationBytes = 2;         // f16 or bf16
constexpr int64_t kMostQuantisedRows = 65'535;  // of one WeightQuantBatchMatmulV2

// Operations of the vector units for each number, as the simulator counts them.
constexpr double kNormOps = 5;
constexpr double kSwiGluOps = 7;
constexpr double kSoftmaxOps = 5;
constexpr double kRotateOps = 3;

double of(int64_t n) { return static_cast<double>(n); }

/// Bytes of one weight on the card.
double held_bytes(DType stored) {
  switch (stored) {
    case DType::kQ8_0:
      return 1 + 2.0 / 32;  // an f16 scale for each group
    case DType::kQ4_0:
      return 0.5 + 2.0 / 32;
    default:
      return 2;  // converted when it is uploaded
  }
}

bool is_quantised(DType stored) { return held_bytes(stored) != 2; }

/// Makes the list of a step's operators.
class StepOps {
 public:
  StepOps(const AscendShape& shape, const AscendStep& step) : shape_(shape), c_(shape.config), step_(step) {}

  std::vector<ModelledOp> list() {
    const int64_t n = step_.n_rows, heads = c_.n_heads * c_.head_dim, kv = c_.n_kv_heads * c_.head_dim;
    // Before the layers.
    vector_op("Embedding", 1, 2 * n * c_.hidden, 0);
    vector_op("IndexSelect", 2, 4 * n * c_.head_dim, 0);
    if (is_decode()) {  // what hides the places behind each position
      const int64_t n_places = step_.n_sequences * step_.context;
      vector_op("GtTensor", 1, n_places, 0);
      vector_op("InplaceCopy", 1, 2 * n_places, 0);
      vector_op("Add", 1, (1 + c_.n_heads) * n_places, 0);
    }
    // In each layer.
    const int64_t layers = c_.n_layers;
    norms("AddRmsNorm", 2 * layers, n);
    if (n == 1) {
      products("Mm", "qkv", layers, n, heads + 2 * kv, c_.hidden);
    } else {
      products("Mm", "q", layers, n, heads, c_.hidden);
      products("Mm", "k, v", 2 * layers, n, kv, c_.hidden);
    }
    vector_op("RotaryPositionEmbedding", layers, 3 * layers * n * (heads + kv),
              kRotateOps * of(layers * n * (heads + kv)));
    vector_op("InplaceIndexCopy", 2 * layers, 4 * layers * n * kv, 0);
    attention(layers);
    products("Mm", "o", layers, n, c_.hidden, heads);
    products("Mm", "gate, up", layers, n, 2 * c_.ffn, c_.hidden);
    vector_op("SwiGlu", layers, 3 * layers * n * c_.ffn, kSwiGluOps * of(layers * n * c_.ffn));
    products("Mm", "down", layers, n, c_.hidden, c_.ffn);
    // After them.
    if (step_.n_outputs == 0) return std::move(ops_);
    vector_op("Add", 1, 3 * n * c_.hidden, of(n * c_.hidden));
    vector_op("IndexSelect", 1, 2 * step_.n_outputs * c_.hidden, 0);
    norms("RmsNorm", 1, step_.n_outputs);
    head();
    vector_op("MaxDim", 1, step_.n_outputs * c_.vocab, of(step_.n_outputs * c_.vocab));
    return std::move(ops_);
  }

 private:
  bool is_decode() const { return step_.n_rows == step_.n_sequences; }

  void vector_op(std::string_view name, int64_t launches, int64_t n_numbers, double vector_ops) {
    ops_.push_back({name, "", false, launches, of(kActivationBytes * n_numbers), 0, vector_ops});
  }

  void norms(std::string_view name, int64_t launches, int64_t n_rows) {
    const int64_t numbers = launches * n_rows * c_.hidden;
    vector_op(name, launches, 4 * numbers, kNormOps * of(numbers));
  }

  /// `launches` products of n rows with matrices [n_out, n_in] of the layers.
  void products(std::string_view name, std::string_view what, int64_t launches, int64_t n, int64_t n_out,
                int64_t n_in) {
    const double weights = of(n_out) * of(n_in);
    const double bytes = weights * shape_.bytes_per_weight + of(kActivationBytes * n * (n_in + n_out));
    ops_.push_back({name, fmt::format("{} [{}, {}] × [{}, {}]", what, n, n_in, n_in, n_out), true, launches,
                    of(launches) * bytes, of(launches) * 2 * of(n) * weights, 0});
  }

  void attention(int64_t layers) {
    const int64_t n = step_.n_rows, width = c_.n_heads * c_.head_dim, kv = c_.n_kv_heads * c_.head_dim;
    // A row of a prompt's piece sees, in the mean, half of the piece.
    const double seen = is_decode() ? of(step_.context) : of(step_.context) - of(n) / 2;
    const double pairs = of(n) * seen * of(c_.n_heads);
    const double cache = 2 * of(step_.n_sequences) * of(step_.context) * of(kv);
    ModelledOp op{"FusedInferAttentionScoreV2",
                  fmt::format("{} × {} of {}", n, c_.n_heads, step_.context),
                  true,
                  layers * (is_decode() ? 1 : step_.n_sequences),
                  of(layers) * kActivationBytes * (cache + 2 * of(n * width)),
                  of(layers) * 4 * pairs * of(c_.head_dim),
                  of(layers) * kSoftmaxOps * pairs};
    ops_.push_back(std::move(op));
  }

  void head() {
    const int64_t n = step_.n_outputs;
    const double weights = of(c_.vocab) * of(c_.hidden);
    const int64_t launches =
        shape_.has_quantised_head ? (c_.vocab + kMostQuantisedRows - 1) / kMostQuantisedRows : 1;
    ops_.push_back({"Mm", fmt::format("head [{}, {}] × [{}, {}]", n, c_.hidden, c_.hidden, c_.vocab), true,
                    launches, weights * shape_.bytes_per_head_weight + of(kActivationBytes * n * c_.vocab),
                    2 * of(n) * weights, 0});
  }

  const AscendShape& shape_;
  const ModelConfig& c_;
  const AscendStep& step_;
  std::vector<ModelledOp> ops_;
};

std::string plain_lower(std::string_view name) {
  std::string text;
  for (const char c : name) text += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  constexpr std::string_view kFamily = "ascend";
  return text.rfind(kFamily, 0) == 0 ? text.substr(kFamily.size()) : text;
}

}  // namespace

const std::vector<AscendCard>& ascend_cards() {
  // The simulator names its profiles by TFLOPS and memory; which variant is which is common usage. It has
  // none for the 910B1, which stands here with the figures of the 910B2.
  constexpr double kFull = 1.6 * kTebi, kHalf = 0.8 * kTebi;
  static const std::vector<AscendCard> kCards = {
      {"910b1", 376 * kTera, 353.9 * kTera, 22 * kTera, kFull, 64 * kGibi},
      {"910b2", 376 * kTera, 353.9 * kTera, 22 * kTera, kFull, 64 * kGibi},
      {"910b3", 313 * kTera, 294.9 * kTera, 18 * kTera, kFull, 64 * kGibi},
      {"910b4", 280 * kTera, 245.8 * kTera, 16 * kTera, kHalf, 32 * kGibi},
      {"910b4-1", 280 * kTera, 245.8 * kTera, 16 * kTera, kFull, 64 * kGibi},
  };
  return kCards;
}

const AscendCard* find_ascend_card(std::string_view name) {
  const std::string wanted = plain_lower(name);
  for (const AscendCard& card : ascend_cards()) {
    if (card.name == wanted) return &card;
  }
  return nullptr;
}

int64_t AscendShape::layer_weights() const {
  const int64_t heads = config.n_heads * config.head_dim, kv = config.n_kv_heads * config.head_dim;
  return config.hidden * (2 * heads + 2 * kv + 3 * config.ffn);
}

int64_t AscendShape::weight_bytes() const {
  const double table = of(config.vocab) * of(config.hidden);
  // A quantised head cannot be looked up in: the table is then a copy.
  const bool has_own_table = !config.tie_embeddings || has_quantised_head;
  return static_cast<int64_t>(of(config.n_layers) * of(layer_weights()) * bytes_per_weight +
                              table * bytes_per_head_weight + (has_own_table ? 2 * table : 0) +
                              2 * of(config.hidden) * of(2 * config.n_layers + 1));
}

int64_t AscendShape::kv_bytes_per_position() const {
  return 2 * kActivationBytes * config.n_layers * config.n_kv_heads * config.head_dim;
}

AscendShape ascend_shape(const ModelConfig& config, DType weights) {
  const double bytes = held_bytes(weights);
  return {config, weights == DType::kBF16, bytes, bytes, is_quantised(weights)};
}

AscendShape ascend_shape(const Checkpoint& checkpoint) {
  AscendShape shape = ascend_shape(checkpoint.config(), DType::kF16);
  double n_weights = 0, n_bytes = 0, n_bf16 = 0;
  for (const std::string& name : checkpoint.names()) {
    if (name.rfind("model.layers.", 0) != 0) continue;
    const WeightSourcePtr weight = checkpoint.find(name);
    if (weight->n_rows() <= 1) continue;
    const double n = of(weight->n_rows()) * of(weight->n_cols());
    n_weights += n;
    n_bytes += n * held_bytes(weight->dtype());
    if (weight->dtype() == DType::kBF16) n_bf16 += n;
  }
  if (n_weights > 0) shape.bytes_per_weight = n_bytes / n_weights;
  shape.is_bf16 = n_bf16 > n_weights / 2;
  const char* head = checkpoint.config().tie_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
  if (const WeightSourcePtr weight = checkpoint.find(head)) {
    shape.bytes_per_head_weight = held_bytes(weight->dtype());
    shape.has_quantised_head = is_quantised(weight->dtype());
  }
  return shape;
}

std::vector<ModelledOp> ops_of_step(const AscendShape& shape, const AscendStep& step) {
  CHECK(step.n_rows >= 1 && step.n_sequences >= 1 && step.n_sequences <= step.n_rows && step.context >= 1,
        "{} rows of {} sequences at {}", step.n_rows, step.n_sequences, step.context);
  return StepOps(shape, step).list();
}

int64_t launches_of(const std::vector<ModelledOp>& ops) {
  int64_t n = 0;
  for (const ModelledOp& op : ops) n += op.launches;
  return n;
}

double seconds_of(const ModelledOp& op, const AscendCard& card, bool is_bf16) {
  const double matrix_ops_per_s = is_bf16 ? card.bf16_ops_per_s : card.f16_ops_per_s;
  const double memory_s = op.bytes / (card.memory_bytes_per_s * kMemoryEfficiency);
  const double compute_s =
      (op.matrix_ops / matrix_ops_per_s + op.vector_ops / card.vector_ops_per_s) / kComputeEfficiency;
  return std::max(memory_s, compute_s) +
         of(op.launches) * (op.is_matrix ? kMatrixOpSeconds : kVectorOpSeconds);
}

double seconds_of(const std::vector<ModelledOp>& ops, const AscendCard& card, bool is_bf16) {
  double seconds = 0;
  for (const ModelledOp& op : ops) seconds += seconds_of(op, card, is_bf16);
  return seconds;
}

ModelledTime step_time(double card_s, int64_t launches, bool is_captured, const LaunchCost& cost) {
  if (is_captured) return {card_s, card_s};
  return {std::max(card_s, of(launches) * cost.low_s), std::max(card_s, of(launches) * cost.high_s)};
}

int64_t ascend_bucket(int64_t context) {
  return checked_round_up<int64_t>(context, kBucket).value_or(context);
}

ModelledTime prefill_time(const AscendShape& shape, const AscendCard& card, int64_t n_tokens, int64_t depth,
                          int64_t rows_per_step, const LaunchCost& cost) {
  ModelledTime sum;
  for (int64_t done = 0; done < n_tokens;) {
    const int64_t n = std::min(rows_per_step, n_tokens - done);
    done += n;
    const AscendStep step{n, 1, depth + done, done == n_tokens ? 1 : 0};
    const std::vector<ModelledOp> ops = ops_of_step(shape, step);
    const ModelledTime one = step_time(seconds_of(ops, card, shape.is_bf16), launches_of(ops), false, cost);
    sum.low_s += one.low_s;
    sum.high_s += one.high_s;
  }
  return sum;
}

ModelledTime decode_time(const AscendShape& shape, const AscendCard& card, int64_t n_tokens, int64_t depth,
                         int64_t n_sequences, bool is_captured, const LaunchCost& cost) {
  ModelledTime sum;
  for (int64_t done = 0; done < n_tokens;) {
    // All steps of a bucket take as long.
    const int64_t bucket = ascend_bucket(depth + done + 1);
    const int64_t n = std::min(n_tokens - done, bucket - (depth + done));
    const std::vector<ModelledOp> ops = ops_of_step(shape, {n_sequences, n_sequences, bucket, n_sequences});
    const ModelledTime one =
        step_time(seconds_of(ops, card, shape.is_bf16), launches_of(ops), is_captured, cost);
    sum.low_s += of(n) * one.low_s;
    sum.high_s += of(n) * one.high_s;
    done += n;
  }
  return sum;
}

}  // namespace chaski
