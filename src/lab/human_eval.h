// HumanEval: 164 functions to complete, each judged by running its tests. Source: docs/sources.md#humaneval.
// Running the code is code_runner.h's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "lab/public_suites.h"

namespace chaski {

/// `humaneval:FILE`, FILE being HumanEval.jsonl or HumanEval.jsonl.gz: raw completion of each prompt, greedy
/// unless told otherwise, cut where the function ends; figures pass@1, and pass@10 and pass@100 where there
/// are samples enough.
const PublicSuite& human_eval();

/// The set from the text of its file. Throws Error(kCorrupt) naming `where`, line and field.
Suite parse_human_eval(std::string_view jsonl, std::string_view where);

/// What is run to judge an answer: the prompt, completed, and the problem's check as the one test.
CodeTask human_eval_task(const SuiteItem& item, const std::string& completion);

/// The unbiased estimate that at least one of k samples passes, where c of n do: 1 − C(n−c, k) / C(n, k).
double pass_at_k(int64_t n, int64_t c, int64_t k);

}  // namespace chaski
