#include "backend/cpu/ops_cpu.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <limits>

#include "base/error.h"

namespace chaski {

using cpu::ActivationForm;
using cpu::kPanelRows;

namespace {

constexpr int64_t kStagedRows = 256;              // activations quantised at once
constexpr int64_t kTileRows = 64;                 // rows of a panel's products that lie on the stack
constexpr int64_t kReadBytes = int64_t{1} << 18;  // of a weight file at once, per thread
constexpr int64_t kRowGrain = 4;                  // rows of element-wise work that are worth another thread

/// Pieces that balance the threads, yet few enough that handing them out costs nothing.
int64_t panel_grain(int64_t n_panels, int64_t n_rows, int n_threads) {
  const int64_t even = std::max<int64_t>(1, n_panels / (int64_t{n_threads} * 16));
  return n_rows > kTileRows ? std::min<int64_t>(even, 8)
                            : even;  // a piece is read once per kTileRows: keep it in cache
}

TensorView row_block(const TensorView& view, int64_t first, int64_t count) {
  return view.data == nullptr ? view : view.rows(first, count);
}

}  // namespace

CpuOps::CpuOps(Memory& memory, ThreadPool& pool, const cpu::KernelTable& kernels, Precision precision)
    : memory_(memory), pool_(pool), kernels_(kernels), precision_(precision), attention_(pool, kernels) {}

const CpuOps::Packed& CpuOps::packed(WeightId id) const {
  CHECK(id.index >= 0 && static_cast<size_t>(id.index) < weights_.size(), "weight id {} of {}", id.index,
        weights_.size());
  return weights_[static_cast<size_t>(id.index)];
}

const float* CpuOps::gain_of(WeightId id, int64_t width) const {
  const Packed& w = packed(id);
  CHECK(static_cast<int64_t>(w.vector.size()) == width, "{} {} as gain of width {}", w.source->name(),
        w.source->shape().to_string(), width);
  return w.vector.data();
}

cpu::FastLinear CpuOps::kernel_for(const cpu::PanelLayout& layout) const {
  const auto dtype = static_cast<size_t>(layout.dtype());
  if (layout.is_wide()) return kernels_.linear_wide;
  if (precision_ == Precision::kFast && kernels_.linear_fast[dtype].kernel != nullptr)
    return kernels_.linear_fast[dtype];
  return {kernels_.linear_f32[dtype], ActivationForm::kF32};
}

const cpu::ActivationRows& CpuOps::Staged::in(ActivationForm form) const {
  return form == ActivationForm::kF32 ? f32 : form == ActivationForm::kQ8 ? q8 : q16;
}

// Weights.

cpu::PanelLayout CpuOps::layout_of(const WeightSource& source) const {
  const bool may_round = rounds_numbers() && source.n_rows() > 1;
  return {source.dtype(), source.n_rows(), source.n_cols(),
          may_round ? cpu::PanelForm::kWide : cpu::PanelForm::kStored};
}

WeightId CpuOps::add_weight(WeightSourcePtr source) {
  Packed w;
  w.layout = layout_of(*source);
  w.linear = kernel_for(w.layout);
  cpu::PackCache::Place place;
  if (is_caching_) place = caches_.back()->place(*source, w.layout);
  const auto bytes = static_cast<size_t>(w.layout.bytes());
  w.panels = place.panels != nullptr ? Buffer(place.panels, bytes, [](void*) {})
                                     : allocate_pages(bytes, source->name());
  if (!place.is_packed) {
    pack(*source, w);
    if (is_caching_) caches_.back()->filled();
  }
  if (w.layout.n_rows() == 1) {
    w.vector.resize(static_cast<size_t>(w.layout.n_cols()));
    w.layout.unpack_row(w.data(), 0, w.vector.data());
  }
  const auto stage_for = [](Buffer& rows, int64_t row_bytes) {
    const auto needed = static_cast<size_t>(kStagedRows * row_bytes);
    if (rows.bytes() < needed) rows = allocate_pages(needed, "staged activations");
  };
  const ActivationForm form = w.linear.form;
  if (form == ActivationForm::kF32) stage_for(f32_rows_, 4 * w.layout.n_cols());
  if (form == ActivationForm::kQ8) stage_for(q8_rows_, cpu::Q8Row{w.layout.n_cols()}.bytes());
  if (form == ActivationForm::kQ16) stage_for(q16_rows_, cpu::Q16Row{w.layout.n_cols()}.bytes());
  w.source = std::move(source);
  weight_bytes_ += w.layout.bytes();
  weights_.push_back(std::move(w));
  return {static_cast<int32_t>(weights_.size()) - 1};
}

HeldWeight CpuOps::held(WeightId id) const {
  const Packed& w = packed(id);
  const ActivationForm form = w.linear.form;
  return {w.vector.empty() ? w.layout.bytes() : static_cast<int64_t>(w.vector.size() * sizeof(float)),
          form == ActivationForm::kF32   ? "f32"
          : form == ActivationForm::kQ16 ? "int16"
                                         : "int8"};
}

void CpuOps::begin_weights(const std::string& cache_folder, std::shared_ptr<const Checkpoint> checkpoint,
                           const OnBytes& on_bytes) {
  cpu::PackCache::Plan plan;
  plan.folder = cache_folder;
  plan.kind =
      fmt::format("{}{}-{}", name_of(precision_), rounds_numbers() ? "-wide" : "", cpu::kPanelLayoutVersion);
  for (const std::string& name : checkpoint->names()) {
    try {
      plan.weights.emplace(name, layout_of(*checkpoint->find(name)));
    } catch (const Error&) {
      continue;  // whoever adds that weight hears of it
    }
  }
  caches_.push_back(
      std::make_unique<cpu::PackCache>(pool_, std::move(plan), std::move(checkpoint), on_bytes));
  is_caching_ = true;
}

std::vector<std::string> CpuOps::finish_weights() {
  if (!std::exchange(is_caching_, false)) return {};
  caches_.back()->finish();
  return caches_.back()->take_notes();
}

std::vector<std::string> CpuOps::keep_weights(const OnWait& on_wait) {
  std::vector<std::string> all;
  for (const auto& cache : caches_) {
    cache->keep(on_wait);
    for (std::string& note : cache->take_notes()) all.push_back(std::move(note));
  }
  return all;
}

void CpuOps::synchronize() {
  for (const auto& cache : caches_) cache->check_intact();
}

void CpuOps::pack(const WeightSource& source, Packed& w) {
  const cpu::PanelLayout& layout = w.layout;
  const int64_t stride = row_bytes(source.dtype(), source.n_cols());
  const int64_t panel_stored = kPanelRows * stride;
  const int64_t grain = std::max<int64_t>(1, kReadBytes / std::max<int64_t>(1, panel_stored));
  auto* data = static_cast<std::byte*>(w.panels.data());
  std::vector<std::vector<std::byte>> staging(static_cast<size_t>(pool_.n_threads()));
  parallel(layout.n_panels(), grain, [&](int64_t begin, int64_t end, int worker) {
    std::vector<std::byte>& rows = staging[static_cast<size_t>(worker)];
    rows.resize(static_cast<size_t>(grain * panel_stored));
    const int64_t first = begin * kPanelRows;
    const int64_t count = std::min(end * kPanelRows, layout.n_rows()) - first;
    source.read_rows(first, count, std::span(rows).first(static_cast<size_t>(count * stride)));
    for (int64_t panel = begin; panel < end; ++panel) {
      const int64_t at = (panel - begin) * kPanelRows;
      layout.pack(std::span(rows).subspan(static_cast<size_t>(at * stride)),
                  std::min<int64_t>(kPanelRows, count - at), data + panel * layout.panel_bytes());
    }
  });
}

// Products: activations are staged, then every panel of every job is a piece of work.

CpuOps::LinearJob CpuOps::job(const TensorView& x, WeightId id, const TensorView& out, bool is_added) const {
  const Packed& w = packed(id);
  CHECK(w.layout.n_cols() == x.n_cols() && w.layout.n_rows() == out.n_cols() && x.n_rows() == out.n_rows(),
        "{} {} times {} into {}", w.source->name(), w.source->shape().to_string(), x.shape.to_string(),
        out.shape.to_string());
  return {&w, nullptr, out, is_added};
}

CpuOps::Staged CpuOps::stage(const TensorView& x, const float* gain, float eps, const TensorView& normed,
                             std::span<const LinearJob> jobs) {
  const int64_t n = x.n_cols();
  const auto wants = [&](ActivationForm form) {
    return std::any_of(jobs.begin(), jobs.end(), [&](const LinearJob& j) {
      return j.w->linear.form == form || (j.up != nullptr && j.up->linear.form == form);
    });
  };
  const bool wants_q8 = wants(ActivationForm::kQ8), wants_q16 = wants(ActivationForm::kQ16);
  auto* q8 = static_cast<std::byte*>(q8_rows_.data());
  auto* q16 = static_cast<std::byte*>(q16_rows_.data());
  const int64_t q8_stride = cpu::Q8Row{n}.bytes(), q16_stride = cpu::Q16Row{n}.bytes();
  const float* f32 = gain == nullptr ? x.f32() : normed.f32();
  if (gain != nullptr || wants_q8 || wants_q16) {
    parallel(x.n_rows(), kRowGrain, [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; ++r) {
        if (gain != nullptr) kernels_.rms_norm(x.f32() + r * n, gain, eps, n, normed.f32() + r * n);
        if (wants_q8) kernels_.quantize_q8(f32 + r * n, n, q8 + r * q8_stride);
        if (wants_q16) kernels_.quantize_q16(f32 + r * n, n, q16 + r * q16_stride);
      }
    });
  }
  if (x.n_rows() > 1 && wants(ActivationForm::kF32)) {
    auto* ordered = static_cast<float*>(f32_rows_.data());
    parallel((x.n_rows() + kTileRows - 1) / kTileRows, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin * kTileRows; row < std::min(end * kTileRows, x.n_rows()); row += kTileRows)
        kernels_.order_f32(f32 + row * n, std::min(kTileRows, x.n_rows() - row), n, ordered + row * n);
    });
    f32 = ordered;
  }
  return {{reinterpret_cast<const std::byte*>(f32), 4 * n}, {q8, q8_stride}, {q16, q16_stride}};
}

