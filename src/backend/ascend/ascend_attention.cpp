// Attention over the paged cache. Sequences with one row in the step share a call: their lengths are all
// given as the bucket's, and what the device adds to the scores hides what lies beyond, so that nothing the
// host says changes from token to token. A sequence with several rows has a call of its own with its true
// lengths.
#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/ascend/ascend_ops.h"

namespace chaski {

using ascend::Scratch;

namespace {

constexpr int64_t kMaskSide = 2048;  // of the causal mask that FusedInferAttentionScore wants
constexpr int64_t kRightDownCausal = 3;
constexpr int64_t kAnyDistance = std::numeric_limits<int32_t>::max();
constexpr int64_t kPage = kAscendPageTokens;
constexpr float kHide = -10000;       // finite, or a sum with it might be none; softmax makes 0 of it
constexpr uintptr_t kAlignment = 32;  // of a tensor's data

int64_t pages_of(int64_t n_tokens) { return (n_tokens + kPage - 1) / kPage; }
bool is_aligned(const void* data) { return reinterpret_cast<uintptr_t>(data) % kAlignment == 0; }

TensorArg int_matrix(const void* data, int64_t rows, int64_t cols, int64_t stride) {
  TensorArg all(const_cast<void*>(data), acl::DataType::kInt32, {rows, cols});
  all.strides[0] = rows == 1 ? cols : stride;
  return all;
}

}  // namespace

int64_t AscendOps::context_bucket(int64_t n_context) const {
  return (n_context + kAscendBucketTokens - 1) / kAscendBucketTokens * kAscendBucketTokens;
}

/// Which calls the step's rows take.
void AscendOps::plan_attention(const StepInputs& in, int64_t n_pages) {
  calls_.clear();
  const int64_t most = in.page_table.n_cols() * kPage;
  const auto decode = [&](int64_t first_row, int64_t first_sequence, int64_t n, int64_t n_context) {
    const int64_t length = std::min(context_bucket(n_context), most);
    // The operator wants a cache of as many pages as its sequences' lengths say, whoever shares them.
    const int64_t n_together = std::max<int64_t>(1, n_pages / pages_of(length));
    for (int64_t done = 0; done < n; done += n_together) {
      AttentionCall one;
      one.first_row = first_row + done;
      one.first_sequence = first_sequence + done;
      one.n_rows = one.n_sequences = std::min(n_together, n - done);
      one.is_decode = true;
      one.kv_lengths.assign(static_cast<size_t>(one.n_sequences), length);
      calls_.push_back(std::move(one));
    }
  };
  if (in.phase == Phase::kDecode) return decode(0, 0, in.n_rows, in.context_bucket);
  CHECK(in.sequences != nullptr, "the lengths of the sequences of a step of {} are not known",
        name_of(in.phase));
  const std::vector<SequenceSpan>& all = *in.sequences;
  for (size_t i = 0; i < all.size();) {
    size_t end = i;
    int64_t longest = 0;
    for (; end < all.size() && all[end].n_rows == 1; ++end) longest = std::max(longest, all[end].n_context);
    const auto sequence = static_cast<int64_t>(i);
    if (end > i) {
      decode(all[i].first_row, sequence, static_cast<int64_t>(end - i), longest);
      i = end;
      continue;
    }
    AttentionCall one;
    one.first_row = all[i].first_row;
    one.n_rows = all[i].n_rows;
    one.first_sequence = sequence;
    one.n_sequences = 1;
    one.query_lengths = {all[i].n_rows};
    one.kv_lengths = {all[i].n_context};
    calls_.push_back(std::move(one));
    ++i;
  }
}

/// Each call's part of the page table, as a matrix without gaps at an aligned address.
void AscendOps::prepare_pages(const StepInputs& in) {
  const int64_t width = in.page_table.n_cols(), n_sequences = in.n_sequences;
  const auto* table = static_cast<const std::byte*>(in.page_table.data);
  int64_t stride = width;
  const bool all_aligned = std::all_of(calls_.begin(), calls_.end(), [&](const AttentionCall& one) {
    return is_aligned(table + 4 * one.first_sequence * width);
  });
  if (!all_aligned) {  // rows of multiples of 8 numbers
    stride = (width + 7) / 8 * 8;
    std::byte* wide = scratch(Scratch::kPageTable, 4 * n_sequences * stride);
    call<AclnnOp::kInplaceCopy>(int_matrix(wide, n_sequences, width, stride),
                                int_matrix(table, n_sequences, width, width));
    table = wide;
  }
  int64_t used = 0;
  std::byte* apart = scratch(Scratch::kPages, 4 * n_sequences * width + 64 * n_sequences);
  for (AttentionCall& one : calls_) {
    const int64_t n_pages = pages_of(*std::max_element(one.kv_lengths.begin(), one.kv_lengths.end()));
    const TensorArg from =
        int_matrix(table + 4 * one.first_sequence * stride, one.n_sequences, n_pages, stride);
    one.pages = from;
    if (from.is_contiguous()) continue;
    one.pages = TensorArg(apart + used, acl::DataType::kInt32, {one.n_sequences, n_pages});
    call<AclnnOp::kInplaceCopy>(one.pages, from);
    used += (4 * one.n_sequences * n_pages + 63) / 64 * 64;
  }
}

void* AscendOps::iota(int64_t n) {
  std::byte* numbers_at = scratch(Scratch::kIota, 4 * n);
  if (iota_size_ < n) {
    CHECK(!is_capturing_, "{} numbers are made while a step is captured", n);
    std::vector<int32_t> values(static_cast<size_t>(n));
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<int32_t>(i);
    memory_.copy_in(numbers_at, values.data(), values.size() * 4);
    iota_size_ = n;
  }
  return numbers_at;
}

void* AscendOps::causal_mask() {
  std::byte* mask = scratch(Scratch::kCausalMask, kMaskSide * kMaskSide);
  if (!has_causal_mask_) {
    std::vector<uint8_t> values(static_cast<size_t>(kMaskSide * kMaskSide));
    for (int64_t r = 0; r < kMaskSide; ++r)
      std::fill(values.begin() + r * kMaskSide + r + 1, values.begin() + (r + 1) * kMaskSide, uint8_t{1});
    memory_.copy_in(mask, values.data(), values.size());
    has_causal_mask_ = true;
  }
  return mask;
}

/// Rows that decode see the places up to their own position: kHide is added to the scores of the others. A
/// mask would say the same, but cards have been seen to misread one of a single query beyond 512 places.
void AscendOps::prepare_masks(const StepInputs& in, int64_t n_heads) {
  // A mask begins at a row whose position is at an aligned address, which may be some rows before the call's.
  const auto begin_of = [](const AttentionCall& one) { return one.first_row / 8 * 8; };
  int64_t n_places = 0, n_masked = 0, n_hidden = 0;
  for (AttentionCall& one : calls_) {
    if (!one.is_decode) {
      one.mask = TensorArg(causal_mask(), acl::DataType::kBool, {kMaskSide, kMaskSide});
      continue;
    }
    n_places = std::max(n_places, one.kv_lengths[0]);
    n_masked += (one.first_row + one.n_rows - begin_of(one)) * one.kv_lengths[0];
    n_hidden += one.n_rows * one.kv_lengths[0];
  }
  if (n_places == 0) return;
  void* places = iota(n_places);
  std::byte* masks = scratch(Scratch::kContextMask, n_masked);
  std::byte* hidden = scratch(Scratch::kHidden, 2 * n_hidden);
  std::byte* shifts = scratch(Scratch::kShift, 2 * n_hidden * n_heads);
  const TensorArg zeros = numbers(scratch(Scratch::kZeros, 2 * n_heads), {1, n_heads, 1, 1});
  for (AttentionCall& one : calls_) {
    if (!one.is_decode) continue;
    const int64_t n = one.kv_lengths[0], begin = begin_of(one), rows = one.first_row + one.n_rows - begin;
    const auto* positions = static_cast<const std::byte*>(in.positions.data) + 4 * begin;
    call<AclnnOp::kGtTensor>(TensorArg(places, acl::DataType::kInt32, {1, n}),
                             int_matrix(positions, rows, 1, 1),
                             TensorArg(masks, acl::DataType::kBool, {rows, n}));
    const TensorArg as_numbers = numbers(hidden, {one.n_rows, 1, 1, n});
    call<AclnnOp::kInplaceCopy>(as_numbers, TensorArg(masks + (one.first_row - begin) * n,
                                                      acl::DataType::kBool, {one.n_rows, 1, 1, n}));
    one.shift = numbers(shifts, {one.n_rows, n_heads, 1, n});
    call<AclnnOp::kAdd>(zeros, as_numbers, ScalarArg{kHide}, one.shift);
    masks += rows * n;
    hidden += 2 * one.n_rows * n;
    shifts += 2 * one.n_rows * n_heads * n;
  }
}

void AscendOps::prepare_attention(const StepInputs& in, int64_t n_pages, int64_t n_heads) {
  if (has_attention_) return;
  plan_attention(in, n_pages);
  prepare_pages(in);
  prepare_masks(in, n_heads);
  has_attention_ = true;
}

void AscendOps::attend(const AttentionCall& one, const TensorArg& q, const TensorArg& k, const TensorArg& v,
                       const TensorArg& out, const AttentionHeads& heads) {
  call<AclnnOp::kFusedInferAttentionScoreV2>(
      q, k, v, one.shift, one.mask, IntsArg(one.query_lengths), IntsArg(one.kv_lengths),
      /*dequant_scale1=*/nullptr, /*quant_scale1=*/nullptr, /*dequant_scale2=*/nullptr,
      /*quant_scale2=*/nullptr, /*quant_offset2=*/nullptr, /*antiquant_scale=*/nullptr,
      /*antiquant_offset=*/nullptr, one.pages, /*query_padding=*/nullptr, /*kv_padding=*/nullptr,
      /*key_antiquant_scale=*/nullptr, /*key_antiquant_offset=*/nullptr, /*value_antiquant_scale=*/nullptr,
      /*value_antiquant_offset=*/nullptr, /*key_prefix=*/nullptr, /*value_prefix=*/nullptr,
      /*prefix_length=*/nullptr, heads.n_heads, 1.0 / std::sqrt(static_cast<double>(heads.head_dim)),
      /*pre_tokens=*/kAnyDistance, /*next_tokens=*/kAnyDistance, "BSH", heads.n_kv_heads,
      /*sparse_mode=*/one.is_decode ? int64_t{0} : kRightDownCausal, /*inner_precise=*/int64_t{0},
      /*block_size=*/kPage, /*antiquant_mode=*/int64_t{0}, /*has_lse=*/false,
      /*key_antiquant_mode=*/int64_t{0}, /*value_antiquant_mode=*/int64_t{0}, out, /*lse=*/nullptr);
}

void AscendOps::attention(const TensorView& q, const StepInputs& in, const KvLayer& kv,
                          const TensorView& out) {
  check_layout(kv);
  const KvLayout& l = *kv.layout;
  const int64_t width = q.n_cols(), kv_width = int64_t{l.n_kv_heads} * l.head_dim;
  prepare_attention(in, kv.n_pages, width / l.head_dim);
  const TensorView from = located(q);
  overwritten(out);
  const TensorArg k = numbers(kv.k, {kv.n_pages, kPage, kv_width});
  const TensorArg v = numbers(kv.v, {kv.n_pages, kPage, kv_width});
  const AttentionHeads heads{width / l.head_dim, l.n_kv_heads, l.head_dim};
  for (const AttentionCall& one : calls_) {
    const int64_t n_queries = one.n_rows / one.n_sequences;
    const auto rows = [&](const TensorView& view) {
      return numbers(static_cast<const std::byte*>(view.data) + 2 * one.first_row * width,
                     {one.n_sequences, n_queries, width});
    };
    attend(one, rows(from), k, v, rows(out), heads);
  }
}

}  // namespace chaski
