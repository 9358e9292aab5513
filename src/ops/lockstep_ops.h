// Runs each op on the device and on a reference, on the same operands, and stops at the first that disagrees.
#pragma once

#include <string>

#include "ops/decorated_ops.h"

namespace chaski {

/// An element may differ by `absolute` + `relative` × the largest magnitude of its row.
struct LockstepBounds {
  double absolute = 1e-5;
  double relative = 1e-4;
};

class LockstepOps : public DecoratedOps {
 public:
  LockstepOps(Ops& device, Ops& reference, LockstepBounds bounds = {});

  std::string_view name() const override { return "lockstep"; }
  int64_t n_compared() const { return n_compared_; }   ///< ops
  double worst_ratio() const { return worst_ratio_; }  ///< largest deviation as a share of its bound
  const std::string& worst_op() const { return worst_op_; }

 protected:
  /// Throws Error(kDevice) naming layer, op, weight, row, column, expected, found and bound.
  void dispatch(const OpCall& call, Workspace& ws) override;

 private:
  void compare(const OpCall& call, const std::vector<std::vector<float>>& expected,
               const std::vector<std::vector<float>>& found);
  std::string place_of(const OpCall& call) const;

  Ops& reference_;
  LockstepBounds bounds_;
  HostMirror mirror_;
  std::string last_weight_;
  int64_t n_compared_ = 0;
  double worst_ratio_ = 0;
  std::string worst_op_;
};

}  // namespace chaski
