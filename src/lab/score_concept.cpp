// Concepts: what an explanation must mention, what it must relate, how long and how ordered it is, and
// statements that are known to be wrong.
#include <algorithm>
#include <set>

#include "base/json.h"
#include "lab/scorer_parts.h"

namespace chaski {
namespace {

std::optional<std::vector<TextGroups>> relations_of(const SuiteItem& item) {
  std::vector<TextGroups> relations;
  const auto found = item.extra.find("relations");
  if (found == item.extra.end()) return relations;
  if (!found->is_array()) return std::nullopt;
  for (const Json& relation : *found) {
    auto groups = text_groups_of(relation);
    if (!groups) return std::nullopt;
    relations.push_back(std::move(*groups));
  }
  return relations;
}

/// Of a group of synonyms, the sentences that one of them stands in, and the first place.
struct Hits {
  std::set<uint32_t> sentences;
  std::optional<TextMatch> first;
};
Hits find_group(const FoldedText& text, const std::vector<std::string>& group) {
  Hits hits;
  for (const Phrase& phrase : fold_phrases(group)) {
    for (const TextMatch& match : text.find(phrase)) {
      hits.sentences.insert(text.units()[match.begin].sentence);
      if (!hits.first || match.begin < hits.first->begin) hits.first = match;
    }
  }
  return hits;
}

/// Whether one sentence holds a synonym of every group.
bool is_stated(const FoldedText& text, const TextGroups& relation) {
  std::set<uint32_t> common;
  for (size_t i = 0; i < relation.size(); ++i) {
    const Hits hits = find_group(text, relation[i]);
    if (i == 0) common = hits.sentences;
    std::set<uint32_t> both;
    std::set_intersection(common.begin(), common.end(), hits.sentences.begin(), hits.sentences.end(),
                          std::inserter(both, both.end()));
    common = std::move(both);
  }
  return !common.empty();
}

/// Half for sentences, half for an end, nothing for a wall of text.
double structure_of(const Reading& reading, std::string& evidence) {
  const auto most = static_cast<size_t>(reading.limit_in_language("paragraph_max"));
  std::string_view rest = reading.parts.text;
  size_t n_longest = 0;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    n_longest = std::max(n_longest, FoldedText(rest.substr(0, end)).units().size());
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  evidence = fmt::format("sentences: {}, longest paragraph: {}", reading.text.n_sentences(), n_longest);
  if (n_longest > most) return 0;
  return (reading.text.n_sentences() >= 2 ? 0.5 : 0) + (reading.parts.is_finished ? 0.5 : 0);
}

}  // namespace

void score_concept(const Reading& reading, ScoreSheet& sheet) {
  const auto keywords = reference_groups(reading.item, "keywords");
  const auto relations = relations_of(reading.item);
  if (!keywords || keywords->empty() || !relations) {
    return sheet.give_up("no_rule",
                         "the item lacks `keywords`: a list of lists of synonyms; or `relations` is "
                         "no list of lists of them");
  }
  std::string missing;
  size_t n_hit = 0;
  for (const auto& group : *keywords) {
    if (find_group(reading.text, group).first)
      ++n_hit;
    else if (!group.empty())
      missing += (missing.empty() ? "" : ", ") + group.front();
  }
  const double coverage = static_cast<double>(n_hit) / static_cast<double>(keywords->size());
  sheet.add("keywords", coverage,
            one_line(fmt::format("{} / {}{}{}", n_hit, keywords->size(), missing.empty() ? "" : ", without ",
                                 missing)));

  const auto n_stated = std::count_if(relations->begin(), relations->end(), [&](const TextGroups& relation) {
    return is_stated(reading.text, relation);
  });
  const double stated =
      relations->empty() ? coverage : static_cast<double>(n_stated) / static_cast<double>(relations->size());
  sheet.add("relations", stated, fmt::format("{} / {}", n_stated, relations->size()));

  const auto n_units = static_cast<double>(reading.text.units().size());
  sheet.add("length",
            within_band(n_units, reading.limit_in_language("concept_min"),
                        reading.limit_in_language("concept_max")),
            fmt::format("{}", n_units));
  std::string structure_evidence;
  const double structure = structure_of(reading, structure_evidence);
  sheet.add("structure", structure, structure_evidence);

  const auto wrong = Denials(reading).first_said(
      reading.text,
      fold_phrases(reference_list(reading.item, "false_statements").value_or(std::vector<std::string>())));
  sheet.add("no_false_statement", !wrong && n_hit > 0 ? 1 : 0, wrong ? reading.text.quote(*wrong) : "");
  const std::string counts = fmt::format("{} / {}", n_hit, keywords->size());
  if (n_hit == 0)
    sheet.cap("no_coverage", counts);
  else if (coverage < reading.limit("coverage_low"))
    sheet.cap("low_coverage", counts);
}

}  // namespace chaski
