// Times each op: what ran, how often, bytes moved, seconds. It waits for every op, so a traced step is slower
// than an untraced one and its parts are what is to be read.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ops/decorated_ops.h"

namespace chaski {

/// All calls of one op on one weight format.
struct TraceRow {
  OpKind op;
  DType weight = DType::kF32;
  int64_t calls = 0;
  int64_t bytes = 0;  ///< operands and weights read or written, the cache by what the step's rows see of it
  double seconds = 0;
};

class TraceOps : public DecoratedOps {
 public:
  explicit TraceOps(Ops& device) : DecoratedOps(device) {}
  std::string_view name() const override { return "trace"; }
  std::vector<TraceRow> rows() const;  ///< by op
  void reset() { rows_.clear(); }

 protected:
  void dispatch(const OpCall& call, Workspace& ws) override;

 private:
  std::map<std::pair<OpKind, DType>, TraceRow> rows_;
};

}  // namespace chaski
