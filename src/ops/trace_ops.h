// Times each op: what ran, how often, bytes moved, seconds. It waits for every op, so a traced step is slower
// than an untraced one and its parts are what is to be read.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "ops/decorated_ops.h"

namespace chaski {

/// All calls of one op on one weight format and of one shape, in one phase.
struct TraceRow {
  OpKind op;
  DType weight = DType::kF32;
  std::string phase;  ///< as the caller named it; empty: it did not
  std::string shape;  ///< "256 × 2048 · (2048 + 512 + 512) × 2048": rows in, then the weights
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
  /// What is traced from here on belongs to this phase.
  void begin_phase(std::string phase) { phase_ = std::move(phase); }

 protected:
  void dispatch(const OpCall& call, Workspace& ws) override;

 private:
  std::string shape_of(const OpCall& call, const OpQuery& query) const;
  int64_t bytes_of(const OpCall& call, const OpQuery& query);

  std::string phase_;
  std::map<std::tuple<OpKind, DType, std::string, std::string>, TraceRow> rows_;
};

}  // namespace chaski
