// Asks a judge which of two runs' answers is better, question by question. What its verdicts say is
// report/pairwise.h's; one pair is judge.h's.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/cancel.h"
#include "lab/judge.h"
#include "report/comparison.h"
#include "report/pairwise.h"

namespace chaski {

/// The pairs that both runs answered in words, neither of them failed.
std::vector<AnswerPair> pairs_to_judge(const std::vector<AnswerPair>& pairs);

/// A verdict for each of these pairs, in their order. References are those of `suite`, null where it is not
/// at hand. A pair without a verdict is counted, never an error; throws what Judge::compare throws.
Judgement judge_pairs(const std::vector<AnswerPair>& pairs, const Suite* suite, Judge& judge,
                      const CancelToken& cancel,
                      const std::function<void(int64_t done, int64_t total)>& on_progress = {});

}  // namespace chaski
