// Joules of a bench's tests: the machine's meters around each timed part, added up by subject and test, and
// beside them what the machine draws when nothing runs. The meters themselves are machine/meters.h.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lab/bench.h"
#include "machine/meters.h"
#include "report/run_record.h"

namespace chaski {

class BenchEnergy {
 public:
  explicit BenchEnergy(FoundMeters meters) : found_(std::move(meters)) {}

  bool has_meters() const { return !found_.meters.empty(); }
  /// Watts of each meter over `seconds` of waiting; without meters at once.
  void measure_idle(double seconds);
  void begin();
  /// Of what ran since begin.
  void end(size_t subject, const BenchTest& test, int64_t n_tokens);
  /// Of one subject: by meter and test; where there is no meter, one entry for each that is missing, with the
  /// reason.
  std::vector<EnergyRecord> records(size_t subject) const;

 private:
  FoundMeters found_;
  std::vector<std::optional<double>> idle_watts_;                        ///< by meter
  std::map<std::pair<size_t, size_t>, std::vector<EnergyRecord>> sums_;  ///< by subject and meter
};

}  // namespace chaski
