#include "ops/scalar_ops.h"

#include <cmath>
#include <limits>

#include "base/error.h"
#include "ops/kv_rows.h"

namespace chaski {

float load_element(const void* data, DType dtype, int64_t index) {
  switch (dtype) {
    case DType::kF32:
      return static_cast<const float*>(data)[index];
    case DType::kF16:
      return f16_to_f32(static_cast<const uint16_t*>(data)[index]);
    case DType::kBF16:
      return bf16_to_f32(static_cast<const uint16_t*>(data)[index]);
    default:
      CHECK(false, "no element access for {}", name_of(dtype));
  }
  return 0;
}

void store_element(void* data, DType dtype, int64_t index, float value) {
  switch (dtype) {
    case DType::kF32:
      static_cast<float*>(data)[index] = value;
      return;
    case DType::kF16:
      static_cast<uint16_t*>(data)[index] = f32_to_f16(value);
      return;
    case DType::kBF16:
      static_cast<uint16_t*>(data)[index] = f32_to_bf16(value);
      return;
    default:
      CHECK(false, "no element access for {}", name_of(dtype));
  }
}

namespace {

/// Row `row` of a view of activations as f32; in `scratch` where it is stored otherwise.
const float* load_row(const TensorView& view, int64_t row, std::vector<float>& scratch) {
  const int64_t n = view.n_cols();
  if (view.dtype == DType::kF32) return view.f32() + row * n;
  scratch.resize(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i)
    scratch[static_cast<size_t>(i)] = load_element(view.data, view.dtype, row * n + i);
  return scratch.data();
}

void store(const TensorView& view, int64_t row, int64_t column, double value) {
  store_element(view.data, view.dtype, row * view.n_cols() + column, static_cast<float>(value));
}

}  // namespace

WeightId ScalarOps::add_weight(WeightSourcePtr source) {
  Stored w{source, {}};
  w.bytes.resize(static_cast<size_t>(source->n_rows() * row_bytes(source->dtype(), source->n_cols())));
  source->read_rows(0, source->n_rows(), w.bytes);
  weights_.push_back(std::move(w));
  return {static_cast<int32_t>(weights_.size()) - 1};
}

const ScalarOps::Stored& ScalarOps::stored(WeightId id) const {
  CHECK(id.index >= 0 && static_cast<size_t>(id.index) < weights_.size(), "weight id {} of {}", id.index,
        weights_.size());
  return weights_[static_cast<size_t>(id.index)];
}

const WeightSource& ScalarOps::weight(WeightId id) const { return *stored(id).source; }

const float* ScalarOps::decoded(const Stored& w, int64_t row) {
  const int64_t n = w.source->n_cols();
  CHECK(row >= 0 && row < w.source->n_rows(), "{}: row {} of {}", w.source->name(), row, w.source->n_rows());
  row_.resize(static_cast<size_t>(n));
  const int64_t stride = row_bytes(w.source->dtype(), n);
  format_of(w.source->dtype()).dequantize_row(w.bytes.data() + row * stride, row_.data(), n);
  return row_.data();
}

void ScalarOps::embed(WeightId table, const TensorView& token_ids, const TensorView& out) {
  const Stored& w = stored(table);
  CHECK(out.n_cols() == w.source->n_cols() && out.n_rows() == token_ids.shape.n_elements(), "embed into {}",
        out.shape.to_string());
  for (int64_t r = 0; r < out.n_rows(); ++r) {
    const float* row = decoded(w, token_ids.i32()[r]);
    for (int64_t i = 0; i < out.n_cols(); ++i) store(out, r, i, row[i]);
  }
}

void ScalarOps::rms_norm(const TensorView& x, WeightId gain, float eps, const TensorView& out) {
  const Stored& w = stored(gain);
  const int64_t n = x.n_cols();
  CHECK(w.source->n_cols() == n && out.shape == x.shape, "norm of {} into {}", x.shape.to_string(),
        out.shape.to_string());
  const float* g = decoded(w, 0);
  for (int64_t r = 0; r < x.n_rows(); ++r) {
    const float* in = load_row(x, r, value_);
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += double{in[i]} * in[i];
    const double scale = 1.0 / std::sqrt(sum / static_cast<double>(n) + double{eps});
    for (int64_t i = 0; i < n; ++i) store(out, r, i, in[i] * scale * g[i]);
  }
}

void ScalarOps::linear(const TensorView& x, WeightId w_id, const TensorView& out) {
  const Stored& w = stored(w_id);
  const int64_t n_in = x.n_cols();
  const int64_t n_out = out.n_cols();
  CHECK(w.source->n_cols() == n_in && w.source->n_rows() == n_out && out.n_rows() == x.n_rows(),
        "{} {} times {} into {}", w.source->name(), w.source->shape().to_string(), x.shape.to_string(),
        out.shape.to_string());
  std::vector<const float*> rows;
  inputs_.resize(static_cast<size_t>(x.n_rows()));
  for (int64_t r = 0; r < x.n_rows(); ++r) rows.push_back(load_row(x, r, inputs_[static_cast<size_t>(r)]));
  for (int64_t o = 0; o < n_out; ++o) {
    const float* row = decoded(w, o);
    for (int64_t r = 0; r < x.n_rows(); ++r) {
      const float* in = rows[static_cast<size_t>(r)];
      double sum = 0;
      for (int64_t i = 0; i < n_in; ++i) sum += double{in[i]} * row[i];
      store(out, r, o, sum);
    }
  }
}

namespace {

/// Rotate the head at element `first` in place: element d with element d + half.
void rotate(const TensorView& view, int64_t first, const float* cos_sin, int64_t half) {
  for (int64_t d = first; d < first + half; ++d) {
    const double c = cos_sin[d - first];
    const double s = cos_sin[half + d - first];
    const double a = load_element(view.data, view.dtype, d);
    const double b = load_element(view.data, view.dtype, d + half);
    store_element(view.data, view.dtype, d, static_cast<float>(a * c - b * s));
    store_element(view.data, view.dtype, d + half, static_cast<float>(b * c + a * s));
  }
}

}  // namespace

void ScalarOps::rope_append(const TensorView& q, const TensorView& k, const TensorView& v,
                            const StepInputs& in, const KvLayer& kv) {
  const KvLayout& l = *kv.layout;
  const int64_t dim = l.head_dim;
  const int64_t n_heads = q.n_cols() / dim;
  CHECK(q.n_cols() == n_heads * dim && k.n_cols() == l.n_kv_heads * dim && v.shape == k.shape &&
            q.n_rows() == in.n_rows,
        "rope of q {} and k {}", q.shape.to_string(), k.shape.to_string());
  for (int64_t r = 0; r < in.n_rows; ++r) {
    const float* cos_sin = in.rope.f32() + in.positions.i32()[r] * dim;
    for (int64_t h = 0; h < n_heads; ++h) rotate(q, r * q.n_cols() + h * dim, cos_sin, dim / 2);
    const int64_t page = in.slots.i32()[r] / l.page_tokens;
    const int64_t token = in.slots.i32()[r] % l.page_tokens;
    for (int64_t h = 0; h < l.n_kv_heads; ++h) rotate(k, r * k.n_cols() + h * dim, cos_sin, dim / 2);
    const float* key = load_row(k, r, key_);
    const float* value = load_row(v, r, value_);
    for (int64_t h = 0; h < l.n_kv_heads; ++h) {
      store_kv_row(l, l.k, kv.k, {page, token, h}, key + h * dim);
      store_kv_row(l, l.v, kv.v, {page, token, h}, value + h * dim);
    }
  }
}

void ScalarOps::attention(const TensorView& q, const StepInputs& in, const KvLayer& kv,
                          const TensorView& out) {
  const KvLayout& l = *kv.layout;
  const int64_t dim = l.head_dim;
  const int64_t n_heads = q.n_cols() / dim;
  const int64_t group = n_heads / l.n_kv_heads;
  CHECK(group * l.n_kv_heads == n_heads && out.shape == q.shape && q.n_rows() == in.n_rows,
        "attention of {} into {}", q.shape.to_string(), out.shape.to_string());
  const double scale = 1.0 / std::sqrt(static_cast<double>(dim));
  for (int64_t r = 0; r < in.n_rows; ++r) {
    const int64_t n_keys = in.positions.i32()[r] + 1;
    const int32_t* pages = in.page_table.i32() + in.sequence_of_row.i32()[r] * in.page_table.n_cols();
    scores_.resize(static_cast<size_t>(n_keys));
    sums_.resize(static_cast<size_t>(dim));
    row_.resize(static_cast<size_t>(dim));
    const float* queries = load_row(q, r, key_);
    for (int64_t h = 0; h < n_heads; ++h) {
      const float* query = queries + h * dim;
      double largest = -std::numeric_limits<double>::infinity();
      for (int64_t t = 0; t < n_keys; ++t) {
        load_kv_row(l, l.k, kv.k, {pages[t / l.page_tokens], t % l.page_tokens, h / group}, row_.data());
        double dot = 0;
        for (size_t d = 0; d < row_.size(); ++d) dot += double{query[d]} * row_[d];
        scores_[static_cast<size_t>(t)] = dot * scale;
        largest = std::max(largest, dot * scale);
      }
      double total = 0;
      std::fill(sums_.begin(), sums_.end(), 0.0);
      for (int64_t t = 0; t < n_keys; ++t) {
        const double weight = std::exp(scores_[static_cast<size_t>(t)] - largest);
        total += weight;
        load_kv_row(l, l.v, kv.v, {pages[t / l.page_tokens], t % l.page_tokens, h / group}, row_.data());
        for (size_t d = 0; d < row_.size(); ++d) sums_[d] += weight * row_[d];
      }
      for (int64_t d = 0; d < dim; ++d) store(out, r, h * dim + d, sums_[static_cast<size_t>(d)] / total);
    }
  }
}

void ScalarOps::swiglu(const TensorView& gate, const TensorView& up, const TensorView& out) {
  CHECK(gate.shape == up.shape && out.shape == gate.shape, "swiglu of {} and {}", gate.shape.to_string(),
        up.shape.to_string());
  for (int64_t i = 0; i < out.shape.n_elements(); ++i) {
    const double g = load_element(gate.data, gate.dtype, i);
    const double u = load_element(up.data, up.dtype, i);
    store(out, 0, i, g / (1.0 + std::exp(-g)) * u);
  }
}

void ScalarOps::add(const TensorView& x, const TensorView& y, const TensorView& out) {
  CHECK(x.shape == y.shape && out.shape == x.shape, "add {} and {}", x.shape.to_string(),
        y.shape.to_string());
  for (int64_t i = 0; i < out.shape.n_elements(); ++i) {
    store(out, 0, i, double{load_element(x.data, x.dtype, i)} + load_element(y.data, y.dtype, i));
  }
}

void ScalarOps::gather_rows(const TensorView& x, const TensorView& rows, const TensorView& out) {
  CHECK(out.n_cols() == x.n_cols() && out.n_rows() == rows.shape.n_elements(), "gather {} rows into {}",
        rows.shape.n_elements(), out.shape.to_string());
  for (int64_t i = 0; i < out.n_rows(); ++i) {
    const float* row = load_row(x, rows.i32()[i], value_);
    for (int64_t c = 0; c < x.n_cols(); ++c) store(out, i, c, row[c]);
  }
}

void ScalarOps::argmax_rows(const TensorView& logits, const TensorView& best, const TensorView& largest) {
  const int64_t n = logits.n_cols();
  for (int64_t r = 0; r < logits.n_rows(); ++r) {
    const float* row = load_row(logits, r, value_);
    int64_t first = 0;
    bool has_nan = false;
    for (int64_t i = 0; i < n; ++i) {
      has_nan |= std::isnan(row[i]);
      if (row[i] > row[first]) first = i;
    }
    best.i32()[r] = static_cast<int32_t>(first);
    store_element(largest.data, largest.dtype, r,
                  has_nan ? std::numeric_limits<float>::quiet_NaN() : row[first]);
  }
}

}  // namespace chaski
