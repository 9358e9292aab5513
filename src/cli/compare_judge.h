// `compare --judge`: a judge's word on a comparison.
#pragma once

#include "cli/scoring.h"
#include "report/comparison.h"

namespace chaski::cli {

/// Ask the judge that `options` name of each pair of answers, with progress on a terminal, and decide the
/// claims with its verdicts. Throws Error(kUsage) where no question has two answers in words, and what Judge
/// throws.
void judge_comparison(Comparison& comparison, const ScoringOptions& options, const Context& context);

}  // namespace chaski::cli