void CpuOps::norm_linear(const TensorView& x, const float* gain, float eps, const TensorView& normed,
                         std::span<const LinearJob> jobs) {
  std::array<LinearJob, 3> part;
  CHECK(jobs.size() <= part.size(), "{} products at once", jobs.size());
  for (int64_t first = 0; first < x.n_rows(); first += kStagedRows) {
    const int64_t count = std::min(kStagedRows, x.n_rows() - first);
    for (size_t i = 0; i < jobs.size(); ++i) {
      part[i] = jobs[i];
      part[i].out = jobs[i].out.rows(first, count);
    }
    const std::span<const LinearJob> now(part.data(), jobs.size());
    run_jobs(now, stage(x.rows(first, count), gain, eps, row_block(normed, first, count), now), count);
  }
}

void CpuOps::run_jobs(std::span<const LinearJob> jobs, const Staged& x, int64_t n_rows) {
  int64_t n_panels = 0;
  for (const LinearJob& j : jobs) n_panels += j.w->layout.n_panels();
  parallel(n_panels, panel_grain(n_panels, n_rows, pool_.n_threads()), [&](int64_t begin, int64_t end, int) {
    for (int64_t row = 0; row < n_rows; row += kTileRows) {
      int64_t before = 0;
      for (const LinearJob& j : jobs) {
        const int64_t here = j.w->layout.n_panels();
        for (int64_t p = std::max(begin, before); p < std::min(end, before + here); ++p) {
          run_panel(j, p - before, x, row, std::min(kTileRows, n_rows - row));
        }
        before += here;
      }
    }
  });
}

