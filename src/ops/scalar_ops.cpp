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
    std::copy(row, row + out.n_cols(), out.f32() + r * out.n_cols());
  }
}

void ScalarOps::rms_norm(const TensorView& x, WeightId gain, float eps, const TensorView& out) {
  const Stored& w = stored(gain);
  const int64_t n = x.n_cols();
  CHECK(w.source->n_cols() == n && out.shape == x.shape, "norm of {} into {}", x.shape.to_string(),
        out.shape.to_string());
  const float* g = decoded(w, 0);
  for (int64_t r = 0; r < x.n_rows(); ++r) {
    const float* in = x.f32() + r * n;
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) sum += double{in[i]} * in[i];
    const double scale = 1.0 / std::sqrt(sum / static_cast<double>(n) + double{eps});
    for (int64_t i = 0; i < n; ++i) out.f32()[r * n + i] = static_cast<float>(in[i] * scale * g[i]);
  }
}

void ScalarOps::linear(const TensorView& x, WeightId w_id, const TensorView& out) {
  const Stored& w = stored(w_id);
  const int64_t n_in = x.n_cols();
  const int64_t n_out = out.n_cols();
  CHECK(w.source->n_cols() == n_in && w.source->n_rows() == n_out && out.n_rows() == x.n_rows(),
        "{} {} times {} into {}", w.source->name(), w.source->shape().to_string(), x.shape.to_string(),
        out.shape.to_string());
  for (int64_t o = 0; o < n_out; ++o) {
    const float* row = decoded(w, o);
    for (int64_t r = 0; r < x.n_rows(); ++r) {
      const float* in = x.f32() + r * n_in;
      double sum = 0;
      for (int64_t i = 0; i < n_in; ++i) sum += double{in[i]} * row[i];
      out.f32()[r * n_out + o] = static_cast<float>(sum);
    }
  }
}

namespace {

/// Rotate one head in place: element d with element d + half.
void rotate(float* head, const float* cos_sin, int64_t half) {
  for (int64_t d = 0; d < half; ++d) {
    const double c = cos_sin[d];
    const double s = cos_sin[half + d];
    const double a = head[d];
    const double b = head[d + half];
    head[d] = static_cast<float>(a * c - b * s);
    head[d + half] = static_cast<float>(b * c + a * s);
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
    for (int64_t h = 0; h < n_heads; ++h) rotate(q.f32() + r * q.n_cols() + h * dim, cos_sin, dim / 2);
    const int64_t page = in.slots.i32()[r] / l.page_tokens;
    const int64_t token = in.slots.i32()[r] % l.page_tokens;
    for (int64_t h = 0; h < l.n_kv_heads; ++h) {
      float* key = k.f32() + r * k.n_cols() + h * dim;
      const float* value = v.f32() + r * k.n_cols() + h * dim;
      rotate(key, cos_sin, dim / 2);
      store_kv_row(l, l.k, kv.k, {page, token, h}, key);
      store_kv_row(l, l.v, kv.v, {page, token, h}, value);
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
    for (int64_t h = 0; h < n_heads; ++h) {
      const float* query = q.f32() + r * q.n_cols() + h * dim;
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
      float* result = out.f32() + r * out.n_cols() + h * dim;
      for (int64_t d = 0; d < dim; ++d) result[d] = static_cast<float>(sums_[static_cast<size_t>(d)] / total);
    }
  }
}

void ScalarOps::swiglu(const TensorView& gate, const TensorView& up, const TensorView& out) {
  CHECK(gate.shape == up.shape && out.shape == gate.shape, "swiglu of {} and {}", gate.shape.to_string(),
        up.shape.to_string());
  for (int64_t i = 0; i < out.shape.n_elements(); ++i) {
    const double g = gate.f32()[i];
    out.f32()[i] = static_cast<float>(g / (1.0 + std::exp(-g)) * up.f32()[i]);
  }
}

void ScalarOps::add(const TensorView& x, const TensorView& y, const TensorView& out) {
  CHECK(x.shape == y.shape && out.shape == x.shape, "add {} and {}", x.shape.to_string(),
        y.shape.to_string());
  for (int64_t i = 0; i < out.shape.n_elements(); ++i) out.f32()[i] = x.f32()[i] + y.f32()[i];
}

void ScalarOps::gather_rows(const TensorView& x, const TensorView& rows, const TensorView& out) {
  CHECK(out.n_cols() == x.n_cols() && out.n_rows() == rows.shape.n_elements(), "gather {} rows into {}",
        rows.shape.n_elements(), out.shape.to_string());
  for (int64_t i = 0; i < out.n_rows(); ++i) {
    const TensorView row = x.rows(rows.i32()[i], 1);
    std::copy(row.f32(), row.f32() + x.n_cols(), out.f32() + i * x.n_cols());
  }
}

void ScalarOps::argmax_rows(const TensorView& logits, const TensorView& out) {
  const int64_t n = logits.n_cols();
  for (int64_t r = 0; r < logits.n_rows(); ++r) {
    const float* row = logits.f32() + r * n;
    int64_t best = 0;
    bool has_nan = false;
    for (int64_t i = 0; i < n; ++i) {
      has_nan |= std::isnan(row[i]);
      if (row[i] > row[best]) best = i;
    }
    out.i32()[r] = has_nan || !std::isfinite(row[best]) ? -1 : static_cast<int32_t>(best);
  }
}

}  // namespace chaski
