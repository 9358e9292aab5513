#include "ops/trace_ops.h"

#include "base/clock.h"

namespace chaski {

void TraceOps::dispatch(const OpCall& call, Workspace& ws) {
  const std::span<const WeightId> matrices = call.matrices();
  const OpQuery query = query_of(call, matrices.empty() ? WeightId{} : matrices.back());
  device_.synchronize();
  const Stopwatch watch;
  call.invoke(device_, call.operands, ws);
  device_.synchronize();
  TraceRow& row = rows_[{call.kind, query.weight}];
  row.op = call.kind;
  row.weight = query.weight;
  row.seconds += watch.seconds();
  ++row.calls;
  for (size_t i = 0; i < static_cast<size_t>(call.n_reads); ++i) row.bytes += call.operands.reads[i].bytes();
  for (size_t i = 0; i < static_cast<size_t>(call.n_writes); ++i)
    row.bytes += call.operands.writes[i].bytes();
  for (size_t i = 0; i < static_cast<size_t>(call.n_weights); ++i) {
    const WeightSource& source = weight(call.operands.weights[i]);
    // An embedding reads the rows of its tokens only.
    const int64_t n_rows = call.kind == OpKind::kEmbed ? query.n_cols : source.n_rows();
    row.bytes += n_rows * row_bytes(source.dtype(), source.n_cols());
  }
  if (call.kind == OpKind::kAttention) {
    const KvLayout& layout = *call.operands.kv.layout;
    std::vector<int32_t> positions(static_cast<size_t>(call.operands.in.n_rows));
    memory().copy_out(positions.data(), call.operands.in.positions.data, positions.size() * 4);
    for (const int32_t position : positions) {
      row.bytes += 2 * row_bytes(layout.dtype, (position + 1) * int64_t{layout.n_kv_heads} * layout.head_dim);
    }
  }
}

std::vector<TraceRow> TraceOps::rows() const {
  std::vector<TraceRow> all;
  for (const auto& [key, row] : rows_) all.push_back(row);
  return all;
}

}  // namespace chaski
