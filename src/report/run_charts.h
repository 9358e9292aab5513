// Which charts pages have: of one run, or of two side by side.
#pragma once

#include <vector>

#include "report/run_tables.h"
#include "report/svg_chart.h"

namespace chaski {

/// Those that the records have figures for: scores as radar and bars, seconds and time per token per
/// question, TTFT, memory, metrics of a bench.
std::vector<Drawing> charts_of(Runs runs, const std::optional<ScorerChoice>& scorer,
                               const Published* published, Lang lang);

}  // namespace chaski
