#include "lab/scorer_parts.h"

#include <algorithm>

#include "base/utf8.h"

namespace chaski {
namespace {

/// Chinese where Han characters outnumber words; `language` of the item, where it says so, decides.
bool is_chinese(const SuiteItem& item) {
  if (const auto language = reference_text(item, "language")) return language->starts_with("zh");
  const std::string prompt = replace_invalid_utf8(item.prompt);
  const FoldedText folded(prompt);
  return folded.n_han() > folded.n_latin();
}

}  // namespace

Reading::Reading(const SuiteItem& the_item, const AnswerRecord& the_answer, const Rubric& the_rubric,
                 std::string_view the_model)
    : item(the_item),
      answer(the_answer),
      rubric(the_rubric),
      model(the_model),
      parts(take_apart(the_answer.answer, the_item.prompt, the_rubric)),
      text(parts.text),
      prose(the_item.type == "code" ? parts.prose : parts.text),
      is_zh(is_chinese(the_item)) {}

double Reading::limit(std::string_view name) const { return rubric.limits.at(std::string(name)); }

std::vector<Phrase> Reading::words(const std::string& name) const {
  return fold_phrases(rubric.words.at(name));
}

std::optional<double> Reading::language_share() const {
  const auto han = static_cast<double>(prose.n_han());
  const double latin = limit("latin_word_weight") * static_cast<double>(prose.n_latin());
  const double all = han + latin + static_cast<double>(prose.n_other());
  if (all < limit("language_min_weight")) return std::nullopt;
  return (is_zh ? han : latin) / all;
}

void ScoreSheet::add(std::string name, double value, std::string evidence) {
  components.push_back({std::move(name), value, std::move(evidence)});
}

Denials::Denials(const Reading& reading)
    : before_(reading.words("negations")),
      affirmations_(reading.words("affirmations")),
      after_(reading.words("negations_after")),
      window_(static_cast<size_t>(reading.limit_in_language("negation_window"))) {}

bool Denials::is_denied(const FoldedText& text, TextMatch match) const {
  const auto units = text.units();
  const auto longest_at = [&](const std::vector<Phrase>& phrases, size_t at) {
    size_t longest = 0;
    for (const Phrase& phrase : phrases) {
      if (phrase.size() > longest && at + phrase.size() <= match.begin && text.starts_at(phrase, at)) {
        longest = phrase.size();
      }
    }
    return longest;
  };
  for (size_t at = match.begin; at-- > 0 && match.begin - at <= window_;) {
    if (units[at].clause != units[match.begin].clause) break;
    const size_t denial = longest_at(before_, at), affirmation = longest_at(affirmations_, at);
    if (denial > affirmation) return true;
    if (affirmation > 0) break;
  }
  return match.end < units.size() && units[match.end].clause == units[match.begin].clause &&
         std::any_of(after_.begin(), after_.end(),
                     [&](const Phrase& phrase) { return text.starts_at(phrase, match.end); });
}

std::optional<TextMatch> Denials::first_said(const FoldedText& text,
                                             const std::vector<Phrase>& phrases) const {
  std::optional<TextMatch> first;
  for (const Phrase& phrase : phrases) {
    for (const TextMatch& match : text.find(phrase)) {
      if (first && first->begin <= match.begin) break;
      if (!is_denied(text, match)) first = match;
    }
  }
  return first;
}

std::optional<std::string> reference_text(const SuiteItem& item, const char* field) {
  const auto found = item.extra.find(field);
  if (found == item.extra.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

std::optional<std::vector<std::string>> texts_of(const Json& list) {
  if (!list.is_array()) return std::nullopt;
  std::vector<std::string> texts;
  for (const Json& text : list) {
    if (!text.is_string()) return std::nullopt;
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

std::optional<TextGroups> text_groups_of(const Json& list) {
  if (!list.is_array()) return std::nullopt;
  TextGroups groups;
  for (const Json& group : list) {
    auto texts = texts_of(group);
    if (!texts) return std::nullopt;
    groups.push_back(std::move(*texts));
  }
  return groups;
}

std::optional<std::vector<std::string>> reference_list(const SuiteItem& item, const char* field) {
  const auto found = item.extra.find(field);
  return found == item.extra.end() ? std::nullopt : texts_of(*found);
}

std::optional<TextGroups> reference_groups(const SuiteItem& item, const char* field) {
  const auto found = item.extra.find(field);
  return found == item.extra.end() ? std::nullopt : text_groups_of(*found);
}

double within_band(double n, double least, double most) {
  if (n < least) return least > 0 ? n / least : 1;
  if (n <= most || most <= 0) return 1;
  return std::max(0.0, 2 - n / most);
}

}  // namespace chaski
