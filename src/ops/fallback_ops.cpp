#include "ops/fallback_ops.h"

#include "base/clock.h"
#include "base/error.h"

namespace chaski {

FallbackOps::FallbackOps(Ops& device, Ops& host, bool is_strict)
    : DecoratedOps(device), host_(host), is_strict_(is_strict), mirror_(device, host) {
  CHECK(host.memory().is_host_accessible(), "{} cannot stand in for {}", host.name(), device.name());
}

std::string FallbackOps::why_not_capturable() const {
  for (int kind = 0; kind <= static_cast<int>(OpKind::kArgmaxRows); ++kind) {
    for (const WeightSourcePtr& source : sources()) {
      const OpQuery query{static_cast<OpKind>(kind), source->dtype(), 1, source->n_cols()};
      if (!device_.supports(query)) return DecoratedOps::why_not_capturable();
    }
  }
  return device_.why_not_capturable();
}

std::unique_ptr<CapturedGraph> FallbackOps::capture(const std::function<void()>& step) {
  return device_.capture(step);
}

void FallbackOps::dispatch(const OpCall& call, Workspace& ws) {
  ++n_calls_;
  kinds_.insert(call.kind);
  const OpSupport support = device_support(call);
  if (support) return call.invoke(device_, call.operands, ws);
  if (is_strict_) {
    throw Error(ErrorCode::kUnsupported, "run op",
                fmt::format("{} cannot do {}: {}", device_.name(), name_of(call.kind), support.why_not),
                "leave out --strict to run it on the CPU, counted");
  }
  const Stopwatch watch;
  const Operands& operands = mirror_.fetch(call, sources());
  call.invoke(host_, operands, mirror_.workspace(call));
  mirror_.store(call);
  FallbackCount& count = counts_[{call.kind, support.why_not}];
  count.op = call.kind;
  count.reason = support.why_not;
  ++count.calls;
  count.bytes += mirror_.bytes_moved();
  count.seconds += watch.seconds();
}

std::vector<FallbackCount> FallbackOps::counts() const {
  std::vector<FallbackCount> all;
  for (const auto& [key, count] : counts_) all.push_back(count);
  return all;
}

int64_t FallbackOps::n_fallback_kinds() const {
  std::set<OpKind> kinds;
  for (const auto& [key, count] : counts_) kinds.insert(count.op);
  return static_cast<int64_t>(kinds.size());
}

int64_t FallbackOps::n_fallbacks() const {
  int64_t n = 0;
  for (const auto& [key, count] : counts_) n += count.calls;
  return n;
}

}  // namespace chaski
