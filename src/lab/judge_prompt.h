// What a judge is asked, and how its reply is read. Pure: no network, no file.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "lab/judge.h"

namespace chaski {

/// What an endpoint answers to a chat completion.
struct JudgeReply {
  std::string model;                   ///< that says it gave it; empty where none does
  std::optional<std::string> content;  ///< of the first choice; nothing where there is none
};
/// From the body of the answer; where there is no content, `why` says what is wrong.
JudgeReply parse_completion(std::string_view body, std::string& why);

/// What an answer is graded by, from 1 to 10 each.
inline constexpr std::array<std::string_view, 4> kJudgeDimensions = {"correct", "complete", "clear",
                                                                     "fitting"};

/// The body of a chat completion that asks for grades of one answer, or for the better of two.
OrderedJson grading_request(const SuiteItem& item, const AnswerRecord& answer);
OrderedJson pairing_request(const SuiteItem& item, const AnswerRecord& first, const AnswerRecord& second);
/// Whether the judge would see the same text twice.
bool show_the_same(const AnswerRecord& first, const AnswerRecord& second);

struct JudgeGrades {
  std::array<int, kJudgeDimensions.size()> grades{};  ///< 1 … 10
  std::string reason;
};
/// Strictly what was asked for, alone or in one fence; else nothing, and `why` says what is wrong.
std::optional<JudgeGrades> parse_grades(std::string_view content, std::string& why);

struct JudgeVerdict {
  Preference preference = Preference::kTie;  ///< by the order in which they were shown
  std::string reason;
};
std::optional<JudgeVerdict> parse_verdict(std::string_view content, std::string& why);

/// SHA-256 of all that the prompts are made of.
std::string judge_prompts_sha256();

}  // namespace chaski
