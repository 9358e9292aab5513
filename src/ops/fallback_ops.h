// Runs on the host what the device cannot do, and counts it: no fallback is silent.
#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ops/decorated_ops.h"

namespace chaski {

/// One kind of fallback and what it cost.
struct FallbackCount {
  OpKind op;
  std::string reason;
  int64_t calls = 0;
  int64_t bytes = 0;  ///< copied between device and host
  double seconds = 0;
};

class FallbackOps : public DecoratedOps {
 public:
  /// `host` must have host-accessible memory. With `is_strict`, a fallback is an Error(kUnsupported) instead.
  FallbackOps(Ops& device, Ops& host, bool is_strict = false);

  std::string_view name() const override { return "fallback"; }
  /// As the device's where it can do every primitive on every weight; a step with a fallback copies and
  /// waits.
  std::string why_not_capturable() const override;
  std::unique_ptr<CapturedGraph> capture(const std::function<void()>& step) override;

  std::vector<FallbackCount> counts() const;
  int64_t n_calls() const { return n_calls_; }  ///< ops dispatched, fallen back or not
  int64_t n_fallbacks() const;
  int64_t n_kinds() const { return static_cast<int64_t>(kinds_.size()); }  ///< of ops dispatched
  int64_t n_fallback_kinds() const;

 protected:
  void dispatch(const OpCall& call, Workspace& ws) override;
  bool keeps_fused(const OpCall& call) const override { return static_cast<bool>(device_support(call)); }

 private:
  Ops& host_;
  bool is_strict_;
  HostMirror mirror_;
  std::map<std::pair<OpKind, std::string>, FallbackCount> counts_;
  int64_t n_calls_ = 0;
  std::set<OpKind> kinds_;
};

}  // namespace chaski