void CpuOps::run_panel(const LinearJob& job, int64_t panel, const Staged& x, int64_t first_row,
                       int64_t n_rows) const {
  alignas(64) std::array<float, kTileRows * kPanelRows> tile, up;
  const auto product = [&](const Packed& w, float* to) {
    const cpu::ActivationRows& rows = x.in(w.linear.form);
    w.linear.kernel(w.layout.view(w.data(), panel), {rows.data + first_row * rows.stride, rows.stride},
                    n_rows, to);
  };
  product(*job.w, tile.data());
  if (job.up != nullptr) {
    product(*job.up, up.data());
    kernels_.swiglu(tile.data(), up.data(), n_rows * kPanelRows, tile.data());
  }
  const int64_t stride = job.out.n_cols();
  const int64_t width = std::min<int64_t>(kPanelRows, stride - panel * kPanelRows);
  for (int64_t r = 0; r < n_rows; ++r) {
    float* out = job.out.f32() + (first_row + r) * stride + panel * kPanelRows;
    const float* from = tile.data() + r * kPanelRows;
    if (job.is_added) {
      kernels_.add(out, from, width, out);
    } else if (width == kPanelRows) {  // nearly all, without a call
      std::memcpy(out, from, kPanelRows * sizeof(float));
    } else {
      std::memcpy(out, from, static_cast<size_t>(width) * sizeof(float));
    }
  }
}

void CpuOps::linear(const TensorView& x, WeightId w, const TensorView& out) {
  const LinearJob jobs[] = {job(x, w, out)};
  norm_linear(x, nullptr, 0, {}, jobs);
}

void CpuOps::linear_add(const TensorView& h, WeightId w, const TensorView& x, Workspace&) {
  const LinearJob jobs[] = {job(h, w, x, true)};
  norm_linear(h, nullptr, 0, {}, jobs);
}

void CpuOps::norm_qkv_rope_append(const TensorView& x, const QkvWeights& w, float eps, const StepInputs& in,
                                  const KvLayer& kv, const TensorView& q, Workspace& ws) {
  const Workspace::Scope scope(ws);
  const int64_t kv_width = int64_t{kv.layout->n_kv_heads} * kv.layout->head_dim;
  const TensorView normed = ws.take(DType::kF32, x.shape);
  const TensorView k = ws.take(DType::kF32, {x.n_rows(), kv_width});
  const TensorView v = ws.take(DType::kF32, {x.n_rows(), kv_width});
  const LinearJob jobs[] = {job(x, w.q, q), job(x, w.k, k), job(x, w.v, v)};
  norm_linear(x, gain_of(w.norm, x.n_cols()), eps, normed, jobs);
  rope_append(q, k, v, in, kv);
}

