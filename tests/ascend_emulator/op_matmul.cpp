// Mm and WeightQuantBatchMatmulV2: f32 sums over k, one rounding at the end. A weight's row is read once per
// call, four rows together; the order of a sum's additions does not depend on how many rows x has.
#include <algorithm>

#include "op_math.h"
#include "op_support.h"

namespace ascend_emulator::op {
namespace {

// A matrix [m, k] as f32 rows.
struct Rows {
  explicit Rows(const View& view) : m(view.dims[0]), k(view.dims[1]), values(load_floats(view)) {}
  const float* row(int64_t i) const { return values.data() + i * k; }
  int64_t m, k;
  std::vector<float> values;
};

// Rows [first, first + n) of the weight, n ≤ 4, as f32; what lies beyond n is not read.
using WeightRows = std::function<void(int64_t first, int64_t n, float* const rows[4])>;

// out[i, j] = x[i] · weight row j + bias[j], `bias` empty or one per column.
void multiply(const Rows& x, int64_t n_columns, const WeightRows& weight_rows, const std::vector<float>& bias,
              const View& out) {
  std::vector<float> results(static_cast<size_t>(x.m * n_columns));
  parallel_for(n_columns, 4, x.m * x.k * n_columns, [&](int64_t begin, int64_t end) {
    std::vector<float> buffer(static_cast<size_t>(4 * x.k));
    float* rows[4];
    for (int64_t j = 0; j < 4; ++j) rows[j] = buffer.data() + j * x.k;
    const void* const operands[4] = {rows[0], rows[1], rows[2], rows[3]};
    for (int64_t j = begin; j < end; j += 4) {
      const int64_t n = std::min<int64_t>(4, end - j);
      weight_rows(j, n, rows);
      for (int64_t i = 0; i < x.m; i += 2) {
        const int n_x = i + 1 < x.m ? 2 : 1;
        const float* const left[2] = {x.row(i), x.row(i + n_x - 1)};
        float sums[8];
        dot_tile(left, n_x, DataType::kFloat, operands, x.k, sums);
        for (int l = 0; l < n_x; ++l)
          std::copy(sums + 4 * l, sums + 4 * l + n, &results[static_cast<size_t>((i + l) * n_columns + j)]);
      }
    }
  });
  for (size_t i = 0; i < results.size() && !bias.empty(); ++i) results[i] += bias[i % bias.size()];
  store_floats(out, 0, x.m * n_columns, results.data());
}

// The matrix with its two dimensions exchanged.
View turned(View view) {
  std::swap(view.dims[0], view.dims[1]);
  std::swap(view.strides[0], view.strides[1]);
  return view;
}

void check_matrix(const Call& call, const View& view, const char* argument) {
  call.valid(view.rank() == 2, argument, " is ", view.describe(), "; expected 2 dimensions");
}

}  // namespace

Plan Mm::plan(const aclTensor* self_tensor, const aclTensor* mat2_tensor, aclTensor* out_tensor,
              int8_t cube_math_type) {
  Call call;
  const View self = call.in(self_tensor, "self", kFloats);
  const View mat2 = call.in(mat2_tensor, "mat2", kFloats);
  const View out = call.out(out_tensor, "out", kFloats);
  check_matrix(call, self, "self");
  check_matrix(call, mat2, "mat2");
  call.valid(mat2.dtype == self.dtype && out.dtype == self.dtype, "self is ", self.describe(), ", mat2 ",
             mat2.describe(), ", out ", out.describe(), "; the emulator models only one dtype for all");
  call.valid(self.dims[1] == mat2.dims[0], "self is ", self.describe(), " and mat2 ", mat2.describe(),
             "; expected the same k");
  call.same_dims(out, "out", {self.dims[0], mat2.dims[1]});
  const int type = cube_math_type;
  call.valid(type >= 0 && type <= 4, "cubeMathType is ", type, "; expected 0 to 4");
  call.valid(type != 2 || self.dtype != DataType::kBFloat16, "cubeMathType 2 (f16) does not go with bf16");
  call.valid(type != 3 || self.dtype == DataType::kFloat, "cubeMathType 3 (HF32) goes with f32 only");
  call.valid(self.dtype != DataType::kFloat || type == 0 || type == 4, "cubeMathType ", type,
             " on f32: the emulator does not model a lower precision");
  for (const View* view : {&self, &mat2}) {
    if (!view->transposed()) call.copied_unless_contiguous(*view);
  }
  call.copied_unless_contiguous(out);
  return call.done([self, mat2, out] {
    const View weight = turned(mat2);  // [n, k]
    const int64_t k = weight.dims[1], bytes = element_bytes(weight.dtype);
    const auto* base = weight.data<std::byte>();
    const auto weight_rows = [&weight, base, k, bytes](int64_t first, int64_t n, float* const rows[4]) {
      for (int64_t j = 0; j < n; ++j) {
        if (weight.strides[1] == 1) {
          load_row(weight.dtype, base + (first + j) * weight.strides[0] * bytes, k, rows[j]);
        } else {
          load_floats(weight, (first + j) * k, k, rows[j]);
        }
      }
    };
    multiply(Rows(self), weight.dims[0], weight_rows, {}, out);
  });
}

namespace {

// What the second phase of WeightQuantBatchMatmulV2 needs; the weight as [n, k], scales and offsets as [n,
// groups].
struct QuantizedProduct {
  View x, weight, scales, y;
  std::vector<View> offsets, bias;  // one or none
  int64_t group_size = 0;           // elements of k that share a scale
};

constexpr Dtypes kQuantized = {DataType::kInt8, DataType::kInt4};

bool dense_or_turned(const View& view) { return view.contiguous() || view.transposed(); }

void check_weight(const Call& call, const View& x, const View& weight, const View& y) {
  check_matrix(call, x, "x");
  check_matrix(call, weight, "weight");
  call.valid(x.dims[1] == weight.dims[0], "x is ", x.describe(), " and weight ", weight.describe(),
             "; expected the same k");
  const int64_t k = weight.dims[0], n = weight.dims[1];
  call.valid(x.dims[0] >= 1 && k >= 1 && k <= 65535 && n >= 1 && n <= 65535, "k is ", k, " and n ", n,
             "; expected 1 to 65535");
  call.valid(dense_or_turned(x), "x is ", x.describe(),
             "; expected a contiguous tensor or a transposed view");
  call.valid(x.contiguous() || x.dims[0] <= 65535, "m is ", x.dims[0],
             "; expected at most 65535 in a transposed x");
  call.valid(dense_or_turned(weight), "weight is ", weight.describe(),
             "; expected a contiguous tensor or a transposed view");
  const int64_t inner = weight.transposed() ? k : n;
  call.valid(weight.dtype != DataType::kInt4 || inner % 2 == 0, "weight is ", weight.describe(),
             "; expected an even inner axis of int4");
  call.same_dtype(y, "y", x.dtype);
  call.same_dims(y, "y", {x.dims[0], n});
  call.must_be_contiguous(y, "y");
}

// Shape and strides of the scales (or the offsets): one, one a column, or one for each group of rows and
// column. Where the weight is a transposed view so must they be: CANN then reads their bytes as [n, groups].
void check_scales(const Call& call, const View& scales, const char* argument, const View& weight,
                  int64_t group_size) {
  const int64_t k = weight.dims[0], n = weight.dims[1];
  const bool is_transposed = weight.transposed();
  if (group_size > 0) {
    call.same_dims(scales, argument, {(k + group_size - 1) / group_size, n});
  } else {
    const bool fits = scales.dims == Dims{1} || scales.dims == Dims{n} || scales.dims == Dims{1, 1} ||
                      scales.dims == Dims{1, n};
    call.valid(fits, argument, " is ", scales.describe(), "; expected [1], [", n, "], [1, 1] or [1, ", n,
               "] without groups");
  }
  if (scales.rank() == 2 && scales.dims[0] > 1 && scales.dims[1] > 1) {
    call.valid(is_transposed ? scales.transposed() : scales.contiguous(), argument, " is ", scales.describe(),
               "; expected a ",
               is_transposed ? "transposed view, as the weight is" : "contiguous tensor, as the weight is");
  } else {
    call.must_be_contiguous(scales, argument);
  }
}

int8_t low_nibble(uint8_t byte) { return static_cast<int8_t>(((byte & 15) ^ 8) - 8); }
int8_t high_nibble(uint8_t byte) { return static_cast<int8_t>((byte >> 4 ^ 8) - 8); }

// Elements of one row of the weight as int8, in `buffer` unless they lie so. A row of int4 begins at a whole
// byte where its elements are adjacent.
const int8_t* unpacked(const View& weight, const std::byte* base, int64_t row, std::vector<int8_t>* buffer) {
  const int64_t k = weight.dims[1], start = row * weight.strides[0], step = weight.strides[1];
  const auto* bytes = reinterpret_cast<const uint8_t*>(base);
  if (weight.dtype == DataType::kInt8 && step == 1) return reinterpret_cast<const int8_t*>(base) + start;
  buffer->resize(static_cast<size_t>(k));
  int8_t* to = buffer->data();
  if (weight.dtype == DataType::kInt8) {
    for (int64_t i = 0; i < k; ++i) to[i] = static_cast<int8_t>(bytes[start + i * step]);
  } else if (step == 1) {
    for (int64_t i = 0; i < k; i += 2) {
      to[i] = low_nibble(bytes[(start + i) / 2]);
      to[i + 1] = high_nibble(bytes[(start + i) / 2]);
    }
  } else {
    for (int64_t i = 0; i < k; ++i) {
      const int64_t at = start + i * step;
      to[i] = at % 2 == 0 ? low_nibble(bytes[at / 2]) : high_nibble(bytes[at / 2]);
    }
  }
  return to;
}

void run_quantized(const QuantizedProduct& product) {
  const View& weight = product.weight;
  const int64_t n_columns = weight.dims[0], k = weight.dims[1];
  const int64_t groups = (k + product.group_size - 1) / product.group_size;
  const std::vector<float> scales = load_floats(broadcast_to(product.scales, {n_columns, groups}));
  std::vector<float> offsets(scales.size(), 0.0F), bias;
  if (!product.offsets.empty()) offsets = load_floats(broadcast_to(product.offsets[0], {n_columns, groups}));
  if (!product.bias.empty()) bias = load_floats(product.bias[0]);
  const auto* base = weight.data<std::byte>();
  const auto weight_rows = [&](int64_t first, int64_t n, float* const rows[4]) {
    std::vector<int8_t> buffer;
    for (int64_t j = 0; j < n; ++j) {
      const int8_t* q = unpacked(weight, base, first + j, &buffer);
      for (int64_t g = 0; g < groups; ++g) {
        const int64_t start = g * product.group_size;
        const auto at = static_cast<size_t>((first + j) * groups + g);
        dequantize_row(product.x.dtype, q + start, std::min(product.group_size, k - start), offsets[at],
                       scales[at], rows[j] + start);
      }
    }
  };
  multiply(Rows(product.x), n_columns, weight_rows, bias, product.y);
}

}  // namespace

Plan WeightQuantBatchMatmulV2::plan(const aclTensor* x_tensor, const aclTensor* weight_tensor,
                                    const aclTensor* antiquant_scale, const aclTensor* antiquant_offset,
                                    const aclTensor* quant_scale, const aclTensor* quant_offset,
                                    const aclTensor* bias_tensor, int group_size, const aclTensor* y_tensor) {
  Call call;
  QuantizedProduct product;
  product.x = call.in(x_tensor, "x", kHalves);
  const View weight = call.in(weight_tensor, "weight", kQuantized);
  const View scales = call.in(antiquant_scale, "antiquantScale", kHalves);
  product.y = call.out(y_tensor, "y", kHalves);
  call.valid(quant_scale == nullptr && quant_offset == nullptr,
             "quantScale and quantOffset: the emulator does not model an int8 result");
  check_weight(call, product.x, weight, product.y);
  const int64_t k = weight.dims[0], n = weight.dims[1];
  call.valid(group_size == 0 || (group_size >= 32 && group_size <= k - 1 && group_size % 32 == 0),
             "antiquantGroupSize is ", group_size, "; expected 0 or a multiple of 32 in [32, ", k - 1, "]");
  call.same_dtype(scales, "antiquantScale", product.x.dtype);
  check_scales(call, scales, "antiquantScale", weight, group_size);
  if (antiquant_offset != nullptr) {
    const View offsets = call.in(antiquant_offset, "antiquantOffset", kHalves);
    call.same_dtype(offsets, "antiquantOffset", product.x.dtype);
    call.same_dims(offsets, "antiquantOffset", scales.dims);
    check_scales(call, offsets, "antiquantOffset", weight, group_size);
    product.offsets.push_back(offsets);
  }
  if (bias_tensor != nullptr) {
    const View bias = call.in(bias_tensor, "bias", kFloats);
    call.same_dtype(bias, "bias",
                    product.x.dtype == DataType::kFloat16 ? DataType::kFloat16 : DataType::kFloat);
    call.valid(bias.dims == Dims{n} || bias.dims == Dims{1, n}, "bias is ", bias.describe(), "; expected [",
               n, "] or [1, ", n, "]");
    call.must_be_contiguous(bias, "bias");
    product.bias.push_back(bias);
  }
  // From here on as [n, …], where a single scale or row of scales repeats.
  const auto by_row = [](View view) {
    if (view.rank() == 1) {
      view.dims.insert(view.dims.begin(), 1);
      view.strides.insert(view.strides.begin(), 0);
    }
    return turned(view);
  };
  product.weight = turned(weight);
  product.scales = by_row(scales);
  for (View& offsets : product.offsets) offsets = by_row(offsets);
  product.group_size = group_size > 0 ? group_size : k;
  return call.done([product] { run_quantized(product); });
}

}  // namespace ascend_emulator::op
