// The attention's input: q, k and v of the rows, q and k rotated as one tensor of heads, k and v put into the
// cache.
#include <array>
#include <utility>

#include "backend/ascend/ascend_ops.h"

namespace chaski {

using ascend::DeviceMatrix;
using ascend::Scratch;

void AscendOps::upload_rotary_tables(const TensorView& rope) {
  CHECK(rope.dtype == DType::kF32 && rope.shape.rank() == 2, "a rotary table {}", rope.shape.to_string());
  const int64_t n = rope.n_rows(), dim = rope.n_cols(), half = dim / 2;
  std::vector<float> both(static_cast<size_t>(n * dim)), wide(both.size());
  memory_.copy_out(both.data(), rope.data, both.size() * 4);
  RotaryTables& tables =
      rotary_tables_[rope.data];  // those of a model before it at that place are written over
  tables.n_positions = n;
  std::vector<std::byte> rounded(static_cast<size_t>(2 * n * dim));
  for (const bool is_sine : {false, true}) {
    const int64_t from = is_sine ? half : 0;
    for (int64_t p = 0; p < n; ++p) {
      for (int64_t d = 0; d < dim; ++d) {
        wide[static_cast<size_t>(p * dim + d)] = both[static_cast<size_t>(p * dim + from + d % half)];
      }
    }
    format_of(activations_).quantize_row(wide.data(), rounded.data(), n * dim);
    Buffer& table = is_sine ? tables.sin : tables.cos;
    if (!table || table.bytes() < rounded.size())
      table = memory_.allocate(rounded.size(), "the rotary tables");
    memory_.copy_in(table.data(), rounded.data(), rounded.size());
  }
}

const AscendOps::RotaryTables& AscendOps::rotary_tables(const TensorView& rope) {
  const auto it = rotary_tables_.find(rope.data);
  if (it != rotary_tables_.end() && it->second.n_positions == rope.n_rows()) return it->second;
  CHECK(!is_capturing_, "rotary tables are made while a step is captured");
  upload_rotary_tables(rope);
  return rotary_tables_.at(rope.data);
}

/// Cosines and sines of a step's rows. A single row's are one line for all its heads; of several rows each
/// head has its own line, in the order of the heads: q's of all rows, then k's.
void AscendOps::prepare_rotation(const StepInputs& in, int64_t n_heads, int64_t n_kv_heads) {
  if (has_rotation_) return;
  const RotaryTables& tables = rotary_tables(in.rope);
  const int64_t n = in.n_rows, dim = in.rope.n_cols();
  const TensorArg positions = TensorView{in.positions.data, DType::kI32, {n}};
  const int64_t n_lines = n == 1 ? 1 : n * (n_heads + n_kv_heads);
  std::byte* cos = scratch(Scratch::kCos, 2 * n_lines * dim);
  std::byte* sin = scratch(Scratch::kSin, 2 * n_lines * dim);
  const auto gather = [&](const TensorArg& index, int64_t first) {
    const int64_t n_picked = index.dims[0];
    for (const auto& [table, to] : {std::pair{tables.cos.data(), cos}, std::pair{tables.sin.data(), sin}}) {
      call<AclnnOp::kIndexSelect>(numbers(table, {tables.n_positions, dim}), int64_t{0}, index,
                                  numbers(to + 2 * first * dim, {n_picked, dim}));
    }
  };
  has_rotation_ = true;
  if (n == 1) return gather(positions, 0);
  int64_t first = 0;
  for (const int64_t heads :
       {n_heads, n_kv_heads}) {  // one after the other in the same place, in stream order
    const TensorArg index(scratch(Scratch::kRotaryIndex, 4 * n * n_heads), acl::DataType::kInt32,
                          {n * heads});
    call<AclnnOp::kInplaceCopy>(index.reshaped({n, heads}), positions.reshaped({n, 1}));
    gather(index, first);
    first += n * heads;
  }
}

void AscendOps::rotate(const std::byte* from, std::byte* to, const StepInputs& in, int64_t first_head,
                       int64_t n_heads) {
  const int64_t dim = in.rope.n_cols();
  const bool is_single = in.n_rows == 1;
  const auto angles = [&](Scratch purpose) {
    const std::byte* lines = scratch_.at(purpose);
    return is_single ? numbers(lines, {1, 1, 1, dim})
                     : numbers(lines + 2 * first_head * dim, {1, n_heads, 1, dim});
  };
  const auto heads = [&](const std::byte* data) {
    return is_single ? numbers(data, {1, 1, n_heads, dim}) : numbers(data, {1, n_heads, 1, dim});
  };
  call<AclnnOp::kRotaryPositionEmbedding>(heads(from), angles(Scratch::kCos), angles(Scratch::kSin),
                                          int64_t{0}, heads(to));
}

void AscendOps::check_layout(const KvLayer& kv) const {
  const KvLayout& l = *kv.layout;
  const int64_t width = int64_t{l.n_kv_heads} * l.head_dim;
  const KvLayout::Strides expected{l.page_tokens * width, width, l.head_dim, 1};
  const auto is_expected = [&](const KvLayout::Strides& s) {
    return s.page == expected.page && s.token == expected.token && s.head == expected.head && s.dim == 1;
  };
  CHECK(l.dtype == activations_ && l.page_tokens == kAscendPageTokens && is_expected(l.k) && is_expected(l.v),
        "a cache of {} in pages of {} that is not this device's", name_of(l.dtype), l.page_tokens);
}

void AscendOps::append(const std::byte* rows, void* cache, const StepInputs& in, const KvLayer& kv) {
  const KvLayout& l = *kv.layout;
  const int64_t width = int64_t{l.n_kv_heads} * l.head_dim;
  call<AclnnOp::kInplaceIndexCopy>(numbers(cache, {int64_t{kv.n_pages} * l.page_tokens, width}), int64_t{0},
                                   in.slots, numbers(rows, {in.n_rows, width}));
}

void AscendOps::norm_qkv_rope_append(const TensorView& x, const QkvWeights& w, float eps,
                                     const StepInputs& in, const KvLayer& kv, const TensorView& q,
                                     Workspace&) {
  check_layout(kv);
  const int64_t n = x.n_rows(), q_width = q.n_cols();
  const int64_t kv_width = int64_t{kv.layout->n_kv_heads} * kv.layout->head_dim;
  const int64_t n_heads = q_width / kv.layout->head_dim, n_kv_heads = kv.layout->n_kv_heads;
  prepare_rotation(in, n_heads, n_kv_heads);
  const TensorView y = normed(x, w.norm, eps);
  std::byte* all = scratch(Scratch::kProjected, 2 * n * (q_width + 2 * kv_width));
  std::byte* k = all + 2 * n * q_width;
  std::byte* v = k + 2 * n * kv_width;
  const std::optional<DeviceMatrix> qkv = weights_.joined(std::array{w.q, w.k, w.v});
  const auto rows = [&](std::byte* data, int64_t width) {
    return TensorView{data, activations_, {n, width}};
  };
  if (n == 1 && qkv) {
    multiply(y, *qkv, rows(all, q_width + 2 * kv_width));
  } else {
    multiply(y, weights_.matrix(w.q), rows(all, q_width));
    multiply(y, weights_.matrix(w.k), rows(k, kv_width));
    multiply(y, weights_.matrix(w.v), rows(v, kv_width));
  }
  overwritten(q);
  vacate(Scratch::kRotated);
  std::byte* rotated = scratch(Scratch::kRotated, 2 * n * (q_width + kv_width));
  rotate(all, rotated, in, 0, n * (n_heads + n_kv_heads));
  moved_.push_back({q, rotated});
  append(rotated + 2 * n * q_width, kv.k, in, kv);
  append(v, kv.v, in, kv);
}

void AscendOps::rope_append(const TensorView& q, const TensorView& k, const TensorView& v,
                            const StepInputs& in, const KvLayer& kv) {
  check_layout(kv);
  const int64_t n = in.n_rows, dim = kv.layout->head_dim, n_kv_heads = kv.layout->n_kv_heads;
  const int64_t q_heads = n * (q.n_cols() / dim), k_heads = n * n_kv_heads;
  prepare_rotation(in, q.n_cols() / dim, n_kv_heads);
  const TensorView q_now = located(q), k_now = located(k), v_now = located(v);
  std::byte* to = scratch(Scratch::kRotated, 2 * (q_heads + k_heads) * dim);
  if (q_now.data == to) {  // rotated before, and once more
    settle(q.data, q.bytes());
    return rope_append(q, k, v, in, kv);
  }
  vacate(Scratch::kRotated);
  rotate(static_cast<const std::byte*>(q_now.data), to, in, 0, q_heads);
  rotate(static_cast<const std::byte*>(k_now.data), to + 2 * q_heads * dim, in, q_heads, k_heads);
  overwritten(q);
  moved_.push_back({q, to});
  append(to + 2 * q_heads * dim, kv.k, in, kv);
  append(static_cast<const std::byte*>(v_now.data), kv.v, in, kv);
}

}  // namespace chaski
