#include "lab/eval_energy.h"

namespace chaski {

EvalEnergy::EvalEnergy(const MeterPlaces& places) : found_(find_energy_meters(places)) {
  for (const auto& meter : found_.meters) {
    EnergyRecord sum;
    sum.source = meter->source();
    sum.phase = "eval";
    sum.joules = 0;
    sums_.push_back(sum);
  }
}

void EvalEnergy::start() {
  for (const auto& meter : found_.meters) meter->start();
}

void EvalEnergy::stop(int64_t n_tokens) {
  for (size_t i = 0; i < sums_.size(); ++i) {
    const EnergyReading reading = found_.meters[i]->stop();
    EnergyRecord& sum = sums_[i];
    sum.seconds += reading.seconds;
    sum.n_tokens += n_tokens;
    if (!reading.joules) {
      sum.joules.reset();
      sum.why_not = reading.why_not;
    } else if (sum.joules) {
      *sum.joules += *reading.joules;
    }
  }
}

std::vector<EnergyRecord> EvalEnergy::records() const {
  std::vector<EnergyRecord> records = sums_;
  for (const std::string& why_not : found_.why_not) {
    EnergyRecord record;
    record.phase = "eval";
    record.why_not = why_not;
    records.push_back(record);
  }
  return records;
}

}  // namespace chaski
