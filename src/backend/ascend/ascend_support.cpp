// Which operators can be used on this device with these activations, found out by running each once, and so
// which ops it supports.
#include <algorithm>

#include "backend/ascend/acl_error.h"
#include "backend/ascend/ascend_ops.h"

namespace chaski {

using ascend::Scratch;

namespace {

constexpr int64_t kMostHeadDim = 512, kMostHeads = 256, kMostGroup = 64, kMostAttentionWidth = 65535;

std::vector<AclnnOp> operators_of_linear(const OpQuery& query, const ascend::QuantisedForms& forms) {
  const bool is_quantised = (query.weight == DType::kQ8_0 && forms.why_no_int8.empty()) ||
                            (query.weight == DType::kQ4_0 && forms.why_no_int4.empty());
  if (is_quantised) return {AclnnOp::kWeightQuantBatchMatmulV2, AclnnOp::kInplaceCopy};
  return {AclnnOp::kMm};
}

std::vector<AclnnOp> operators_of(const OpQuery& query, const ascend::QuantisedForms& forms) {
  using enum AclnnOp;
  const auto with_linear = [&](std::vector<AclnnOp> all) {
    const std::vector<AclnnOp> linear = operators_of_linear(query, forms);
    all.insert(all.end(), linear.begin(), linear.end());
    return all;
  };
  switch (query.kind) {
    case OpKind::kEmbed:
      return {kEmbedding};
    case OpKind::kRmsNorm:
      return {kRmsNorm};
    case OpKind::kLinear:
      return operators_of_linear(query, forms);
    case OpKind::kRopeAppend:
      return {kRotaryPositionEmbedding, kInplaceIndexCopy, kIndexSelect, kInplaceCopy};
    case OpKind::kAttention:
      return {kFusedInferAttentionScoreV2, kGtTensor, kInplaceCopy, kAdd};
    case OpKind::kSwiglu:
      return {kSwiGlu, kInplaceCopy};
    case OpKind::kAdd:
      return {kAdd};
    case OpKind::kGatherRows:
      return {kIndexSelect};
    case OpKind::kArgmaxRows:
      return {kMaxDim};
    case OpKind::kNormQkvRopeAppend:
      return with_linear({kRmsNorm, kRotaryPositionEmbedding, kInplaceIndexCopy, kIndexSelect, kInplaceCopy});
    case OpKind::kLinearAdd:  // the norm that follows does the addition
      return with_linear({kAdd, kAddRmsNorm});
    case OpKind::kNormGateUpSwiglu:
      return with_linear({kRmsNorm, kSwiGlu});
    case OpKind::kNormHead:
      return with_linear({kRmsNorm});
  }
  return {};
}

}  // namespace

OpSupport AscendOps::supports(const OpQuery& query) const {
  for (const AclnnOp op : operators_of(query, forms_)) {
    if (!fault_of(op).empty()) return {fault_of(op)};
  }
  const bool has_heads = query.kind == OpKind::kRopeAppend || query.kind == OpKind::kAttention ||
                         query.kind == OpKind::kNormQkvRopeAppend;
  if (has_heads && !heads_fault_.empty()) return {heads_fault_};
  if (query.kind == OpKind::kAttention && query.n_cols >= kMostAttentionWidth) {
    return {fmt::format("heads of {} numbers together; FusedInferAttentionScore takes fewer than {}",
                        query.n_cols, kMostAttentionWidth)};
  }
  return {};
}

void AscendOps::set_heads(const ModelConfig& c) {
  heads_fault_.clear();
  if (c.head_dim % 16 != 0 || c.head_dim > kMostHeadDim) {
    heads_fault_ = fmt::format("heads of {} numbers; FusedInferAttentionScore takes multiples of 16 up to {}",
                               c.head_dim, kMostHeadDim);
  } else if (c.n_heads > kMostHeads || c.n_heads / c.n_kv_heads > kMostGroup) {
    heads_fault_ = fmt::format("{} heads, {} to a key; FusedInferAttentionScore takes up to {}, {} to a key",
                               c.n_heads, c.n_heads / c.n_kv_heads, kMostHeads, kMostGroup);
  }
}

void AscendOps::set_activations(DType activations) {
  CHECK(activations == DType::kF16 || activations == DType::kBF16, "activations of {}", name_of(activations));
  if (weights_.size() > 0) {  // those of a second model, which are held as the first's are
    CHECK(activations == activations_, "activations of {} beside {}", name_of(activations),
          name_of(activations_));
    return;
  }
  if (is_tried_ && activations == activations_) return;
  activations_ = activations;
  is_tried_ = true;
  try_operators();
  weights_.configure(activations_, forms_);
}

template <typename Run>
std::string AscendOps::try_operator(AclnnOp op, Run&& run) {
  if (!context_.api().has(op)) return fmt::format("{} is not in this CANN", name_of(op));
  try {
    run();
  } catch (const AclError& error) {
    if (!is_refusal(error.status())) throw;
    return fmt::format("{} declines {}: {} ({}); {}", name_of(op), name_of(activations_), error.status(),
                       name_of_status(error.status()), error.hint());
  }
  return {};
}

void AscendOps::try_operators() {
  using enum AclnnOp;
  constexpr int64_t kDim = 64, kPage = kAscendPageTokens, kKeys = kPage * kDim;
  constexpr size_t kPart = size_t{64} << 10;  // of the trial's memory, for each operand
  const Buffer memory = memory_.allocate(8 * kPart, "a trial of the operators");
  const auto part = [&](size_t i) { return static_cast<std::byte*>(memory.data()) + i * kPart; };
  const auto of = [&](size_t i, std::initializer_list<int64_t> dims) { return numbers(part(i), dims); };
  const auto ints = [&](size_t i, std::initializer_list<int64_t> dims) {
    return TensorArg(part(i), acl::DataType::kInt32, dims);
  };
  const auto attempt = [&](AclnnOp op, auto&& run) {
    faults_[static_cast<size_t>(op)] = try_operator(op, run);
  };
  const TensorArg rstd(part(6), acl::DataType::kFloat, {1, 1});
  const TensorArg zero = ints(7, {1});  // never written
  attempt(kEmbedding, [&] { call<kEmbedding>(of(0, {4, kDim}), zero, of(1, {1, kDim})); });
  attempt(kIndexSelect, [&] { call<kIndexSelect>(of(0, {4, kDim}), int64_t{0}, zero, of(1, {1, kDim})); });
  attempt(kRmsNorm, [&] { call<kRmsNorm>(of(0, {1, kDim}), of(1, {kDim}), 1e-5, of(2, {1, kDim}), rstd); });
  attempt(kAddRmsNorm, [&] {
    call<kAddRmsNorm>(of(0, {1, kDim}), of(1, {1, kDim}), of(2, {kDim}), 1e-5, of(3, {1, kDim}), rstd,
                      of(4, {1, kDim}));
  });
  attempt(kMm, [&] {
    call<kMm>(of(0, {1, kDim}), of(1, {kDim, kDim}).transposed(), of(2, {1, kDim}), int8_t{0});
  });
  const auto quantised = [&](acl::DataType codes) {
    return try_operator(kWeightQuantBatchMatmulV2, [&] {
      call<kWeightQuantBatchMatmulV2>(of(0, {1, kDim}), TensorArg(part(1), codes, {kDim, kDim}).transposed(),
                                      of(2, {kDim, kDim / ascend::kWeightGroup}).transposed(), nullptr,
                                      nullptr, nullptr, nullptr, static_cast<int>(ascend::kWeightGroup),
                                      of(3, {1, kDim}));
    });
  };
  forms_ = {quantised(acl::DataType::kInt8), quantised(acl::DataType::kInt4)};
  attempt(kRotaryPositionEmbedding, [&] {
    call<kRotaryPositionEmbedding>(of(0, {1, 1, 2, kDim}), of(1, {1, 1, 1, kDim}), of(2, {1, 1, 1, kDim}),
                                   int64_t{0}, of(3, {1, 1, 2, kDim}));
  });
  attempt(kInplaceIndexCopy, [&] {
    call<kInplaceIndexCopy>(of(0, {kPage, kDim}), int64_t{0}, zero, of(1, {1, kDim}));
  });
  attempt(kFusedInferAttentionScoreV2, [&] {
    AttentionCall one;
    one.n_rows = one.n_sequences = 1;
    one.is_decode = true;
    one.kv_lengths = {kPage};
    one.pages = ints(7, {1, 1});
    one.shift = of(4, {1, 2, 1, kPage});
    const AttentionHeads heads{2, 1, kDim};
    attend(one, of(0, {1, 1, 2 * kDim}), of(1, {1, kPage, kDim}), of(2, {1, kPage, kDim}),
           of(3, {1, 1, 2 * kDim}), heads);
  });
  static_assert(2 * kKeys <= static_cast<int64_t>(kPart));
  attempt(kSwiGlu, [&] { call<kSwiGlu>(of(0, {1, 2 * kDim}), int64_t{1}, of(1, {1, kDim})); });
  attempt(kAdd, [&] { call<kAdd>(of(0, {1, kDim}), of(1, {1, kDim}), ScalarArg{1}, of(2, {1, kDim})); });
  attempt(kInplaceCopy, [&] {
    call<kInplaceCopy>(of(0, {2, kDim}), of(1, {2, kDim}));
    call<kInplaceCopy>(of(0, {2, kDim}), TensorArg(part(1), acl::DataType::kBool, {2, kDim}));
  });
  attempt(kGtTensor, [&] {
    call<kGtTensor>(ints(0, {1, kPage}), ints(1, {1, 1}),
                    TensorArg(part(2), acl::DataType::kBool, {1, kPage}));
  });
  attempt(kMaxDim, [&] { call<kMaxDim>(of(0, {1, kDim}), int64_t{1}, false, of(1, {1}), ints(2, {1})); });
  memory_.synchronize();
  executors_.clear();
}

}  // namespace chaski