void CpuOps::norm_gate_up_swiglu(const TensorView& x, const GateUpWeights& w, float eps, const TensorView& h,
                                 Workspace& ws) {
  const Workspace::Scope scope(ws);
  const TensorView normed = ws.take(DType::kF32, x.shape);
  LinearJob jobs[] = {job(x, w.gate, h)};
  jobs[0].up = job(x, w.up, h).w;
  norm_linear(x, gain_of(w.norm, x.n_cols()), eps, normed, jobs);
}

void CpuOps::norm_head(const TensorView& x, WeightId norm, WeightId head, float eps, const TensorView& logits,
                       Workspace& ws) {
  const Workspace::Scope scope(ws);
  const TensorView normed = ws.take(DType::kF32, x.shape);
  const LinearJob jobs[] = {job(x, head, logits)};
  norm_linear(x, gain_of(norm, x.n_cols()), eps, normed, jobs);
}

// Row by row.

void CpuOps::embed(WeightId table, const TensorView& token_ids, const TensorView& out) {
  const Packed& w = packed(table);
  const int64_t n = out.n_cols();
  CHECK(n == w.layout.n_cols() && out.n_rows() == token_ids.shape.n_elements(), "embed {} of {} into {}",
        token_ids.shape.to_string(), w.source->shape().to_string(), out.shape.to_string());
  parallel(out.n_rows(), kRowGrain, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t token = token_ids.i32()[r];
      CHECK(token >= 0 && token < w.layout.n_rows(), "token {} of {}", token, w.layout.n_rows());
      w.layout.unpack_row(w.data(), token, out.f32() + r * n);
    }
  });
}

void CpuOps::rms_norm(const TensorView& x, WeightId gain, float eps, const TensorView& out) {
  const int64_t n = x.n_cols();
  const float* g = gain_of(gain, n);
  CHECK(out.shape == x.shape, "norm of {} into {}", x.shape.to_string(), out.shape.to_string());
  parallel(x.n_rows(), kRowGrain, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) kernels_.rms_norm(x.f32() + r * n, g, eps, n, out.f32() + r * n);
  });
}

void CpuOps::swiglu(const TensorView& gate, const TensorView& up, const TensorView& out) {
  const int64_t n = out.n_cols();
  CHECK(gate.shape == up.shape && out.shape == gate.shape, "swiglu of {} and {}", gate.shape.to_string(),
        up.shape.to_string());
  parallel(out.n_rows(), kRowGrain, [&](int64_t begin, int64_t end, int) {
    kernels_.swiglu(gate.f32() + begin * n, up.f32() + begin * n, (end - begin) * n, out.f32() + begin * n);
  });
}

void CpuOps::add(const TensorView& x, const TensorView& y, const TensorView& out) {
  const int64_t n = out.n_cols();
  CHECK(x.shape == y.shape && out.shape == x.shape, "add {} and {}", x.shape.to_string(),
        y.shape.to_string());
  parallel(out.n_rows(), kRowGrain, [&](int64_t begin, int64_t end, int) {
    kernels_.add(x.f32() + begin * n, y.f32() + begin * n, (end - begin) * n, out.f32() + begin * n);
  });
}

void CpuOps::gather_rows(const TensorView& x, const TensorView& rows, const TensorView& out) {
  CHECK(out.n_cols() == x.n_cols() && out.n_rows() == rows.shape.n_elements(), "gather {} rows into {}",
        rows.shape.n_elements(), out.shape.to_string());
  for (int64_t i = 0; i < out.n_rows(); ++i) {
    std::memcpy(out.f32() + i * x.n_cols(), x.rows(rows.i32()[i], 1).data,
                static_cast<size_t>(x.n_cols()) * sizeof(float));
  }
}

void CpuOps::argmax_rows(const TensorView& logits, const TensorView& best, const TensorView& largest) {
  CHECK(best.shape.n_elements() == logits.n_rows() && largest.shape == best.shape, "best of {} into {}",
        logits.shape.to_string(), best.shape.to_string());
  parallel(logits.n_rows(), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = logits.f32() + r * logits.n_cols();
      const int32_t index = kernels_.argmax(row, logits.n_cols());  // −1: a NaN, or not finite
      best.i32()[r] = std::max(index, 0);
      largest.f32()[r] = index < 0 ? std::numeric_limits<float>::quiet_NaN() : row[index];
    }
  });
}

}  // namespace chaski
