// Energy while answers are made, summed over as many pieces as an evaluation is asked in.
#pragma once

#include <vector>

#include "machine/meters.h"
#include "report/run_record.h"

namespace chaski {

class EvalEnergy {
 public:
  explicit EvalEnergy(const MeterPlaces& places = {});

  void start();
  /// `n_tokens` were generated since start.
  void stop(int64_t n_tokens);
  /// For each meter its sum, and for each kind of meter that is not readable why. A meter that failed once
  /// has no sum.
  std::vector<EnergyRecord> records() const;

 private:
  FoundMeters found_;
  std::vector<EnergyRecord> sums_;
};

}  // namespace chaski
