// Common sense: an accepted answer is said, and none that contradicts it.
#include <algorithm>
#include <set>

#include "base/utf8.h"
#include "lab/scorer_parts.h"

namespace chaski {
namespace {

/// Tells an answer that contradicts from one that is mentioned in passing, as in "北京,与上海、广州并列".
class Contradictions {
 public:
  explicit Contradictions(const Reading& reading)
      : text_(reading.text),
        denials_(reading),
        copulas_(reading.words("copulas")),
        alternatives_(reading.words("alternatives")) {
    add_known(replace_invalid_utf8(reading.item.prompt));
    for (const std::string& filler : reading.rubric.words.at("fillers")) add_known(filler);
  }

  /// Beside no accepted answer, each counts that is not denied; beside one, those that are offered as an
  /// alternative or said of what the question asks about.
  std::optional<TextMatch> first(const std::vector<Phrase>& rejects, const std::vector<Phrase>& accepts,
                                 bool has_accepted) const {
    std::vector<TextMatch> accepted;
    for (const Phrase& accept : accepts) {
      const auto matches = text_.find(accept);
      accepted.insert(accepted.end(), matches.begin(), matches.end());
    }
    for (const Phrase& reject : rejects) {
      for (const TextMatch& match : text_.find(reject)) {
        const bool is_inside = std::any_of(accepted.begin(), accepted.end(), [&](const TextMatch& good) {
          return good.begin < match.end && match.begin < good.end;
        });
        if (is_inside || denials_.is_denied(text_, match)) continue;
        if (!has_accepted || is_claimed(match)) return match;
      }
    }
    return std::nullopt;
  }

 private:
  void add_known(const std::string& text) {
    for (std::string& unit : fold_phrase(text)) known_.insert(std::move(unit));
  }

  /// Where the longest phrase that ends before `end` begins; `end` for none.
  size_t begin_of(const std::vector<Phrase>& phrases, size_t end) const {
    size_t begin = end;
    for (const Phrase& phrase : phrases) {
      if (phrase.size() <= end && text_.starts_at(phrase, end - phrase.size())) {
        begin = std::min(begin, end - phrase.size());
      }
    }
    return begin;
  }

  bool is_claimed(TextMatch match) const {
    size_t at = match.begin;
    while (at > 0 && (text_.folded(at - 1) == "the" || text_.folded(at - 1) == "a")) --at;
    const auto units = text_.units();
    const bool starts_clause = at == 0 || units[at - 1].clause != units[match.begin].clause;
    if (begin_of(alternatives_, at) < at) return true;
    const size_t copula = begin_of(copulas_, at);
    if (copula == at) return starts_clause && is_whole_clause(match);
    for (size_t i = copula; i-- > 0 && units[i].clause == units[copula].clause;) {
      if (!known_.contains(std::string(text_.folded(i)))) return false;  // it is said of something else
    }
    return true;
  }

  /// "答案:杭州。": nothing else is in the clause.
  bool is_whole_clause(TextMatch match) const {
    const auto units = text_.units();
    return match.end == units.size() || units[match.end].sentence != units[match.begin].sentence;
  }

  const FoldedText& text_;
  Denials denials_;
  std::vector<Phrase> copulas_, alternatives_;
  std::set<std::string> known_;  // units of the question, and words that say nothing
};

}  // namespace

void score_commonsense(const Reading& reading, ScoreSheet& sheet) {
  const auto accepts = reference_list(reading.item, "accepts");
  const auto rejects = reference_list(reading.item, "rejects");
  if (!accepts || accepts->empty()) {
    return sheet.give_up("no_rule", "the item lacks `accepts`: a list of texts");
  }
  const Denials denials(reading);
  const std::vector<Phrase> good = fold_phrases(*accepts);
  const auto accepted = denials.first_said(reading.text, good);
  const auto contradiction = Contradictions(reading).first(
      rejects ? fold_phrases(*rejects) : std::vector<Phrase>(), good, accepted.has_value());
  sheet.add("match", accepted ? 1 : 0, accepted ? reading.text.quote(*accepted) : "");
  // Only beside an accepted answer is it worth anything that none contradicts it.
  const bool is_consistent = accepted && !contradiction;
  sheet.add("consistent", is_consistent ? 1 : 0, contradiction ? reading.text.quote(*contradiction) : "");
  sheet.is_correct = is_consistent;
  if (contradiction) sheet.cap("contradiction", reading.text.quote(*contradiction));
  if (accepted || contradiction) return;
  for (const Phrase& refusal : reading.words("refusals")) {
    const auto matches = reading.text.find(refusal);
    if (!matches.empty()) return sheet.cap("refusal", reading.text.quote(matches.front()));
  }
}

}  // namespace chaski
