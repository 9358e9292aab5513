#include "backend/ascend/ascend_ops.h"

#include <algorithm>

namespace chaski {

using ascend::Scratch;

AscendOps::AscendOps(AscendMemory& memory, const AscendOpsOptions& options)
    : memory_(memory),
      context_(memory.queue().context()),
      guarded_(*this, memory),
      options_(options),
      activations_(options.activations),
      executors_(memory),
      weights_(memory),
      scratch_(memory) {}

AscendOps::~AscendOps() { memory_.queue().quiesce(); }

void AscendOps::synchronize() { memory_.synchronize(); }

WeightId AscendOps::add_weight(WeightSourcePtr source) {
  if (!is_tried_) set_activations(activations_);
  return weights_.add(std::move(source));
}

TensorArg AscendOps::numbers(const void* data, std::initializer_list<int64_t> dims) const {
  return TensorArg(const_cast<void*>(data), acl_dtype(activations_), dims);
}

void AscendOps::reserve(const LlamaModel& model, const RunnerLimits& limits) {
  const ModelConfig& c = model.config;
  const int64_t n = limits.max_rows, n_outputs = limits.max_outputs;
  const int64_t q = c.n_heads * c.head_dim, kv = c.n_kv_heads * c.head_dim;
  const int64_t n_norm = std::max(n, n_outputs), n_pages = limits.pages_per_sequence;
  const int64_t n_lines = n * (c.n_heads + c.n_kv_heads);
  const int64_t n_sequences = limits.max_sequences;
  // Runners are made between steps: what an earlier one's last step left may be of memory that is gone.
  moved_.clear();
  pending_.reset();
  upload_rotary_tables(model.rope);
  scratch(Scratch::kNormed, 2 * n_norm * c.hidden);
  scratch(Scratch::kRstd, 4 * n_norm);
  scratch(Scratch::kProjected, 2 * n * (q + 2 * kv));
  scratch(Scratch::kRotated, 2 * n * (q + kv));
  scratch(Scratch::kGateUp, 4 * n * c.ffn);
  scratch(Scratch::kProduct, 2 * n * c.hidden);
  scratch(Scratch::kResidual, 2 * n * c.hidden);
  scratch(Scratch::kRotaryIndex, 4 * n * c.n_heads);
  scratch(Scratch::kCos, 2 * n_lines * c.head_dim);
  scratch(Scratch::kSin, 2 * n_lines * c.head_dim);
  scratch(Scratch::kPageTable, 4 * n_sequences * (n_pages + 7));
  scratch(Scratch::kPages, 4 * n_sequences * n_pages + 64 * n_sequences);
  scratch(Scratch::kContextMask, 8 * n_sequences * n_pages * kAscendPageTokens);
  scratch(Scratch::kHidden, 2 * n_sequences * n_pages * kAscendPageTokens);
  scratch(Scratch::kZeros, 2 * c.n_heads);
  scratch(Scratch::kShift, 2 * n_sequences * c.n_heads * n_pages * kAscendPageTokens);
  iota(n_pages * kAscendPageTokens);
  causal_mask();
  if (weights_.form_of(weights_.source(model.head)) != ascend::WeightForm::kFloat &&
      c.vocab > ascend::kMaxQuantisedWidth && n_outputs > 1)
    scratch(Scratch::kHeadPart, 2 * n_outputs * ascend::kMaxQuantisedWidth);
}

void AscendOps::embed(WeightId table, const TensorView& token_ids, const TensorView& out) {
  // A step begins: what the temporaries of the one before held is nobody's any more.
  has_rotation_ = has_attention_ = false;
  moved_.clear();
  pending_.reset();
  const WeightSource& source = weights_.source(table);
  CHECK(source.n_cols() == out.n_cols() && token_ids.shape.n_elements() == out.n_rows(),
        "embed {} ids from {} into {}", token_ids.shape.n_elements(), source.shape().to_string(),
        out.shape.to_string());
  call<AclnnOp::kEmbedding>(numbers(weights_.numbers(table), {source.n_rows(), source.n_cols()}), token_ids,
                            out);
}

void AscendOps::gather_rows(const TensorView& x, const TensorView& rows, const TensorView& out) {
  CHECK(out.n_cols() == x.n_cols() && out.n_rows() == rows.shape.n_elements(), "gather {} rows into {}",
        rows.shape.n_elements(), out.shape.to_string());
  const TensorView from = located(x);
  overwritten(out);
  call<AclnnOp::kIndexSelect>(from, int64_t{0}, rows, out);
}

void AscendOps::argmax_rows(const TensorView& logits, const TensorView& best, const TensorView& largest) {
  const TensorView from = located(logits);
  overwritten(best);
  overwritten(largest);
  call<AclnnOp::kMaxDim>(from, int64_t{1}, false, largest, best);
}

}  // namespace chaski
