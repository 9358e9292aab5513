// RmsNorm and AddRmsNorm: f32 inside, one rounding per output.
#include <cmath>

#include "op_math.h"
#include "op_support.h"

namespace ascend_emulator::op {
namespace {

constexpr Dtypes kStatistics = {DataType::kFloat};

// The shapes of a norm over the last dimensions of x, as many as gamma has; returns the elements of one norm.
int64_t check_norm(const Call& call, const View& x, const View& gamma, const View& y, const View& rstd,
                   Status status) {
  const auto holds = [&](bool is_right, const std::string& what) {
    if (!is_right) call.fail(status, what);
  };
  holds(x.rank() >= 1 && gamma.rank() >= 1, "x and gamma need at least one dimension");
  holds(gamma.rank() <= x.rank() && gamma.numel() > 0,
        text("gamma is ", gamma.describe(), "; expected the last dimensions of x, ", x.describe()));
  const size_t kept = x.dims.size() - gamma.dims.size();
  const Dims normed(x.dims.begin() + static_cast<std::ptrdiff_t>(kept), x.dims.end());
  call.same_dims(gamma, "gamma", normed, status);
  call.same_dims(y, "y", x.dims, status);
  Dims statistics = x.dims;
  for (size_t i = kept; i < statistics.size(); ++i) statistics[i] = 1;
  call.same_dims(rstd, "rstd", statistics, status);
  return gamma.numel();
}

// 1 / sqrt(mean of squares + epsilon) of a row.
float reciprocal_root(const float* row, int64_t n, double epsilon) {
  const void* rows[4] = {row, row, row, row};
  float squares[8];
  dot_tile(&row, 1, DataType::kFloat, rows, n, squares);
  return 1.0F / std::sqrt(squares[0] / static_cast<float>(n) + static_cast<float>(epsilon));
}

void norm_row(const float* row, const std::vector<float>& weights, const View& y, const View& rstd,
              int64_t index, double epsilon) {
  const auto n = static_cast<int64_t>(weights.size());
  const float factor = reciprocal_root(row, n, epsilon);
  store_floats(rstd, index, 1, &factor);
  std::vector<float> normed(weights.size());
  for (size_t i = 0; i < normed.size(); ++i) normed[i] = row[i] * factor * weights[i];
  store_floats(y, index * n, n, normed.data());
}

}  // namespace

Plan RmsNorm::plan(const aclTensor* x_tensor, const aclTensor* gamma_tensor, double epsilon,
                   const aclTensor* y_tensor, const aclTensor* rstd_tensor) {
  Call call;
  const View x = call.in(x_tensor, "x", kFloats);
  const View gamma = call.in(gamma_tensor, "gamma", kFloats);
  const View y = call.out(y_tensor, "y", kFloats);
  const View rstd = call.out(rstd_tensor, "rstd", kStatistics);
  call.same_dtype(y, "y", x.dtype);
  call.valid(gamma.dtype == x.dtype || gamma.dtype == DataType::kFloat, "gamma is ", gamma.describe(),
             "; expected ", dtype_name(x.dtype), " or f32");
  const int64_t n = check_norm(call, x, gamma, y, rstd, kNnTiling);
  for (const View* view : {&x, &gamma, &y, &rstd}) call.copied_unless_contiguous(*view);
  return call.done([x, gamma, y, rstd, epsilon, n] {
    const std::vector<float> weights = load_floats(gamma);
    std::vector<float> row(weights.size());
    for (int64_t i = 0; i < x.numel() / n; ++i) {
      load_floats(x, i * n, n, row.data());
      norm_row(row.data(), weights, y, rstd, i, epsilon);
    }
  });
}

// The sum is rounded to the type, and the norm is that of the rounded sum.
Plan AddRmsNorm::plan(const aclTensor* x1_tensor, const aclTensor* x2_tensor, const aclTensor* gamma_tensor,
                      double epsilon, aclTensor* y_tensor, aclTensor* rstd_tensor, aclTensor* x_tensor) {
  Call call;
  const View x1 = call.in(x1_tensor, "x1", kFloats);
  const View x2 = call.in(x2_tensor, "x2", kFloats);
  const View gamma = call.in(gamma_tensor, "gamma", kFloats);
  const View y = call.out(y_tensor, "y", kFloats);
  const View rstd = call.out(rstd_tensor, "rstd", kStatistics);
  const View x = call.out(x_tensor, "x", kFloats);
  call.same_dtype(x2, "x2", x1.dtype);
  call.same_dtype(gamma, "gamma", x1.dtype);
  call.same_dtype(y, "y", x1.dtype);
  call.same_dtype(x, "x", x1.dtype);
  call.same_dims(x2, "x2", x1.dims);
  call.same_dims(x, "x", x1.dims);
  call.valid(epsilon >= 0, "epsilon is ", epsilon, "; expected at least 0");
  const int64_t n = check_norm(call, x1, gamma, y, rstd, kNnInvalidParam);
  for (const View* view : {&x1, &x2, &gamma, &y, &rstd, &x}) call.copied_unless_contiguous(*view);
  return call.done([x1, x2, gamma, y, rstd, x, epsilon, n] {
    const std::vector<float> weights = load_floats(gamma);
    std::vector<float> row(weights.size()), other(weights.size());
    for (int64_t i = 0; i < x1.numel() / n; ++i) {
      load_floats(x1, i * n, n, row.data());
      load_floats(x2, i * n, n, other.data());
      for (size_t j = 0; j < row.size(); ++j) row[j] = rounded_to(x1.dtype, row[j] + other[j]);
      store_floats(x, i * n, n, row.data());
      norm_row(row.data(), weights, y, rstd, i, epsilon);
    }
  });
}

}  // namespace ascend_emulator::op
