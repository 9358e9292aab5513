// The arithmetic of FusedInferAttentionScoreV2: scores and softmax in f32, probabilities rounded to the type
// before P·V as the cube takes them, their sum not rounded. What a mask hides has probability 0 and still
// meets V: a NaN there shows, as 0 · NaN is NaN.
#include <algorithm>
#include <cmath>

#include "op_attention.h"
#include "op_math.h"
#include "op_support.h"

namespace ascend_emulator {
namespace {

constexpr int64_t kTriangle = 2048;  // rows and columns of the mask of the causal modes

// Where the elements of a sequence's tokens lie, for one kv head.
class TokenRows {
 public:
  TokenRows(const Attention& call, const std::vector<View>& cache, int64_t sequence, int64_t head)
      : call_(call), head_(head), block_(cache.size() > 1 ? 0 : sequence) {
    const View& view = cache[cache.size() > 1 ? static_cast<size_t>(sequence) : 0];
    base_ = view.data<std::byte>();
    bytes_ = call.head_dim * element_bytes(view.dtype);
    length_ = call.block_size > 0 ? call.block_size : view.dims[call.is_cache_head_major ? 2 : 1];
    if (call.block_size > 0) {
      table_ = call.block_table[0].data<int32_t>() + sequence * call.block_table[0].dims[1];
    }
  }
  const std::byte* row(int64_t token) const {
    const int64_t block = table_ == nullptr ? block_ : table_[token / length_];
    const int64_t slot = table_ == nullptr ? token : token % length_;
    const int64_t heads = call_.n_kv_heads;
    const int64_t row = call_.is_cache_head_major ? (block * heads + head_) * length_ + slot
                                                  : (block * length_ + slot) * heads + head_;
    return base_ + row * bytes_;
  }

