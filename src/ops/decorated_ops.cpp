#include "ops/decorated_ops.h"

#include <cstring>
#include <tuple>

#include "base/error.h"
#include "ops/kv_rows.h"
#include "ops/scalar_ops.h"

namespace chaski {

WeightId DecoratedOps::add_weight(WeightSourcePtr source) {
  const WeightId id = device_.add_weight(source);
  sources_.resize(static_cast<size_t>(id.index) + 1);
  sources_[static_cast<size_t>(id.index)] = std::move(source);
  return id;
}

const WeightSource& DecoratedOps::weight(WeightId id) const { return device_.weight(id); }

std::string DecoratedOps::why_not_capturable() const {
  return fmt::format("{} copies and waits inside a step", name());
}

OpQuery DecoratedOps::query_of(const OpCall& call, WeightId matrix) const {
  const TensorView& x = call.n_reads > 0 ? call.operands.reads[0] : call.operands.writes[0];
  return {call.kind, matrix.index >= 0 ? weight(matrix).dtype() : DType::kF32, x.n_rows(), x.n_cols()};
}

OpSupport DecoratedOps::device_support(const OpCall& call) const {
  for (const WeightId matrix : call.matrices()) {
    if (OpSupport support = device_.supports(query_of(call, matrix)); !support) return support;
  }
  return call.n_weights > 0 ? OpSupport{} : device_.supports(query_of(call, WeightId{}));
}

void DecoratedOps::dispatch_primitive(const OpCall& call) { dispatch(call, no_workspace_); }

void DecoratedOps::embed(WeightId table, const TensorView& token_ids, const TensorView& out) {
  OpCall call{OpKind::kEmbed, {{token_ids}, {out}, {table}, {}, {}}, 1, 1, 1};
  call.invoke = [](Ops& ops, const Operands& o, Workspace&) {
    ops.embed(o.weights[0], o.reads[0], o.writes[0]);
  };
  dispatch_primitive(call);
}

void DecoratedOps::rms_norm(const TensorView& x, WeightId gain, float eps, const TensorView& out) {
  OpCall call{OpKind::kRmsNorm, {{x}, {out}, {gain}, {}, {}}, 1, 1, 1};
  call.invoke = [eps](Ops& ops, const Operands& o, Workspace&) {
    ops.rms_norm(o.reads[0], o.weights[0], eps, o.writes[0]);
  };
  dispatch_primitive(call);
}

void DecoratedOps::linear(const TensorView& x, WeightId w, const TensorView& out) {
  OpCall call{OpKind::kLinear, {{x}, {out}, {w}, {}, {}}, 1, 1, 1};
  call.invoke = [](Ops& ops, const Operands& o, Workspace&) {
    ops.linear(o.reads[0], o.weights[0], o.writes[0]);
  };
  dispatch_primitive(call);
}

void DecoratedOps::rope_append(const TensorView& q, const TensorView& k, const TensorView& v,
                               const StepInputs& in, const KvLayer& kv) {
  OpCall call{OpKind::kRopeAppend, {{k, v}, {q}, {}, in, kv}, 2, 1, 0, true, true, true};
  call.invoke = [](Ops& ops, const Operands& o, Workspace&) {
    ops.rope_append(o.writes[0], o.reads[0], o.reads[1], o.in, o.kv);
  };
  dispatch_primitive(call);
}

void DecoratedOps::attention(const TensorView& q, const StepInputs& in, const KvLayer& kv,
                             const TensorView& out) {
  OpCall call{OpKind::kAttention, {{q}, {out}, {}, in, kv}, 1, 1, 0, true};
  call.invoke = [](Ops& ops, const Operands& o, Workspace&) {
    ops.attention(o.reads[0], o.in, o.kv, o.writes[0]);
  };
  dispatch_primitive(call);
}

void DecoratedOps::swiglu(const TensorView& gate, const TensorView& up, const TensorView& out) {
  OpCall call{OpKind::kSwiglu, {{gate, up}, {out}, {}, {}, {}}, 2, 1};
  call.invoke = [](Ops& ops, const Operands& o, Workspace&) {
    ops.swiglu(o.reads[0], o.reads[1], o.writes[0]);
  };
  dispatch_primitive(call);
}

void DecoratedOps::add(const TensorView& x, const TensorView& y, const TensorView& out) {
  OpCall call{OpKind::kAdd, {{x, y}, {out}, {}, {}, {}}, 2, 1};
  call.invoke = [](Ops& ops, const Operands& o, Workspace&) { ops.add(o.reads[0], o.reads[1], o.writes[0]); };
  dispatch_primitive(call);
}

void DecoratedOps::gather_rows(const TensorView& x, const TensorView& rows, const TensorView& out) {
  OpCall call{OpKind::kGatherRows, {{x, rows}, {out}, {}, {}, {}}, 2, 1};
  call.invoke = [](Ops& ops, const Operands& o, Workspace&) {
    ops.gather_rows(o.reads[0], o.reads[1], o.writes[0]);
  };
  dispatch_primitive(call);
}

void DecoratedOps::argmax_rows(const TensorView& logits, const TensorView& best, const TensorView& largest) {
  OpCall call{OpKind::kArgmaxRows, {{logits}, {best, largest}, {}, {}, {}}, 1, 2};
  call.invoke = [](Ops& ops, const Operands& o, Workspace&) {
    ops.argmax_rows(o.reads[0], o.writes[0], o.writes[1]);
  };
  dispatch_primitive(call);
}

void DecoratedOps::norm_qkv_rope_append(const TensorView& x, const QkvWeights& w, float eps,
                                        const StepInputs& in, const KvLayer& kv, const TensorView& q,
                                        Workspace& ws) {
  OpCall call{OpKind::kNormQkvRopeAppend, {{x}, {q}, {w.norm, w.q, w.k, w.v}, in, kv}, 1, 1, 4, true, true};
  if (!keeps_fused(call)) return Ops::norm_qkv_rope_append(x, w, eps, in, kv, q, ws);
  call.invoke = [eps](Ops& ops, const Operands& o, Workspace& scratch) {
    const QkvWeights weights{o.weights[0], o.weights[1], o.weights[2], o.weights[3]};
    ops.norm_qkv_rope_append(o.reads[0], weights, eps, o.in, o.kv, o.writes[0], scratch);
  };
  dispatch(call, ws);
}

void DecoratedOps::linear_add(const TensorView& h, WeightId w, const TensorView& x, Workspace& ws) {
  OpCall call{OpKind::kLinearAdd, {{h}, {x}, {w}, {}, {}}, 1, 1, 1, false, false, true};
  if (!keeps_fused(call)) return Ops::linear_add(h, w, x, ws);
  call.invoke = [](Ops& ops, const Operands& o, Workspace& scratch) {
    ops.linear_add(o.reads[0], o.weights[0], o.writes[0], scratch);
  };
  dispatch(call, ws);
}

void DecoratedOps::norm_gate_up_swiglu(const TensorView& x, const GateUpWeights& w, float eps,
                                       const TensorView& h, Workspace& ws) {
  OpCall call{OpKind::kNormGateUpSwiglu, {{x}, {h}, {w.norm, w.gate, w.up}, {}, {}}, 1, 1, 3};
  if (!keeps_fused(call)) return Ops::norm_gate_up_swiglu(x, w, eps, h, ws);
  call.invoke = [eps](Ops& ops, const Operands& o, Workspace& scratch) {
    const GateUpWeights weights{o.weights[0], o.weights[1], o.weights[2]};
    ops.norm_gate_up_swiglu(o.reads[0], weights, eps, o.writes[0], scratch);
  };
  dispatch(call, ws);
}

void DecoratedOps::norm_head(const TensorView& x, WeightId norm, WeightId head, float eps,
                             const TensorView& logits, Workspace& ws) {
  OpCall call{OpKind::kNormHead, {{x}, {logits}, {norm, head}, {}, {}}, 1, 1, 2};
  if (!keeps_fused(call)) return Ops::norm_head(x, norm, head, eps, logits, ws);
  call.invoke = [eps](Ops& ops, const Operands& o, Workspace& scratch) {
    ops.norm_head(o.reads[0], o.weights[0], o.weights[1], eps, o.writes[0], scratch);
  };
  dispatch(call, ws);
}

namespace {

/// A host buffer of at least so many bytes, made anew only when it grows.
void* room(Ops& host, Buffer& buffer, int64_t bytes) {
  if (!buffer || static_cast<int64_t>(buffer.bytes()) < bytes) {
    buffer = host.memory().allocate(static_cast<size_t>(bytes), "a host copy of operands");
  }
  return buffer.data();
}

std::vector<float> as_f32(const void* data, DType dtype, int64_t n) {
  std::vector<float> values(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    values[static_cast<size_t>(i)] = dtype == DType::kI32
                                         ? static_cast<float>(static_cast<const int32_t*>(data)[i])
                                         : load_element(data, dtype, i);
  }
  return values;
}

}  // namespace

TensorView HostMirror::mirror(const TensorView& view, Buffer& buffer, bool copy) {
  TensorView host = view;
  host.data = room(host_, buffer, view.bytes());
  if (copy && view.bytes() > 0) {
    device_.memory().copy_out(host.data, view.data, static_cast<size_t>(view.bytes()));
    bytes_moved_ += view.bytes();
  }
  return host;
}

WeightId HostMirror::host_weight(WeightId id, const std::vector<WeightSourcePtr>& sources) {
  const auto index = static_cast<size_t>(id.index);
  CHECK(index < sources.size() && sources[index], "weight {} was not added through this decorator", id.index);
  if (host_ids_.size() <= index) host_ids_.resize(index + 1);
  if (host_ids_[index].index < 0) host_ids_[index] = host_.add_weight(sources[index]);
  return host_ids_[index];
}

void HostMirror::mirror_step(const OpCall& call) {
  const StepInputs& in = call.operands.in;
  StepInputs& host = mapped_.in = in;
  host.token_ids = mirror(in.token_ids, ints_[0], true);
  host.positions = mirror(in.positions, ints_[1], true);
  host.sequence_of_row = mirror(in.sequence_of_row, ints_[2], true);
  host.slots = mirror(in.slots, ints_[3], true);
  host.page_table = mirror(in.page_table, ints_[4], true);
  host.output_rows = mirror(in.output_rows, ints_[5], true);
  // The rotary table is large and never changes.
  host.rope = mirror(in.rope, rope_, rope_of_ != in.rope.data);
  rope_of_ = in.rope.data;

  const KvLayer& kv = call.operands.kv;
  kv_layout_ = *kv.layout;  // here the layer's pages lie one behind the other
  kv_layout_.k.page = kv_layout_.v.page = kv_layout_.page_stride();
  const int64_t bytes = kv_layout_.page_bytes() * kv.n_pages;
  mapped_.kv = {room(host_, k_, bytes), room(host_, v_, bytes), &kv_layout_, kv.n_pages};
  copy_pages(call, false);
}

std::set<int32_t> HostMirror::pages(const OpCall& call) const {
  std::set<int32_t> ids;
  const StepInputs& in = mapped_.in;
  if (call.writes_kv) {
    for (int32_t r = 0; r < in.n_rows; ++r)
      ids.insert(in.slots.i32()[r] / call.operands.kv.layout->page_tokens);
  } else {
    for (int64_t i = 0; i < in.page_table.shape.n_elements(); ++i) ids.insert(in.page_table.i32()[i]);
  }
  return ids;
}

void HostMirror::copy_pages(const OpCall& call, bool to_device) {
  const KvLayer& kv = call.operands.kv;
  const KvLayout& layout = *kv.layout;
  const int64_t bytes = layout.page_bytes();
  for (const int32_t page : pages(call)) {
    for (const auto& [device, host, stride] :
         {std::tuple{kv.k, mapped_.kv.k, layout.k.page}, std::tuple{kv.v, mapped_.kv.v, layout.v.page}}) {
      auto* on_device = static_cast<std::byte*>(device) + page * stride * layout.element_bytes();
      auto* on_host = static_cast<std::byte*>(host) + page * bytes;
      if (to_device) {
        device_.memory().copy_in(on_device, on_host, static_cast<size_t>(bytes));
      } else {
        device_.memory().copy_out(on_host, on_device, static_cast<size_t>(bytes));
      }
      bytes_moved_ += bytes;
    }
  }
}

const Operands& HostMirror::fetch(const OpCall& call, const std::vector<WeightSourcePtr>& sources) {
  bytes_moved_ = 0;
  mapped_ = call.operands;
  for (size_t i = 0; i < static_cast<size_t>(call.n_reads); ++i) {
    mapped_.reads[i] = mirror(call.operands.reads[i], reads_[i], true);
  }
  for (size_t i = 0; i < static_cast<size_t>(call.n_writes); ++i) {
    mapped_.writes[i] = mirror(call.operands.writes[i], writes_[i], call.updates_writes);
  }
  for (size_t i = 0; i < static_cast<size_t>(call.n_weights); ++i) {
    mapped_.weights[i] = host_weight(call.operands.weights[i], sources);
  }
  if (call.uses_step) mirror_step(call);
  return mapped_;
}

void HostMirror::store(const OpCall& call) {
  for (size_t i = 0; i < static_cast<size_t>(call.n_writes); ++i) {
    const TensorView& host = mapped_.writes[i];
    device_.memory().copy_in(call.operands.writes[i].data, host.data, static_cast<size_t>(host.bytes()));
    bytes_moved_ += host.bytes();
  }
  if (call.writes_kv) copy_pages(call, true);
}

std::vector<std::vector<float>> HostMirror::host_results(const OpCall& call) const {
  std::vector<std::vector<float>> results;
  for (size_t i = 0; i < static_cast<size_t>(call.n_writes); ++i) {
    const TensorView& view = mapped_.writes[i];
    results.push_back(as_f32(view.data, view.dtype, view.shape.n_elements()));
  }
  if (call.writes_kv) {
    const KvLayout& layout = kv_layout_;
    for (const auto& [data, strides] :
         {std::pair<const void*, const KvLayout::Strides&>{mapped_.kv.k, layout.k},
          {mapped_.kv.v, layout.v}}) {
      std::vector<float> all;
      for (const int32_t page : pages(call)) {
        for (int64_t row = 0; row < int64_t{layout.page_tokens} * layout.n_kv_heads; ++row) {
          all.resize(all.size() + static_cast<size_t>(layout.head_dim));
          load_kv_row(layout, strides, data, {page, row / layout.n_kv_heads, row % layout.n_kv_heads},
                      &all[all.size() - static_cast<size_t>(layout.head_dim)]);
        }
      }
      results.push_back(std::move(all));
    }
  }
  return results;
}

std::vector<std::vector<float>> HostMirror::device_results(const OpCall& call) {
  // The written views and pages to the host, in the shape of the mirrors, then read as host_results does.
  for (size_t i = 0; i < static_cast<size_t>(call.n_writes); ++i) {
    mapped_.writes[i] = mirror(call.operands.writes[i], writes_[i], true);
  }
  if (call.writes_kv) copy_pages(call, false);
  return host_results(call);
}

Workspace& HostMirror::workspace(const OpCall& call) {
  int64_t bytes = 4096;
  for (size_t i = 0; i < static_cast<size_t>(call.n_reads); ++i) bytes += 2 * call.operands.reads[i].bytes();
  for (size_t i = 0; i < static_cast<size_t>(call.n_writes); ++i)
    bytes += 2 * call.operands.writes[i].bytes();
  if (call.uses_step) {
    const KvLayout& layout = *call.operands.kv.layout;
    bytes += 2 * 4 * int64_t{call.operands.in.n_rows} * layout.n_kv_heads * layout.head_dim;
  }
  if (!workspace_ || static_cast<int64_t>(workspace_->capacity()) < bytes) {
    workspace_ = std::make_unique<Workspace>(host_.memory(), static_cast<size_t>(bytes));
  }
  return *workspace_;
}

}  // namespace chaski
