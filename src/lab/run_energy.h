// Joules of a run: the machine's meters around each of its parts, added up by subject (one of several models)
// and phase, and beside them what the machine draws when nothing runs. The meters themselves are
// machine/meters.h.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "machine/meters.h"
#include "report/run_record.h"

namespace chaski {

class RunEnergy {
 public:
  /// `run`, as "bench": the phase of entries that say why there is no meter.
  RunEnergy(FoundMeters meters, std::string run) : found_(std::move(meters)), run_(std::move(run)) {}

  bool has_meters() const { return !found_.meters.empty(); }
  /// Watts of each meter over `seconds` of waiting; without meters at once.
  void measure_idle(double seconds);
  void begin();
  /// Of what ran since begin.
  void end(size_t subject, const std::string& phase, int64_t n_tokens);
  /// Of one subject: by meter and phase; where there is no meter, one entry for each that is missing, with
  /// the reason.
  std::vector<EnergyRecord> records(size_t subject) const;
  /// "joules_per_token", a sample for each part of `phase` that was measured, by the first meter. Nothing
  /// where there is none, or one of its readings could not be had.
  std::optional<NamedMetric> joules_per_token(size_t subject, const std::string& phase) const;

 private:
  struct Sum {
    EnergyRecord record;
    std::vector<double> joules_per_token;  ///< of each part
  };

  FoundMeters found_;
  std::string run_;
  std::vector<std::optional<double>> idle_watts_;               ///< by meter
  std::map<std::pair<size_t, size_t>, std::vector<Sum>> sums_;  ///< by subject and meter
};

}  // namespace chaski
