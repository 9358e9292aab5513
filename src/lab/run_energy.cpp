#include "lab/run_energy.h"

#include <algorithm>
#include <chrono>
#include <thread>

namespace chaski {

void RunEnergy::measure_idle(double seconds) {
  idle_watts_.assign(found_.meters.size(), std::nullopt);
  if (found_.meters.empty()) return;
  begin();
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  for (size_t m = 0; m < found_.meters.size(); ++m) {
    const EnergyReading reading = found_.meters[m]->stop();
    if (reading.joules && reading.seconds > 0) idle_watts_[m] = *reading.joules / reading.seconds;
  }
}

void RunEnergy::begin() {
  for (const auto& meter : found_.meters) meter->start();
}

void RunEnergy::end(size_t subject, const std::string& phase, int64_t n_tokens) {
  for (size_t m = 0; m < found_.meters.size(); ++m) {
    const EnergyReading reading = found_.meters[m]->stop();
    std::vector<EnergyRecord>& of_meter = sums_[{subject, m}];
    auto sum = std::find_if(of_meter.begin(), of_meter.end(),
                            [&](const EnergyRecord& record) { return record.phase == phase; });
    if (sum == of_meter.end()) {
      EnergyRecord fresh;
      fresh.source = reading.source;
      fresh.phase = phase;
      fresh.joules = 0;
      if (m < idle_watts_.size()) fresh.idle_watts = idle_watts_[m];
      sum = of_meter.insert(of_meter.end(), std::move(fresh));
    }
    sum->seconds += reading.seconds;
    sum->n_tokens += n_tokens;
    // One reading that cannot be had makes the sum one that cannot.
    if (!reading.joules) {
      sum->joules = std::nullopt;
      sum->why_not = reading.why_not;
    } else if (sum->joules) {
      *sum->joules += *reading.joules;
    }
  }
}

std::vector<EnergyRecord> RunEnergy::records(size_t subject) const {
  std::vector<EnergyRecord> all;
  for (const auto& [key, of_meter] : sums_) {
    if (key.first == subject) all.insert(all.end(), of_meter.begin(), of_meter.end());
  }
  if (!found_.meters.empty()) return all;
  for (const std::string& why_not : found_.why_not) {
    EnergyRecord missing;
    missing.phase = run_;
    missing.why_not = why_not;
    all.push_back(std::move(missing));
  }
  return all;
}

}  // namespace chaski
