// NPUs as meters: DCMI has no counter of energy, so power is integrated, and how busy and how hot the card
// was goes with it.
#include <fmt/format.h>

#include <algorithm>

#include "machine/dcmi.h"
#include "machine/meters_parts.h"

namespace chaski {
namespace {

class DcmiProbe final : public EnergyProbe {
 public:
  DcmiProbe(std::shared_ptr<const Dcmi> dcmi, Npu npu) : dcmi_(std::move(dcmi)), npu_(npu) {}

  std::string source() const override {
    return fmt::format("dcmi {}/{}{}", npu_.card, npu_.device, dcmi_->is_emulated() ? " (emulated)" : "");
  }
  std::chrono::milliseconds period() const override { return PowerIntegral::kPeriod; }
  double limit_watts() const override { return kMostWatts; }  // the library does not say

  void begin(double at_s) override {
    failure_.clear();
    busy_percents_ = n_busy_ = 0;
    most_c_.reset();
    power_.start(at_s);
    sample(at_s);
  }
  void sample(double at_s) override {
    const DriverValue<double> watts = dcmi_->power_watts(npu_);
    if (watts.value) {
      power_.add(*watts.value, at_s);
    } else {
      failure_ = watts.why_not;
    }
    if (const auto busy = dcmi_->busy_percent(npu_).value) {
      busy_percents_ += *busy;
      ++n_busy_;
    }
    if (const auto degrees = dcmi_->temperature_c(npu_).value)
      most_c_ = std::max(most_c_.value_or(*degrees), *degrees);
  }
  EnergyReading end(double at_s) override {
    sample(at_s);
    EnergyReading reading = power_.reading(at_s, failure_);
    if (n_busy_ > 0) reading.busy_percent = busy_percents_ / n_busy_;
    if (most_c_) reading.temperature_c = *most_c_;
    return reading;
  }

 private:
  std::shared_ptr<const Dcmi> dcmi_;
  Npu npu_;
  PowerIntegral power_;
  double busy_percents_ = 0, n_busy_ = 0;
  std::optional<int> most_c_;
  std::string failure_;  ///< of the last call that failed
};

}  // namespace

void find_dcmi_meters(const std::string& library, FoundMeters& found) {
  std::string why_not;
  const auto dcmi = Dcmi::open(library, why_not);
  if (dcmi == nullptr) {
    found.why_not.push_back(std::move(why_not));
    return;
  }
  for (const Npu npu : dcmi->npus()) {
    const DriverValue<double> watts = dcmi->power_watts(npu);
    if (watts.value) {
      found.meters.push_back(make_sampled_meter(std::make_unique<DcmiProbe>(dcmi, npu)));
    } else {
      found.why_not.push_back(fmt::format("dcmi {}/{}: {}", npu.card, npu.device, watts.why_not));
    }
  }
}

DeviceMemory dcmi_memory(const std::string& library) {
  DeviceMemory sum;
  std::string unused;
  const auto dcmi = Dcmi::open(library, unused);
  if (dcmi == nullptr) return sum;
  for (const Npu npu : dcmi->npus()) {
    if (const auto bytes = dcmi->process_bytes(npu))
      sum.of_this_process = sum.of_this_process.value_or(0) + *bytes;
    if (const auto hbm = dcmi->hbm(npu).value) sum.in_use = sum.in_use.value_or(0) + hbm->used_bytes;
  }
  return sum;
}

}  // namespace chaski
