// The number that an answer to a problem ends in, cut out of its text as lm-evaluation-harness' filters for
// GSM8K do, quirks included, so that figures compare. Source: docs/sources.md#lm-eval. Scoring by a rubric
// reads numbers in another way: numbers_in_text.h.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace chaski {

/// Without the white space of ASCII around it, as Python's str.strip leaves it.
std::string_view stripped(std::string_view text);

/// The filter "strict-match": what follows the first "The answer is " that has a number after it. One
/// character more must follow the number on its line; where none does, the number's own last is taken for it.
/// Nothing where no place matches.
std::optional<std::string> strict_match(std::string_view answer);

/// The filter "flexible-extract": the last run of two or more of digits, '.', ',' and '$', or single digit,
/// each with a minus before it that may be there. Nothing where there is none.
std::optional<std::string> flexible_extract(std::string_view answer);

/// What stands after the last "####" of a reference answer, without space around it.
std::string reference_answer(std::string_view answer);

/// Both alike once commas, dollar signs, all up to a last "#### " and one full stop at the end are gone, in
/// lower case. An answer from which nothing could be cut counts as the text "[invalid]".
bool is_exact_match(const std::optional<std::string>& found, std::string_view reference);

}  // namespace chaski
