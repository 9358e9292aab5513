#include "ops/trace_ops.h"

#include <fmt/format.h>

#include "base/clock.h"

namespace chaski {

void TraceOps::dispatch(const OpCall& call, Workspace& ws) {
  const std::span<const WeightId> matrices = call.matrices();
  const OpQuery query = query_of(call, matrices.empty() ? WeightId{} : matrices.back());
  device_.synchronize();
  const Stopwatch watch;
  call.invoke(device_, call.operands, ws);
  device_.synchronize();
  const double seconds = watch.seconds();
  std::string shape = shape_of(call, query);
  TraceRow& row = rows_[{call.kind, query.weight, phase_, shape}];
  row.op = call.kind;
  row.weight = query.weight;
  row.phase = phase_;
  row.shape = std::move(shape);
  row.seconds += seconds;
  ++row.calls;
  row.bytes += bytes_of(call, query);
}

/// Without how much of the cache a step sees, which differs from step to step.
std::string TraceOps::shape_of(const OpCall& call, const OpQuery& query) const {
  std::string shape = fmt::format("{} × {}", query.n_rows, query.n_cols);
  const std::span<const WeightId> matrices = call.matrices();
  if (matrices.empty() || weight(matrices.front()).n_rows() == 1) return shape;
  if (call.kind == OpKind::kEmbed) shape = std::to_string(query.n_cols);
  std::string rows;
  for (const WeightId matrix : matrices) {
    rows += fmt::format("{}{}", rows.empty() ? "" : " + ", weight(matrix).n_rows());
  }
  if (matrices.size() > 1) rows = "(" + rows + ")";
  return fmt::format("{} · {} × {}", shape, rows, weight(matrices.front()).n_cols());
}

int64_t TraceOps::bytes_of(const OpCall& call, const OpQuery& query) {
  int64_t bytes = 0;
  for (size_t i = 0; i < static_cast<size_t>(call.n_reads); ++i) bytes += call.operands.reads[i].bytes();
  for (size_t i = 0; i < static_cast<size_t>(call.n_writes); ++i) bytes += call.operands.writes[i].bytes();
  for (size_t i = 0; i < static_cast<size_t>(call.n_weights); ++i) {
    const WeightSource& source = weight(call.operands.weights[i]);
    // An embedding reads the rows of its tokens only.
    const int64_t n_rows = call.kind == OpKind::kEmbed ? query.n_cols : source.n_rows();
    bytes += n_rows * row_bytes(source.dtype(), source.n_cols());
  }
  if (call.kind == OpKind::kAttention) {
    const KvLayout& layout = *call.operands.kv.layout;
    std::vector<int32_t> positions(static_cast<size_t>(call.operands.in.n_rows));
    memory().copy_out(positions.data(), call.operands.in.positions.data, positions.size() * 4);
    for (const int32_t position : positions) {
      bytes += 2 * row_bytes(layout.dtype, (position + 1) * int64_t{layout.n_kv_heads} * layout.head_dim);
    }
  }
  return bytes;
}

std::vector<TraceRow> TraceOps::rows() const {
  std::vector<TraceRow> all;
  for (const auto& [key, row] : rows_) all.push_back(row);
  return all;
}

}  // namespace chaski
