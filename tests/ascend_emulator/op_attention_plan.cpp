// The first phase of FusedInferAttentionScoreV2: what the documents and the tiling of the 910B allow, for f16
// and bf16 without quantisation, position bias, padding or prefix, which the emulator does not model.
#include <algorithm>
#include <string>

#include "op_attention.h"
#include "op_support.h"

namespace ascend_emulator::op {
namespace {

constexpr int64_t kUnlimited = 2147483647;
constexpr Dtypes kMasks = {DataType::kBool, DataType::kInt8, DataType::kUint8};
constexpr Dtypes kTables = {DataType::kInt32};
constexpr Dtypes kLogSums = {DataType::kFloat};

// Batch, tokens, heads and elements of a head of a query or key of any layout.
struct Shape {
  int64_t batch = 0, tokens = 0, heads = 0, width = 0;
};

Shape shape_of(const Call& call, const View& view, const char* argument, const std::string& layout,
               int64_t heads) {
  const int64_t rank = layout == "BSH" ? 3 : 4;
  call.tiling(view.rank() == rank, argument, " is ", view.describe(), "; expected ", rank, " dimensions in ",
              layout);
  const Dims& dims = view.dims;
  if (layout == "BSH") {
    call.tiling(dims[2] % heads == 0, argument, " is ", view.describe(), "; expected H to be a multiple of ",
                heads, " heads");
    return {dims[0], dims[1], heads, dims[2] / heads};
  }
  const size_t at = layout == "BSND" ? 2 : 1;
  call.tiling(dims[at] == heads, argument, " is ", view.describe(), "; expected ", heads, " heads in ",
              layout);
  return {dims[0], dims[3 - at], heads, dims[3]};
}

void check_heads(const Call& call, const Attention& attention, const std::string& layout) {
  const int64_t n = attention.n_heads, n_kv = attention.n_kv_heads, d = attention.head_dim;
  call.tiling(n % n_kv == 0 && n / n_kv <= 64, "numHeads is ", n, " and numKeyValueHeads ", n_kv,
              "; expected a whole ratio up to 64");
  call.tiling(n <= 256, "numHeads is ", n, "; expected at most 256");
  call.tiling(attention.batch <= 65536, "B is ", attention.batch, "; expected at most 65536");
  call.tiling(d >= 16 && d <= 512 && d % 16 == 0, "D is ", d, "; expected a multiple of 16 up to 512");
  const bool is_token_major = layout == "BSH" || layout == "BSND";
  call.tiling(attention.n_queries == 1 || !is_token_major || n * d < 65535, "N·D is ", n * d,
              "; expected less than 65535 in ", layout);
  call.tiling(layout != "BNSD_BSND" || attention.n_queries > 1, "layout BNSD_BSND; expected Q_S above 1");
}

// The lengths of every sequence from an array of one or of at least B; `length` where there is none.
std::vector<int64_t> lengths_of(const Call& call, const aclIntArray* array, const char* argument,
                                int64_t batch, int64_t length) {
  if (array == nullptr) return std::vector<int64_t>(static_cast<size_t>(batch), length);
  std::vector<int64_t> lengths = values_of(array, argument);
  const auto size = static_cast<int64_t>(lengths.size());
  call.tiling(size == 1 || size >= batch, argument, " has ", size, " values; expected 1 or at least ", batch);
  lengths.resize(static_cast<size_t>(batch), lengths[0]);
  for (const int64_t value : lengths) {
    call.tiling(value >= 0 && value <= length, argument, " holds ", value, "; expected 0 to ", length);
  }
  return lengths;
}

// Keys and values without a block table: one tensor of all sequences or one tensor a sequence.
void check_dense_cache(const Call& call, Attention* attention, const std::string& layout,
                       const aclIntArray* kv_lengths) {
  const std::string kv_layout = layout == "BNSD_BSND" ? "BNSD" : layout;
  const auto n = static_cast<int64_t>(attention->keys.size());
  call.tiling(n == 1 || (n == attention->batch && n <= 256), "key has ", n,
              " tensors; expected 1 or one for each of ", attention->batch, " sequences");
  int64_t longest = 0;
  for (const View& key : attention->keys) {
    const Shape shape = shape_of(call, key, "key", kv_layout, attention->n_kv_heads);
    call.tiling(shape.batch == (n == 1 ? attention->batch : 1), "key is ", key.describe(), "; expected B of ",
                n == 1 ? attention->batch : 1);
    call.tiling(shape.width == attention->head_dim, "key is ", key.describe(), "; expected D of ",
                attention->head_dim);
    longest = std::max(longest, shape.tokens);
  }
  attention->is_cache_head_major = kv_layout == "BNSD";
  attention->kv_lengths = lengths_of(call, kv_lengths, "actualSeqLengthsKv", attention->batch, longest);
  if (kv_lengths == nullptr || n == 1) {
    if (n == 1) return;
    for (size_t i = 0; i < attention->keys.size(); ++i)
      attention->kv_lengths[i] =
          shape_of(call, attention->keys[i], "key", kv_layout, attention->n_kv_heads).tokens;
    return;
  }
  for (size_t i = 0; i < attention->keys.size(); ++i) {
    const int64_t tokens = shape_of(call, attention->keys[i], "key", kv_layout, attention->n_kv_heads).tokens;
    call.tiling(attention->kv_lengths[i] <= tokens, "actualSeqLengthsKv[", i, "] is ",
                attention->kv_lengths[i], "; expected at most ", tokens);
  }
}

// Keys and values in blocks: [blocks, block, heads · D], or [blocks, heads, block, D] with queries in BNSD.
void check_paged_cache(const Call& call, Attention* attention, const std::string& layout,
                       const aclIntArray* kv_lengths) {
  const View& key = attention->keys[0];
  const View& table = attention->block_table[0];
  const int64_t size = attention->block_size, step = attention->n_queries == 1 ? 16 : 128;
  const int64_t n_kv = attention->n_kv_heads, d = attention->head_dim;
  call.tiling(attention->keys.size() == 1, "key has ", attention->keys.size(),
              " tensors; expected 1 with a block table");
  call.tiling(size > 0 && size <= 512 && size % step == 0, "blockSize is ", size, "; expected a multiple of ",
              step, " up to 512");
  attention->is_cache_head_major = key.rank() == 4;
  if (key.rank() == 4) {
    call.tiling(layout == "BNSD" || layout == "BNSD_BSND", "key is ", key.describe(), " with queries in ",
                layout, "; expected BNSD");
    call.same_dims(key, "key", {key.dims[0], n_kv, size, d}, kNnTiling);
  } else {
    call.tiling(key.rank() == 3, "key is ", key.describe(), "; expected 3 or 4 dimensions");
    call.same_dims(key, "key", {key.dims[0], size, n_kv * d}, kNnTiling);
    call.tiling(n_kv * d <= 65535, "kv heads · D is ", n_kv * d,
                "; expected at most 65535 in blocks of tokens");
  }
  call.tiling(table.rank() == 2 && table.dims[0] == attention->batch, "blockTable is ", table.describe(),
              "; expected [", attention->batch, ", blocks]");
  call.tiling(kv_lengths != nullptr, "actualSeqLengthsKv is null; expected it with a block table");
  attention->kv_lengths =
      lengths_of(call, kv_lengths, "actualSeqLengthsKv", attention->batch, table.dims[1] * size);
  const auto n_lengths = static_cast<int64_t>(values_of(kv_lengths, "actualSeqLengthsKv").size());
  call.tiling(attention->n_queries == 1 || n_lengths == attention->batch, "actualSeqLengthsKv has ",
              n_lengths, " values; expected ", attention->batch);
  int64_t blocks = 0;
  for (const int64_t length : attention->kv_lengths) blocks += (length + size - 1) / size;
  call.tiling(key.dims[0] >= blocks, "key is ", key.describe(), "; expected at least ", blocks,
              " blocks, the sum over all sequences");
}

// What is added to the scaled scores: [1 or B, heads, Q_S, S], one for every place that the cache has.
void check_shift(const Call& call, const Attention& attention) {
  const View& shift = attention.shift[0];
  const int64_t longest = attention.block_size > 0
                              ? attention.block_table[0].dims[1] * attention.block_size
                              : *std::max_element(attention.kv_lengths.begin(), attention.kv_lengths.end());
  const bool fits = shift.rank() == 4 && (shift.dims[0] == 1 || shift.dims[0] == attention.batch) &&
                    shift.dims[1] == attention.n_heads && shift.dims[2] == attention.n_queries &&
                    shift.dims[3] >= longest;
  call.tiling(fits, "pseShift is ", shift.describe(), "; expected [1 or ", attention.batch, ", ",
              attention.n_heads, ", ", attention.n_queries, ", S] with S of at least ", longest);
}

// The mask of one query a sequence: sparse modes do not apply.
void check_decode_mask(const Call& call, const Attention& attention, int64_t sparse_mode) {
  if (attention.mask.empty()) return;
  const View& mask = attention.mask[0];
  call.tiling(sparse_mode == 0 || sparse_mode == 1, "sparseMode is ", sparse_mode,
              " with Q_S = 1 and a mask; expected 0");
  const int64_t longest = attention.block_size > 0
                              ? attention.block_table[0].dims[1] * attention.block_size
                              : *std::max_element(attention.kv_lengths.begin(), attention.kv_lengths.end());
  const bool fits = mask.rank() >= 2 && mask.rank() <= 4 && mask.dims[0] == attention.batch &&
                    product(mask.dims, 1, mask.rank() - 1) == 1 && mask.dims.back() >= longest;
  call.tiling(fits, "attenMask is ", mask.describe(), "; expected [", attention.batch,
              ", 1, 1, S] with S of at least ", longest);
}

void check_prefill_mask(const Call& call, Attention* attention, int64_t sparse_mode, int64_t before,
                        int64_t after) {
  call.tiling(sparse_mode >= 0 && sparse_mode <= 3, "sparseMode is ", sparse_mode,
              "; expected 0 to 3 (the emulator does not model 4)");
  const bool has_mask = !attention->mask.empty();
  call.tiling(sparse_mode == 0 || has_mask, "attenMask is null with sparseMode ", sparse_mode,
              "; expected a mask");
  if (!has_mask) return;
  const View& mask = attention->mask[0];
  call.tiling(mask.rank() >= 2 && mask.rank() <= 4, "attenMask is ", mask.describe(),
              "; expected 2 to 4 dimensions");
  const int64_t height = mask.dims[mask.dims.size() - 2], width = mask.dims.back();
  if (sparse_mode >= 2) {
    call.tiling(height == 2048 && width == 2048 && mask.numel() == 2048 * 2048, "attenMask is ",
                mask.describe(), " with sparseMode ", sparse_mode, "; expected [2048, 2048]");
    attention->sight = sparse_mode == 2 ? Sight::kLeftUp : Sight::kRightDown;
    return;
  }
  int64_t longest = 0;
  for (const int64_t length : attention->kv_lengths) longest = std::max(longest, length);
  if (attention->block_size > 0) {
    longest = (longest + attention->block_size - 1) / attention->block_size * attention->block_size;
  } else {
    longest = attention->keys[0].dims[attention->is_cache_head_major ? 2 : 1];
  }
  const int64_t batch = mask.rank() == 2 ? 1 : mask.dims[0];
  const bool fits = (batch == 1 || batch == attention->batch) && (mask.rank() < 4 || mask.dims[1] == 1) &&
                    height >= attention->n_queries && width >= longest;
  call.tiling(fits, "attenMask is ", mask.describe(), "; expected [1 or ", attention->batch, ", 1, Q_S ≥ ",
              attention->n_queries, ", KV_S ≥ ", longest, "]");
  if (sparse_mode == 0 && (before < kUnlimited || after < kUnlimited)) {
    attention->sight = Sight::kBand;
    attention->before = std::min(before, kUnlimited);
    attention->after = std::min(after, kUnlimited);
  }
}

// The caches' tensors: same dtypes as the query, dense, keys and values alike.
std::vector<View> read_cache(Call* call, const aclTensorList* list, const char* argument, DataType dtype) {
  if (list == nullptr) call->fail(kNnNullParam, text(argument, " is null"));
  const std::vector<View> views = views_of(list, argument);
  call->valid(!views.empty(), argument, " is an empty list");
  for (const View& view : views) {
    call->in(view, argument, kHalves);
    call->same_dtype(view, argument, dtype);
    call->must_be_contiguous(view, argument);
  }
  return views;
}

void check_out(const Call& call, const Attention& attention, const std::string& layout) {
  call.same_dtype(attention.out, "attentionOut", attention.query.dtype);
  call.must_be_contiguous(attention.out, "attentionOut");
  Dims expected = attention.query.dims;
  if (layout == "BNSD_BSND") std::swap(expected[1], expected[2]);
  call.same_dims(attention.out, "attentionOut", expected, kNnTiling);
}

}  // namespace

Plan FusedInferAttentionScoreV2::plan(
    const aclTensor* query, const aclTensorList* key, const aclTensorList* value, const aclTensor* pse_shift,
    const aclTensor* mask, const aclIntArray* query_lengths, const aclIntArray* kv_lengths,
    const aclTensor* dequant_scale1, const aclTensor* quant_scale1, const aclTensor* dequant_scale2,
    const aclTensor* quant_scale2, const aclTensor* quant_offset2, const aclTensor* antiquant_scale,
    const aclTensor* antiquant_offset, const aclTensor* block_table, const aclTensor* query_padding,
    const aclTensor* kv_padding, const aclTensor* key_antiquant_scale, const aclTensor* key_antiquant_offset,
    const aclTensor* value_antiquant_scale, const aclTensor* value_antiquant_offset,
    const aclTensor* key_prefix, const aclTensor* value_prefix, const aclIntArray* prefix_length,
    int64_t n_heads, double scale, int64_t pre_tokens, int64_t next_tokens, char* layout, int64_t n_kv_heads,
    int64_t sparse_mode, int64_t inner_precise, int64_t block_size, int64_t antiquant_mode, bool has_lse,
    int64_t key_antiquant_mode, int64_t value_antiquant_mode, const aclTensor* out, const aclTensor* lse) {
  Call call;
  Attention attention;
  attention.query = call.in(query, "query", kHalves);
  attention.keys = read_cache(&call, key, "key", attention.query.dtype);
  attention.values = read_cache(&call, value, "value", attention.query.dtype);
  attention.out = call.out(out, "attentionOut", kHalves);
  for (const auto* unused :
       {dequant_scale1, quant_scale1, dequant_scale2, quant_scale2, quant_offset2, antiquant_scale,
        antiquant_offset, query_padding, kv_padding, key_antiquant_scale, key_antiquant_offset,
        value_antiquant_scale, value_antiquant_offset, key_prefix, value_prefix}) {
    call.valid(unused == nullptr, "quantisation, padding or prefix: the emulator does not model them");
  }
  call.valid(prefix_length == nullptr, "actualSharedPrefixLen: the emulator does not model prefixes");
  call.tiling(antiquant_mode == 0 && key_antiquant_mode == 0 && value_antiquant_mode == 0,
              "antiquantMode: expected 0");
  call.valid(layout != nullptr, "inputLayout is null");
  const std::string order = layout;
  const bool is_known = order == "BSH" || order == "BSND" || order == "BNSD" || order == "BNSD_BSND";
  call.tiling(is_known, "inputLayout is ", order,
              "; expected BSH, BSND, BNSD or BNSD_BSND (the emulator does not model TND)");
  call.tiling(inner_precise >= 0 && inner_precise <= 3, "innerPrecise is ", inner_precise,
              "; expected 0 to 3");
  call.tiling(n_heads > 0 && n_kv_heads >= 0, "numHeads is ", n_heads, " and numKeyValueHeads ", n_kv_heads,
              "; expected some");
  call.must_be_contiguous(attention.query, "query");

  attention.n_heads = n_heads;
  attention.n_kv_heads = n_kv_heads == 0 ? n_heads : n_kv_heads;
  const Shape shape =
      shape_of(call, attention.query, "query", order == "BNSD_BSND" ? "BNSD" : order, n_heads);
  attention.batch = shape.batch;
  attention.n_queries = shape.tokens;
  attention.head_dim = shape.width;
  attention.is_query_head_major = order == "BNSD" || order == "BNSD_BSND";
  attention.is_out_head_major = order == "BNSD";
  check_heads(call, attention, order);
  check_out(call, attention, order);
  call.tiling(attention.keys.size() == attention.values.size(), "key has ", attention.keys.size(),
              " tensors, value ", attention.values.size());
  for (size_t i = 0; i < attention.keys.size(); ++i)
    call.same_dims(attention.values[i], "value", attention.keys[i].dims, kNnTiling);

  attention.query_lengths = lengths_of(call, attention.n_queries == 1 ? nullptr : query_lengths,
                                       "actualSeqLengths", attention.batch, attention.n_queries);
  if (block_table != nullptr) {
    attention.block_table.push_back(call.in(block_table, "blockTable", kTables));
    call.must_be_contiguous(attention.block_table[0], "blockTable");
    attention.block_size = block_size;
    check_paged_cache(call, &attention, order, kv_lengths);
  } else {
    check_dense_cache(call, &attention, order, kv_lengths);
  }
  if (pse_shift != nullptr) {
    attention.shift.push_back(call.in(pse_shift, "pseShift", kHalves));
    call.same_dtype(attention.shift[0], "pseShift", attention.query.dtype);
    call.must_be_contiguous(attention.shift[0], "pseShift");
    check_shift(call, attention);
  }
  if (mask != nullptr) {
    attention.mask.push_back(call.in(mask, "attenMask", kMasks));
    call.must_be_contiguous(attention.mask[0], "attenMask");
  }
  if (attention.n_queries == 1) {
    check_decode_mask(call, attention, sparse_mode);
  } else {
    check_prefill_mask(call, &attention, sparse_mode, pre_tokens, next_tokens);
  }
  if (has_lse) {
    attention.lse.push_back(call.out(lse, "softmaxLse", kLogSums));
    call.same_dims(attention.lse[0], "softmaxLse", {attention.batch, n_heads, attention.n_queries, 1},
                   kNnTiling);
    call.must_be_contiguous(attention.lse[0], "softmaxLse");
  }
  attention.scale = static_cast<float>(scale);
  attention.is_fast = inner_precise % 2 == 1 && attention.query.dtype == DataType::kFloat16;
  // Where queries can outnumber the keys they see, the operator turns the correction on by itself.
  attention.corrects_blind_rows = inner_precise >= 2 || attention.sight == Sight::kRightDown;
  return call.done([attention] { run_attention(attention); });
}

}  // namespace ascend_emulator::op
