// Public sets of multiple choice: C-Eval, CMMLU and MMLU in their own CSV files, asked as
// lm-evaluation-harness asks them. Source: docs/sources.md#lm-eval. How a choice is scored is
// loglikelihood.h's; the names of the subjects are in choice_subjects.cpp.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lab/public_suites.h"

namespace chaski {

struct ChoiceSubject {
  std::string_view id;     ///< as in its files' names
  std::string_view title;  ///< as the prompt says it; empty: the id with spaces
  std::string_view group;  ///< that has a mean of its own; empty: none
};

/// How one set is kept in files, and how it is asked.
struct ChoiceSet {
  std::string_view name, title;
  std::string_view split, split_suffix;  ///< folder of the questions asked, and how its files' names end
  std::string_view dev_suffix;           ///< the same of the worked examples in dev/
  std::string_view question_column, answer_column;  ///< in the header; empty: six columns and no header
  std::string_view lead_begin, lead_end;            ///< what stands before all, around the subject's title
  std::string_view cue;                             ///< after the choices
  std::string_view where_from;                      ///< which data set, for people
  std::span<const ChoiceSubject> subjects;          ///< those known by name; others are taken as well
};

/// `NAME:DIR` or `NAME:DIR:SUBJECT`, five worked examples before each question; figures acc and acc_norm by
/// subject, by group and of all.
const PublicSuite& ceval();
const PublicSuite& cmmlu();
const PublicSuite& mmlu();
const ChoiceSet& ceval_set();
const ChoiceSet& cmmlu_set();
const ChoiceSet& mmlu_set();

struct ChoiceQuestion {
  std::string text;       ///< question, choices and cue
  std::string_view gold;  ///< "A" … "D"
};

/// The questions of one file. Throws Error(kCorrupt) naming `where` and line.
std::vector<ChoiceQuestion> parse_choice_questions(const ChoiceSet& set, std::string_view csv,
                                                   std::string_view where);

}  // namespace chaski
