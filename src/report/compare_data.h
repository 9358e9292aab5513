// A comparison for programs: JSON and CSV.
#pragma once

#include <string>

#include "report/comparison.h"

namespace chaski {

inline constexpr std::string_view kComparisonSchema = "chaski.comparison/1";

/// schema, runs, differences, claims, scores, questions, metrics, judge, published, warnings. Names are
/// English.
OrderedJson compare_json(const Comparison& comparison);

/// One row per claim, type of task, question and metric, told apart by `kind`; see docs/en/compare.md.
std::string compare_csv(const Comparison& comparison);

}  // namespace chaski
