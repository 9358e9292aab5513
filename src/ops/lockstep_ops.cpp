#include "ops/lockstep_ops.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace chaski {

LockstepOps::LockstepOps(Ops& device, Ops& reference, LockstepBounds bounds)
    : DecoratedOps(device), reference_(reference), bounds_(bounds), mirror_(device, reference) {}

void LockstepOps::dispatch(const OpCall& call, Workspace& ws) {
  if (call.n_weights > 0) {
    last_weight_ = weight(call.operands.weights[static_cast<size_t>(call.n_weights) - 1]).name();
  }
  // The reference runs first: the device may write over its own operands.
  const Operands& operands = mirror_.fetch(call, sources());
  call.invoke(reference_, operands, mirror_.workspace(call));
  const std::vector<std::vector<float>> expected = mirror_.host_results(call);
  call.invoke(device_, call.operands, ws);
  compare(call, expected, mirror_.device_results(call));
  ++n_compared_;
}

std::string LockstepOps::place_of(const OpCall& call) const {
  std::string text = fmt::format("op {}", name_of(call.kind));
  constexpr std::string_view kPrefix = "model.layers.";
  if (last_weight_.starts_with(kPrefix)) {
    const size_t end = last_weight_.find('.', kPrefix.size());
    text = fmt::format("layer {}, {}", last_weight_.substr(kPrefix.size(), end - kPrefix.size()), text);
  }
  return call.n_weights > 0 ? fmt::format("{} ({})", text, last_weight_) : text;
}

void LockstepOps::compare(const OpCall& call, const std::vector<std::vector<float>>& expected,
                          const std::vector<std::vector<float>>& found) {
  for (size_t part = 0; part < expected.size(); ++part) {
    const bool is_view = part < static_cast<size_t>(call.n_writes);
    const size_t width = static_cast<size_t>(is_view ? call.operands.writes[part].n_cols()
                                                     : call.operands.kv.layout->page_elements());
    for (size_t start = 0; start < expected[part].size(); start += width) {
      double largest = 0;
      for (size_t i = start; i < start + width; ++i)
        largest = std::max(largest, std::fabs(double{expected[part][i]}));
      const double bound = bounds_.absolute + bounds_.relative * largest;
      for (size_t i = start; i < start + width; ++i) {
        const double deviation = std::fabs(double{found[part][i]} - double{expected[part][i]});
        if (!(deviation <= bound)) {
          const std::string_view what = is_view                       ? "result"
                                        : part + 1 == expected.size() ? "cached v"
                                                                      : "cached k";
          throw Error(
              ErrorCode::kDevice, "lockstep",
              fmt::format("{}: {} differs at row {}, column {}: expected {:.9g}, found {:.9g}, bound {:.3g}",
                          place_of(call), what, start / width, i - start, expected[part][i], found[part][i],
                          bound),
              fmt::format("compare {} on {} with the oracle on these operands", name_of(call.kind),
                          device_.name()));
        }
        if (deviation / bound > worst_ratio_) {
          worst_ratio_ = deviation / bound;
          worst_op_ = place_of(call);
        }
      }
    }
  }
}

}  // namespace chaski
