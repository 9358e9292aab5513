// What runs measured, as tables with a column per run: for one run alone and for a comparison alike. A table
// that no run has figures for is empty. Facts of a run are in run_facts.h.
#pragma once

#include <span>

#include "report/published.h"
#include "report/run_facts.h"
#include "report/score_summary.h"
#include "report/table.h"

namespace chaski {

using Runs = std::span<const RunView>;

/// Load, seconds, TTFT, tokens, rates; with what was published beside, which may be null.
Table speed_table(Runs runs, const Published* published, Lang lang);
/// A row per question: type, then of each run seconds, tokens and score; published seconds.
Table questions_table(Runs runs, const std::optional<ScorerChoice>& scorer, const Published* published,
                      Lang lang);
/// Mean scores by type of task with intervals.
Table scores_table(Runs runs, const ScorerChoice& scorer, Lang lang);
/// Shares by public protocols.
Table results_table(Runs runs, Lang lang);
/// Every named metric: median with its interval, percentiles for a run alone.
Table metrics_table(Runs runs, Lang lang);
Table memory_table(Runs runs, Lang lang);
Table energy_table(Runs runs, Lang lang);
/// Failures, ends of answers, repeats.
Table stability_table(Runs runs, const Published* published, Lang lang);
/// Rates, then ops with reason.
Table fallback_table(Runs runs, const Published* published, Lang lang);
/// Ops by time, of a traced run.
Table ops_table(const RunRecord& record, Lang lang);

/// All of the above but the questions, those that are not empty.
std::vector<Table> measured_tables(Runs runs, const std::optional<ScorerChoice>& scorer,
                                   const Published* published, Lang lang);

/// Warnings of the records, and why one has no score; each once, with the side's letter where a comparison
/// has two.
std::vector<std::string> record_warnings(Runs runs, Lang lang);

/// What the figures of the tables mean.
std::vector<std::string> definitions(Lang lang);

}  // namespace chaski
