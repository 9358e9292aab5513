#include "lab/run_energy.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "report/statistics.h"

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
    std::vector<Sum>& of_meter = sums_[{subject, m}];
    auto sum = std::find_if(of_meter.begin(), of_meter.end(),
                            [&](const Sum& one) { return one.record.phase == phase; });
    if (sum == of_meter.end()) {
      Sum fresh;
      fresh.record.source = reading.source;
      fresh.record.phase = phase;
      fresh.record.joules = 0;
      if (m < idle_watts_.size()) fresh.record.idle_watts = idle_watts_[m];
      sum = of_meter.insert(of_meter.end(), std::move(fresh));
    }
    EnergyRecord& record = sum->record;
    if (reading.busy_percent && record.seconds + reading.seconds > 0) {
      record.busy_percent =
          (record.busy_percent.value_or(0) * record.seconds + *reading.busy_percent * reading.seconds) /
          (record.seconds + reading.seconds);
    }
    if (reading.temperature_c)
      record.temperature_c =
          std::max(record.temperature_c.value_or(*reading.temperature_c), *reading.temperature_c);
    record.seconds += reading.seconds;
    record.n_tokens += n_tokens;
    // One reading that cannot be had makes the sum one that cannot.
    if (!reading.joules) {
      record.joules = std::nullopt;
      record.why_not = reading.why_not;
    } else if (record.joules) {
      *record.joules += *reading.joules;
      if (n_tokens > 0) sum->joules_per_token.push_back(*reading.joules / static_cast<double>(n_tokens));
    }
  }
}

std::optional<NamedMetric> RunEnergy::joules_per_token(size_t subject, const std::string& phase) const {
  const auto of_meter = sums_.find({subject, 0});
  if (of_meter == sums_.end()) return std::nullopt;
  for (const Sum& sum : of_meter->second) {
    if (sum.record.phase != phase || !sum.record.joules || sum.joules_per_token.empty()) continue;
    return NamedMetric{"joules_per_token", "J/token", false, 0, summarize(sum.joules_per_token)};
  }
  return std::nullopt;
}

std::vector<EnergyRecord> RunEnergy::records(size_t subject) const {
  std::vector<EnergyRecord> all;
  for (const auto& [key, of_meter] : sums_) {
    if (key.first != subject) continue;
    for (const Sum& sum : of_meter) all.push_back(sum.record);
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