 private:
  const Attention& call_;
  int64_t head_, block_, length_ = 0, bytes_ = 0;
  const std::byte* base_ = nullptr;
  const int32_t* table_ = nullptr;
};

// Elements before those of one query row and head.
int64_t query_offset(const Attention& call, bool is_head_major, int64_t sequence, int64_t row, int64_t head) {
  const int64_t s = call.n_queries, n = call.n_heads;
  return (is_head_major ? (sequence * n + head) * s + row : (sequence * s + row) * n + head) * call.head_dim;
}

void check_blocks(const Attention& call) {
  if (call.block_size == 0) return;
  const View& table = call.block_table[0];
  for (int64_t b = 0; b < call.batch; ++b) {
    const int64_t used = (call.kv_lengths[static_cast<size_t>(b)] + call.block_size - 1) / call.block_size;
    for (int64_t i = 0; i < used; ++i) {
      const int64_t at = b * table.dims[1] + i;
      index_in_range("blockTable", at, table.data<int32_t>()[at], call.keys[0].dims[0]);
    }
  }
}

// A causal mode takes for granted that its mask is the upper triangle; a full mask holds 0 and 1.
void check_mask(const Attention& call) {
  if (call.mask.empty()) return;
  const View& mask = call.mask[0];
  const auto* values = mask.data<uint8_t>();
  if (call.sight == Sight::kLeftUp || call.sight == Sight::kRightDown) {
    for (int64_t i = 0; i < kTriangle; ++i) {
      const uint8_t* row = values + i * kTriangle;
      const bool is_right = row[0] == (i < 0) && row[i] == 0 &&
                            (i + 1 == kTriangle || (row[i + 1] == 1 && row[kTriangle - 1] == 1));
      if (!is_right)
        throw OpError(
            kAicoreException,
            text("row ", i,
                 " of the mask is not that of an upper triangle, which the sparse mode takes for granted"));
    }
    return;
  }
  for (int64_t i = 0; i < mask.numel(); ++i) {
    if (values[i] > 1)
      throw OpError(kAicoreException,
                    text("the mask's element ", i, " is ", static_cast<int>(values[i]), "; expected 0 or 1"));
  }
}

// The mask tensor's row for a query, or null.
const uint8_t* mask_row(const Attention& call, int64_t sequence, int64_t row) {
  if (call.mask.empty() || call.sight == Sight::kLeftUp || call.sight == Sight::kRightDown) return nullptr;
  const View& mask = call.mask[0];
  const int64_t width = mask.dims.back();
  if (call.n_queries == 1) return mask.data<uint8_t>() + sequence * width;
  const int64_t height = mask.dims[mask.dims.size() - 2];
  const bool is_shared = mask.rank() == 2 || mask.dims[0] == 1;
  return mask.data<uint8_t>() + ((is_shared ? 0 : sequence) * height + row) * width;
}

struct Seen {
  int64_t first = 0, last = 0;  // of the tokens, both included
};

Seen seen_by(const Attention& call, int64_t sequence, int64_t row) {
  const int64_t n = call.kv_lengths[static_cast<size_t>(sequence)];
  switch (call.sight) {
    case Sight::kAll:
      break;
    case Sight::kBand:
      return {row - call.before, row + call.after};
    case Sight::kLeftUp:
      return {0, row};
    case Sight::kRightDown:
      return {0, row + n - call.query_lengths[static_cast<size_t>(sequence)]};
  }
  return {0, n - 1};
}

// Keys and values of one sequence and kv head: rows of `dtype`.
struct Context {
  DataType dtype = DataType::kFloat;
  std::vector<const void*> keys, values;
  std::vector<float> copies;
};

Context context_of(const Attention& call, int64_t sequence, int64_t head) {
  Context context;
  context.dtype = call.query.dtype;
  const int64_t n = call.kv_lengths[static_cast<size_t>(sequence)], d = call.head_dim;
  const TokenRows keys(call, call.keys, sequence, head), values(call, call.values, sequence, head);
  for (int64_t t = 0; t < n; ++t) {
    context.keys.push_back(keys.row(t));
    context.values.push_back(values.row(t));
  }
  if (call.n_queries == 1) return context;
  context.copies.resize(static_cast<size_t>(2 * n * d));
  float* to = context.copies.data();
  for (auto* rows : {&context.keys, &context.values}) {
    for (const void*& row : *rows) {
      load_row(context.dtype, row, d, to);
      row = to;
      to += d;
    }
  }
  context.dtype = DataType::kFloat;
  return context;
}

// What is added to a query's scores, or null.
const std::byte* shift_row(const Attention& call, int64_t sequence, int64_t row, int64_t head) {
  if (call.shift.empty()) return nullptr;
  const View& shift = call.shift[0];
  const int64_t of = ((shift.dims[0] == 1 ? 0 : sequence) * call.n_heads + head) * call.n_queries + row;
  return shift.data<std::byte>() + of * shift.dims[3] * element_bytes(shift.dtype);
}

// Scaled scores of one query against all tokens; those out of sight are −inf. Returns whether any is in
// sight.
bool score(const Attention& call, const Context& context, const float* query, int64_t sequence, int64_t row,
           int64_t head, std::vector<float>* scores) {
  const auto n = static_cast<int64_t>(context.keys.size());
  std::vector<float> shift(static_cast<size_t>(n), 0.0F);
  if (const std::byte* stored = shift_row(call, sequence, row, head))
    load_row(call.query.dtype, stored, n, shift.data());
  const uint8_t* mask = mask_row(call, sequence, row);
  const Seen seen = seen_by(call, sequence, row);
  bool sees = false;
  for (int64_t t = 0; t < n; t += 4) {
    const void* rows[4];
    float sums[8];
    for (int64_t j = 0; j < 4; ++j) rows[j] = context.keys[static_cast<size_t>(std::min(t + j, n - 1))];
    dot_tile(&query, 1, context.dtype, rows, call.head_dim, sums);
    for (int64_t j = 0; j < 4 && t + j < n; ++j) {
      const int64_t token = t + j;
      const bool is_hidden = token < seen.first || token > seen.last || (mask != nullptr && mask[token] != 0);
      const float scaled = sums[j] * call.scale + shift[static_cast<size_t>(token)];
      (*scores)[static_cast<size_t>(token)] = is_hidden      ? -std::numeric_limits<float>::infinity()
                                              : call.is_fast ? rounded_to(DataType::kFloat16, scaled)
                                                             : scaled;
      sees = sees || !is_hidden;
    }
  }
  return sees;
}

// Writes one row of the output and of the log-sum-exp.
void attend(const Attention& call, const Context& context, int64_t sequence, int64_t row, int64_t head) {
  const int64_t d = call.head_dim;
  const DataType dtype = call.query.dtype;
  std::vector<float> query(static_cast<size_t>(d)), sums(query.size(), 0.0F), value(query.size());
  std::vector<float> scores(context.keys.size());
  load_row(dtype,
           call.query.data<std::byte>() +
               query_offset(call, call.is_query_head_major, sequence, row, head) * element_bytes(dtype),
           d, query.data());
  const bool is_padding = row >= call.query_lengths[static_cast<size_t>(sequence)];
  const bool sees = !is_padding && score(call, context, query.data(), sequence, row, head, &scores);
  float largest = -std::numeric_limits<float>::infinity(), total = 0;
  if (sees) {
    for (const float s : scores) largest = s > largest ? s : largest;
    for (size_t t = 0; t < scores.size(); ++t) {
      const float weight = std::exp(scores[t] - largest);
      total += weight;
      const auto* values = static_cast<const float*>(context.values[t]);
      if (context.dtype != DataType::kFloat) {
        load_row(context.dtype, context.values[t], d, value.data());
        values = value.data();
      }
      add_scaled(rounded_to(dtype, weight), values, d, sums.data());
    }
    for (float& sum : sums) sum /= total;
  } else if (!is_padding && !scores.empty() && !call.corrects_blind_rows) {
    std::fill(sums.begin(), sums.end(), std::numeric_limits<float>::quiet_NaN());
  }
  store_row(dtype, sums.data(), d,
            call.out.data<std::byte>() +
                query_offset(call, call.is_out_head_major, sequence, row, head) * element_bytes(dtype));
  if (!call.lse.empty()) {
    const float sum = sees ? std::log(total) + largest : std::numeric_limits<float>::infinity();
    call.lse[0].data<float>()[(sequence * call.n_heads + head) * call.n_queries + row] = sum;
  }
}

}  // namespace

void run_attention(const Attention& call) {
  check_blocks(call);
  check_mask(call);
  const int64_t per_kv_head = call.n_heads / call.n_kv_heads;
  const int64_t longest =
      call.kv_lengths.empty() ? 0 : *std::max_element(call.kv_lengths.begin(), call.kv_lengths.end());
  const int64_t work = call.batch * call.n_heads * call.n_queries * longest * call.head_dim * 2;
  parallel_for(call.batch * call.n_kv_heads, 1, work, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t sequence = i / call.n_kv_heads, kv_head = i % call.n_kv_heads;
      const Context context = context_of(call, sequence, kv_head);
      for (int64_t head = kv_head * per_kv_head; head < (kv_head + 1) * per_kv_head; ++head) {
        for (int64_t row = 0; row < call.n_queries; ++row) attend(call, context, sequence, row, head);
      }
    }
  });
}

}  // namespace ascend_emulator
