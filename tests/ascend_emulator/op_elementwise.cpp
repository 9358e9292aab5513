// Add, GtTensor, SwiGlu, MaxDim and RotaryPositionEmbedding: f32 inside, one rounding at the end.
#include <cmath>
#include <limits>

#include "op_math.h"
#include "op_support.h"

namespace ascend_emulator::op {
namespace {

constexpr Dtypes kAdded = {DataType::kFloat, DataType::kFloat16, DataType::kBFloat16, DataType::kInt8,
                           DataType::kUint8, DataType::kInt32,   DataType::kInt64,    DataType::kBool};
constexpr Dtypes kCompared = {DataType::kFloat, DataType::kFloat16, DataType::kBFloat16, DataType::kInt8,
                              DataType::kUint8, DataType::kInt32,   DataType::kInt64};

}  // namespace

Plan Add::plan(const aclTensor* self_tensor, const aclTensor* other_tensor, const aclScalar* alpha_scalar,
               aclTensor* out_tensor) {
  Call call;
  const View self = call.in(self_tensor, "self", kAnything);
  const View other = call.in(other_tensor, "other", kAnything);
  const double alpha = value_of(alpha_scalar, "alpha");
  const View out = call.out(out_tensor, "out", kAnything);
  call.valid(other.dtype == self.dtype && out.dtype == self.dtype, "self is ", self.describe(), ", other ",
             other.describe(), ", out ", out.describe(), "; the emulator models only one dtype for all");
  call.same_dims(out, "out", broadcast_dims(call, self, other));
  call.ai_core_only_for(kAdded, self.dtype);
  for (const View* view : {&self, &other, &out}) call.copied_unless_contiguous(*view);
  return call.done([self, other, out, alpha] {
    const View a = broadcast_to(self, out.dims), b = broadcast_to(other, out.dims);
    const bool is_float = contains(kFloats, out.dtype);
    const auto factor = static_cast<float>(alpha);
    for (int64_t i = 0; i < out.numel(); ++i) {
      const double x = load_number(a, i), y = load_number(b, i);
      store_number(out, i,
                   is_float ? static_cast<double>(static_cast<float>(x) + factor * static_cast<float>(y))
                            : x + alpha * y);
    }
  });
}

Plan GtTensor::plan(const aclTensor* self_tensor, const aclTensor* other_tensor, aclTensor* out_tensor) {
  Call call;
  const View self = call.in(self_tensor, "self", kAnything);
  const View other = call.in(other_tensor, "other", kAnything);
  const View out = call.out(out_tensor, "out", kAnything);
  call.valid(other.dtype == self.dtype, "self is ", self.describe(), " and other ", other.describe(),
             "; the emulator models only one dtype for both");
  call.same_dims(out, "out", broadcast_dims(call, self, other));
  call.ai_core_only_for(kCompared, self.dtype);
  for (const View* view : {&self, &other, &out}) call.copied_unless_contiguous(*view);
  return call.done([self, other, out] {
    const View a = broadcast_to(self, out.dims), b = broadcast_to(other, out.dims);
    for (int64_t i = 0; i < out.numel(); ++i)
      store_number(out, i, load_number(a, i) > load_number(b, i) ? 1 : 0);
  });
}

// The first half is the gate.
Plan SwiGlu::plan(const aclTensor* x_tensor, int64_t dim, const aclTensor* out_tensor) {
  Call call;
  const View x = call.in(x_tensor, "x", kFloats);
  const View out = call.out(out_tensor, "out", kFloats);
  call.valid(x.rank() >= 1, "x is ", x.describe(), "; expected at least one dimension");
  const int64_t axis = dimension(call, dim, x.rank());
  call.same_dtype(out, "out", x.dtype);
  call.must_be_contiguous(x, "x");
  call.must_be_contiguous(out, "out");
  Dims expected = x.dims;
  int64_t& width = expected[static_cast<size_t>(axis)];
  call.tiling(width % 2 == 0, "x is ", x.describe(), "; expected an even dimension ", axis);
  width /= 2;
  call.same_dims(out, "out", expected, kNnTiling);
  const int64_t outer = product(x.dims, 0, axis), half = product(expected, axis);
  return call.done([x, out, outer, half] {
    std::vector<float> gate(static_cast<size_t>(half)), up(gate.size());
    for (int64_t i = 0; i < outer; ++i) {
      load_floats(x, 2 * i * half, half, gate.data());
      load_floats(x, (2 * i + 1) * half, half, up.data());
      for (size_t j = 0; j < gate.size(); ++j) gate[j] = gate[j] / (1.0F + std::exp(-gate[j])) * up[j];
      store_floats(out, i * half, half, gate.data());
    }
  });
}

// The first of the largest; a NaN is larger than all.
Plan MaxDim::plan(const aclTensor* self_tensor, int64_t dim, bool keep_dim, aclTensor* values_tensor,
                  aclTensor* indices_tensor) {
  Call call;
  const View self = call.in(self_tensor, "self", kFloats);
  const View values = call.out(values_tensor, "out", kFloats);
  const View indices = call.out(indices_tensor, "indices", kIndices);
  call.valid(self.rank() >= 1, "self is ", self.describe(), "; expected at least one dimension");
  const int64_t axis = dimension(call, dim, self.rank());
  call.same_dtype(values, "out", self.dtype);
  const int64_t n = self.dims[static_cast<size_t>(axis)];
  call.valid(n > 0, "self is ", self.describe(), "; expected something along dimension ", axis);
  Dims expected = self.dims;
  if (keep_dim) {
    expected[static_cast<size_t>(axis)] = 1;
  } else {
    expected.erase(expected.begin() + static_cast<std::ptrdiff_t>(axis));
  }
  call.same_dims(values, "out", expected);
  call.same_dims(indices, "indices", expected);
  for (const View* view : {&self, &values, &indices}) call.copied_unless_contiguous(*view);
  const int64_t inner = product(self.dims, axis + 1);
  return call.done([self, values, indices, n, inner] {
    std::vector<float> row(static_cast<size_t>(n));
    for (int64_t i = 0; i < values.numel(); ++i) {
      const int64_t start = i / inner * n * inner + i % inner;
      if (inner == 1) {
        load_floats(self, start, n, row.data());
      } else {
        for (int64_t j = 0; j < n; ++j) load_floats(self, start + j * inner, 1, &row[static_cast<size_t>(j)]);
      }
      size_t best = 0;
      for (size_t j = 1; j < row.size() && !std::isnan(row[best]); ++j) {
        if (row[j] > row[best] || std::isnan(row[j])) best = j;
      }
      store_floats(values, i, 1, &row[best]);
      store_number(indices, i, static_cast<double>(best));
    }
  });
}

namespace {

// What of x's first three dimensions cos and sin repeat over: as B and N of the layouts BNSD, BSND and SBND.
struct Repeated {
  int64_t batch = 1, heads = 1;
  bool is_bnsd = false;
};

// The layouts of the 910B, or nothing. The first match counts, as for the kernel.
bool find_layout(const Dims& x, const Dims& cos, bool is_half, Repeated* repeated) {
  const auto is = [&](bool first, bool second, bool third) {
    return cos[0] == (first ? x[0] : 1) && cos[1] == (second ? x[1] : 1) && cos[2] == (third ? x[2] : 1);
  };
  if (is_half && is(true, true, true)) {
    *repeated = {};
  } else if (is(false, true, false)) {  // BSND, 1S1D
    *repeated = {x[0], x[2], false};
  } else if (is(false, false, true)) {  // BNSD, 11SD
    *repeated = {x[0], x[1], true};
  } else if (is(true, false, false)) {  // SBND, S11D
    *repeated = {x[1], x[2], false};
  } else if (is_half && is(true, true, false)) {  // BSND, BS1D
    *repeated = {1, x[2], false};
  } else if (is_half && is(true, false, true)) {  // BNSD, B1SD
    *repeated = {1, x[1], false};
  } else {
    return false;
  }
  return true;
}

void check_rotation(const Call& call, const View& x, const View& cos, const View& sin, int64_t mode) {
  constexpr int64_t kLongest = 896, kMostHeads = 999;
  call.tiling(x.rank() == 4 && cos.rank() == 4, "x is ", x.describe(), " and cos ", cos.describe(),
              "; expected 4 dimensions");
  call.same_dims(sin, "sin", cos.dims, kNnTiling);
  call.tiling(mode == 0 || mode == 1, "mode is ", mode, "; expected 0 (half) or 1 (interleave)");
  const int64_t d = x.dims[3];
  call.tiling(d >= 2 && d % 2 == 0 && d <= kLongest, "the last dimension is ", d,
              "; expected an even number up to ", kLongest);
  call.tiling(cos.dims[3] == d, "cos is ", cos.describe(), "; expected ", d, " as its last dimension");
  Repeated repeated;
  call.tiling(find_layout(x.dims, cos.dims, mode == 0, &repeated), "cos is ", cos.describe(), " and x ",
              x.describe(), "; expected one of BNSD with 11SD, B1SD; BSND with 1S1D, BS1D; SBND with S11D",
              mode == 0 ? "; or x's own shape" : " (interleave: 11SD, 1S1D, S11D)");
  const auto [batch, heads, is_bnsd] = repeated;
  if (mode == 0) {
    call.tiling(batch <= kMostHeads && heads <= kMostHeads, "x is ", x.describe(),
                "; expected fewer than 1000 of B and of N");
    const int64_t block = x.dtype == DataType::kFloat ? 8 : 16;
    const bool is_aligned = d / 2 % block == 0;
    call.tiling(!is_bnsd || batch == 1 || heads == 1 || !is_aligned || batch * heads <= 8 * x.dims[2],
                "x is ", x.describe(), "; expected B·N of at most 8·S in BNSD");
  } else {
    call.tiling(batch * heads <= kMostHeads, "x is ", x.describe(), "; expected B·N below 1000");
  }
}

}  // namespace

Plan RotaryPositionEmbedding::plan(const aclTensor* x_tensor, const aclTensor* cos_tensor,
                                   const aclTensor* sin_tensor, int64_t mode, aclTensor* out_tensor) {
  Call call;
  const View x = call.in(x_tensor, "x", kFloats);
  const View cos = call.in(cos_tensor, "cos", kFloats);
  const View sin = call.in(sin_tensor, "sin", kFloats);
  const View out = call.out(out_tensor, "out", kFloats);
  for (const View* view : {&cos, &sin, &out})
    call.same_dtype(*view, view == &out ? "out" : "cos or sin", x.dtype);
  check_rotation(call, x, cos, sin, mode);
  call.same_dims(out, "out", x.dims, kNnTiling);
  call.must_be_contiguous(out, "out");
  for (const View* view : {&x, &cos, &sin}) call.copied_unless_contiguous(*view);
  return call.done([x, cos, sin, out, mode] {
    const int64_t d = x.dims[3], half = d / 2;
    const View cosines = broadcast_to(cos, x.dims), sines = broadcast_to(sin, x.dims);
    std::vector<float> row(static_cast<size_t>(d)), c(row.size()), s(row.size()), turned(row.size());
    for (int64_t i = 0; i < x.numel() / d; ++i) {
      load_floats(x, i * d, d, row.data());
      load_floats(cosines, i * d, d, c.data());
      load_floats(sines, i * d, d, s.data());
      for (int64_t j = 0; j < d; ++j) {
        const bool is_first = mode == 0 ? j < half : j % 2 == 0;
        const int64_t partner = mode == 0 ? (j + half) % d : j ^ 1;
        const float other = row[static_cast<size_t>(partner)];
        const auto at = static_cast<size_t>(j);
        turned[at] = row[at] * c[at] + (is_first ? -other : other) * s[at];
      }
      store_floats(out, i * d, d, turned.data());
    }
  });
}

}  // namespace ascend_emulator::op
