// Operators that move rows: Embedding, IndexSelect, InplaceIndexCopy, InplaceCopy. An index out of range,
// which CANN does not check, is an error here.
#include <algorithm>

#include "op_support.h"

namespace ascend_emulator::op {
namespace {

// What GatherV2 and ScatterUpdate of the 910B do on the AI core; the rest goes to the AI CPU.
constexpr Dtypes kGathered = {DataType::kFloat, DataType::kFloat16, DataType::kBFloat16,
                              DataType::kInt8,  DataType::kUint8,   DataType::kInt16,
                              DataType::kInt32, DataType::kInt64,   DataType::kBool};
constexpr Dtypes kScattered = {DataType::kFloat, DataType::kFloat16, DataType::kBFloat16, DataType::kInt32,
                               DataType::kInt64};

}  // namespace

Plan Embedding::plan(const aclTensor* weight_tensor, const aclTensor* indices_tensor,
                     const aclTensor* out_tensor) {
  Call call;
  const View weight = call.in(weight_tensor, "weight", kAnything);
  const View indices = call.in(indices_tensor, "indices", kIndices);
  const View out = call.out(out_tensor, "out", kAnything);
  call.valid(weight.rank() == 2, "weight is ", weight.describe(), "; expected 2 dimensions");
  call.same_dtype(out, "out", weight.dtype);
  Dims expected = indices.dims;
  expected.push_back(weight.dims[1]);
  call.same_dims(out, "out", expected);
  call.ai_core_only_for(kGathered, weight.dtype);
  for (const View* view : {&weight, &indices, &out}) call.copied_unless_contiguous(*view);
  return call.done([weight, indices, out] {
    const int64_t width = weight.dims[1];
    const std::vector<int64_t> rows = load_indices(indices);
    for (int64_t i = 0; i < indices.numel(); ++i) {
      const int64_t row = rows[static_cast<size_t>(i)];
      index_in_range("indices", i, row, weight.dims[0]);
      copy_elements(weight, row * width, out, i * width, width);
    }
  });
}

Plan IndexSelect::plan(const aclTensor* self_tensor, int64_t dim, const aclTensor* index_tensor,
                       aclTensor* out_tensor) {
  Call call;
  const View self = call.in(self_tensor, "self", kAnything);
  const View index = call.in(index_tensor, "index", kIndices);
  const View out = call.out(out_tensor, "out", kAnything);
  call.valid(self.rank() >= 1, "self is ", self.describe(), "; the emulator does not model a scalar");
  call.valid(index.rank() <= 1, "index is ", index.describe(), "; expected at most one dimension");
  const int64_t axis = dimension(call, dim, self.rank());
  call.same_dtype(out, "out", self.dtype);
  Dims expected = self.dims;
  expected[static_cast<size_t>(axis)] = index.numel();
  call.same_dims(out, "out", expected);
  call.ai_core_only_for(kGathered, self.dtype);
  for (const View* view : {&self, &index, &out}) call.copied_unless_contiguous(*view);
  return call.done([self, index, out, axis] {
    const int64_t outer = product(self.dims, 0, axis), inner = product(self.dims, axis + 1);
    const int64_t size = self.dims[static_cast<size_t>(axis)];
    const std::vector<int64_t> rows = load_indices(index);
    const int64_t n = index.numel();
    for (int64_t i = 0; i < n; ++i) {
      const int64_t row = rows[static_cast<size_t>(i)];
      index_in_range("index", i, row, size);
      for (int64_t o = 0; o < outer; ++o)
        copy_elements(self, (o * size + row) * inner, out, (o * n + i) * inner, inner);
    }
  });
}

// On the 910B only dim 0 is written in place: for any other, the whole of self is transposed, updated and
// transposed back. It ends in a ViewCopy of self to itself.
Plan InplaceIndexCopy::plan(aclTensor* self_tensor, int64_t dim, const aclTensor* index_tensor,
                            const aclTensor* source_tensor) {
  Call call;
  const View self = call.in_out(self_tensor, "self", kAnything);
  const View index = call.in(index_tensor, "index", kIndices);
  const View source = call.in(source_tensor, "source", kAnything);
  call.valid(self.rank() >= 1 && source.rank() >= 1, "the emulator does not model scalars");
  call.same_dtype(source, "source", self.dtype);
  call.valid(index.rank() <= 1, "index is ", index.describe(), "; expected at most one dimension");
  call.valid(self.rank() == source.rank(), "source is ", source.describe(), "; expected ", self.rank(),
             " dimensions");
  const int64_t axis = dimension(call, dim, self.rank());
  Dims expected = self.dims;
  expected[static_cast<size_t>(axis)] = index.numel();
  call.same_dims(source, "source", expected);
  call.ai_core_only_for(kScattered, self.dtype);
  call.refuses_repeatable();
  for (const View* view : {&self, &index, &source}) call.copied_unless_contiguous(*view);
  if (!self.contiguous()) call.count_copies(1);  // and back
  if (axis != 0) call.count_copies(2);
  return call.done([self, index, source, axis] {
    const int64_t outer = product(self.dims, 0, axis), inner = product(self.dims, axis + 1);
    const int64_t size = self.dims[static_cast<size_t>(axis)];
    const std::vector<int64_t> rows = load_indices(index);
    const int64_t n = index.numel();
    // Backwards: where an index stands twice, nothing promises that the last one wins.
    for (int64_t i = n; i-- > 0;) {
      const int64_t row = rows[static_cast<size_t>(i)];
      index_in_range("index", i, row, size);
      for (int64_t o = 0; o < outer; ++o)
        copy_elements(source, (o * n + i) * inner, self, (o * size + row) * inner, inner);
    }
  });
}

Plan InplaceCopy::plan(aclTensor* self_tensor, const aclTensor* source_tensor) {
  Call call;
  const View self = call.out(self_tensor, "self", kAnything);
  const View source = call.in(source_tensor, "source", kAnything);
  const Dims dims = broadcast_dims(call, self, source);
  call.valid(dims == self.dims, "source is ", source.describe(), ", which cannot be broadcast to ",
             describe(self.dims));
  for (const View* view : {&self, &source}) call.ai_core_only_for(kGathered, view->dtype);
  return call.done([self, source] {
    const View wide = broadcast_to(source, self.dims);
    if (self.dtype == source.dtype) return copy_elements(wide, 0, self, 0, self.numel());
    for (int64_t i = 0; i < self.numel(); ++i) store_number(self, i, load_number(wide, i));
  });
}

}  // namespace ascend_emulator::op
