// Scores an answer from 1 to 5 by the rules of its task type: components with weights and evidence, caps,
// penalties. The rules' numbers and words are data (suites/rubric.yaml, or a suite's own rubric.yaml); their
// meaning is in score_*.cpp and in docs/en/scoring.md. A judge model is another thing: judge.h.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lab/code_runner.h"
#include "lab/suite.h"
#include "report/run_record.h"

namespace chaski {

struct Rubric {
  std::string name;    ///< with its version
  std::string sha256;  ///< of its text
  struct Type {
    std::map<std::string, double> weights;  ///< of components; they sum to 1
    std::map<std::string, double> caps;     ///< by the name of what calls for them
  };
  std::map<std::string, Type> types;
  std::map<std::string, double> penalties;  ///< by name, as points
  std::map<std::string, double> limits;     ///< thresholds by name
  /// What answers are searched for, by name: alternatives of which any counts.
  std::map<std::string, std::vector<std::string>> words;
  /// The same where different ones are counted: groups of alternatives.
  std::map<std::string, std::vector<std::vector<std::string>>> groups;
};

/// Throws Error(kCorrupt) naming line and field; unknown names are errors, not passed over, and so is a
/// missing one, but a rubric may leave types out.
Rubric parse_rubric(std::string_view yaml, std::string_view where);
/// The built-in one.
const Rubric& default_rubric();

/// Score one answer to one item. Needs no model. `runner` may be null: code is then "not_run". An item whose
/// type the rubric does not know, or whose references the type needs and lacks, gives status "no_rule" with
/// the reason. `model` is the name of the model that answered: what it says of itself is checked against it
/// where the item has no `true_identity`.
ScoreRecord score_answer(const SuiteItem& item, const AnswerRecord& answer, const Rubric& rubric,
                         CodeRunner* runner, const CancelToken& cancel, std::string_view model = {});

}  // namespace chaski
