#include "backend/ascend/op_rules.h"

#include <algorithm>
#include <initializer_list>

namespace chaski {
namespace {

using acl::DataType;

/// How an operator takes an argument that is not contiguous without copying it.
enum class Strides { kNone, kTransposed, kAny };

Strides taken_by(AclnnOp op) {
  switch (op) {
    case AclnnOp::kMm:
    case AclnnOp::kWeightQuantBatchMatmulV2:
      return Strides::kTransposed;
    case AclnnOp::kInplaceCopy:
      return Strides::kAny;
    default:
      return Strides::kNone;
  }
}

bool is_copied(const TensorArg& tensor, Strides taken) {
  if (tensor.is_null() || tensor.is_contiguous() || taken == Strides::kAny) return false;
  return taken == Strides::kNone || tensor.rank < 2 || !tensor.transposed().is_contiguous();
}

bool is_among(DataType dtype, std::initializer_list<DataType> types) {
  return std::find(types.begin(), types.end(), dtype) != types.end();
}

/// Whether the operator's fast form has this type. Those not named here have no slow form: they refuse.
bool is_fast(AclnnOp op, DataType dtype) {
  switch (op) {
    case AclnnOp::kInplaceIndexCopy:
      return is_among(dtype, {DataType::kFloat, DataType::kFloat16, DataType::kBFloat16, DataType::kInt32,
                              DataType::kInt64});
    case AclnnOp::kMaxDim:
      return is_among(dtype, {DataType::kFloat, DataType::kFloat16, DataType::kBFloat16});
    case AclnnOp::kGtTensor:
      return dtype != DataType::kDouble && dtype != DataType::kBool;
    case AclnnOp::kAdd:
    case AclnnOp::kEmbedding:
    case AclnnOp::kIndexSelect:
    case AclnnOp::kInplaceCopy:
      return dtype != DataType::kDouble;
    default:
      return true;
  }
}

}  // namespace

HiddenWork hidden_work(AclnnOp op, const std::vector<TensorArg>& tensors) {
  HiddenWork work;
  const Strides taken = taken_by(op);
  for (const TensorArg& tensor : tensors) work.copies += is_copied(tensor, taken) ? 1 : 0;
  work.is_ai_cpu = !tensors.empty() && !tensors[0].is_null() && !is_fast(op, tensors[0].dtype);
  return work;
}

}  // namespace chaski
