// Whether figures of two records compare at all: what must be equal beside what is compared. Claims
// (claims.h) that fail here stay undecided, and say why.
#pragma once

#include <string>
#include <string_view>

#include "report/lang.h"
#include "report/run_record.h"

namespace chaski {

/// What keeps two figures from being compared.
enum class Obstacle {
  kNone,
  kKind,         ///< an eval beside a bench
  kBatch,        ///< other numbers of sequences or requests at once
  kShared,       ///< answers made several at once: the seconds of one contain the work of others
  kTest,         ///< tests of other lengths or depths
  kContext,      ///< room for other numbers of positions
  kScoring,      ///< scored by other rubrics
  kQuestions,    ///< no question in common
  kPhase,        ///< energy of other phases, or by other meters
  kNoVerdict,    ///< the judge gave none
  kNotMeasured,  ///< a time is not that of the device it is named after: modelled or emulated
  kUnsteady      ///< the judge's verdicts mostly changed with the order in which answers were shown
};

/// Of times of whole runs.
Obstacle time_obstacle(const RunRecord& a, const RunRecord& b);
/// Of times of single answers.
Obstacle answer_time_obstacle(const RunRecord& a, const RunRecord& b);
/// Of a bench's metric of that bare name, which belongs to the first test of its kind in settings.tests.
Obstacle metric_obstacle(const RunRecord& a, const RunRecord& b, std::string_view metric);
/// Of bytes allotted.
Obstacle memory_obstacle(const RunRecord& a, const RunRecord& b);
Obstacle scoring_obstacle(const RunRecord& a, const RunRecord& b);

/// "batch" and the like, for programs; empty for none.
std::string_view name_of(Obstacle obstacle);
/// "the runs had other numbers of requests at once", to follow a colon.
std::string_view obstacle_text(Obstacle obstacle, Lang lang);

}  // namespace chaski
