// GSM8K: school arithmetic in words, answered with the reasoning written out. Source: docs/sources.md#gsm8k.
// What of an answer counts is final_answer.h's.
#pragma once

#include <string>
#include <string_view>

#include "lab/public_suites.h"

namespace chaski {

/// `gsm8k:FILE` or `gsm8k:FILE:EXAMPLES`, FILE being test.jsonl: eight worked examples, then the question;
/// greedy, at most 256 tokens. The examples are ours; a JSONL file of others, as the published ones, takes
/// their place. Figures: exact_match by lm-evaluation-harness' filters strict-match and flexible-extract.
const PublicSuite& gsm8k();

/// The set from the texts of its file and of the examples, where `examples` is not empty. Throws
/// Error(kCorrupt) naming file and line.
Suite parse_gsm8k(std::string_view jsonl, std::string_view where, std::string_view examples = {},
                  std::string_view examples_where = {});

}  // namespace chaski
