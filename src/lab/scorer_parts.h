// What the scorers of the task types share: an answer made ready to be scored, the sheet that they fill in,
// and phrases told from denied ones. scorer.cpp adds up.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lab/scorer.h"
#include "lab/scorer_markup.h"
#include "lab/scorer_text.h"

namespace chaski {

/// An answer with all that its scoring needs. Lives in one place: the folded text points into the parts.
struct Reading {
  Reading(const SuiteItem& item, const AnswerRecord& answer, const Rubric& rubric, std::string_view model);
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

  const SuiteItem& item;
  const AnswerRecord& answer;
  const Rubric& rubric;
  std::string_view model;
  AnswerParts parts;
  FoldedText text;     ///< of parts.text
  FoldedText prose;    ///< of parts.prose, or for other types than code of parts.text
  bool is_zh = false;  ///< what the answer should be in: Chinese, else English

  double limit(std::string_view name) const;
  /// The limit for the answer's language, as "concept_min" of "concept_min_zh".
  double limit_in_language(const std::string& name) const { return limit(name + (is_zh ? "_zh" : "_en")); }
  std::vector<Phrase> words(const std::string& name) const;
  /// The letters of the answer's language as a share of all; nothing where there is too little text.
  std::optional<double> language_share() const;
};

/// What a scorer found: values of its components, caps that apply.
struct ScoreSheet {
  struct Component {
    std::string name;
    double value;
    std::string evidence;
  };
  std::vector<Component> components;
  std::vector<std::pair<std::string, std::string>> caps;  ///< name and evidence
  std::optional<bool> is_correct;
  std::string status = "scored", note;

  void add(std::string name, double value, std::string evidence);
  void cap(std::string name, std::string evidence) {
    caps.emplace_back(std::move(name), std::move(evidence));
  }
  void give_up(std::string why_status, std::string why) {
    status = std::move(why_status), note = std::move(why);
  }
};

/// Whether what a text says somewhere is said or denied.
class Denials {
 public:
  explicit Denials(const Reading& reading);
  /// "not Hangzhou", "杭州不是…": a negation rules the match in its clause.
  bool is_denied(const FoldedText& text, TextMatch match) const;
  /// The first place that says one of the phrases and does not deny it.
  std::optional<TextMatch> first_said(const FoldedText& text, const std::vector<Phrase>& phrases) const;

 private:
  std::vector<Phrase> before_, affirmations_, after_;
  size_t window_;
};

/// The reference fields of an item: nothing where it is absent or not what its name promises.
std::optional<std::string> reference_text(const SuiteItem& item, const char* field);
std::optional<std::vector<std::string>> reference_list(const SuiteItem& item, const char* field);
using TextGroups = std::vector<std::vector<std::string>>;
std::optional<TextGroups> reference_groups(const SuiteItem& item, const char* field);
/// The same of a value: a list of lists of texts.
std::optional<TextGroups> text_groups_of(const Json& list);

/// 1 from least to most, less the further below or above, 0 from nothing and from twice the most on.
double within_band(double n, double least, double most);

/// The types. Each fills the sheet, or gives up saying what the item lacks.
void score_arithmetic(const Reading& reading, ScoreSheet& sheet);
void score_commonsense(const Reading& reading, ScoreSheet& sheet);
void score_concept(const Reading& reading, ScoreSheet& sheet);
void score_introduction(const Reading& reading, ScoreSheet& sheet);
void score_code(const Reading& reading, CodeRunner* runner, const CancelToken& cancel, ScoreSheet& sheet);

}  // namespace chaski
