// Answers on a page: the question, then each run's answer with its figures and the evidence of its scores.
#pragma once

#include "report/comparison.h"
#include "report/html_page.h"

namespace chaski {

/// A section with every pair, or, for `runs` of one, every answer; long answers cut, with how much is missing
/// and where it is, until the page is full.
void add_answers(HtmlBody& body, std::span<const RunView> runs, const std::vector<AnswerPair>& pairs,
                 Lang lang);

}  // namespace chaski
