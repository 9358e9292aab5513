// From an answer to its score: the type's sheet, caps, penalties, rounding.
#include "lab/scorer.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "lab/scorer_parts.h"

namespace chaski {
namespace {

class Adder {
 public:
  Adder(const Reading& reading, const Rubric::Type& type, ScoreRecord& record)
      : reading_(reading), type_(type), record_(record) {}

  void add_up(const ScoreSheet& sheet) {
    double raw = 1;
    for (const ScoreSheet::Component& found : sheet.components) {
      const double value = std::clamp(found.value, 0.0, 1.0);
      const double weight = type_.weights.at(found.name);
      record_.components.push_back({found.name, weight, value, found.evidence});
      raw += 4 * weight * value;
    }
    for (const auto& [name, evidence] : sheet.caps) raw = std::min(raw, cap(name, evidence));
    if (const auto share = reading_.language_share();
        share && *share < reading_.limit("language_share_low")) {
      raw = std::min(raw, cap("other_language", language_evidence(*share)));
    } else if (share && *share < reading_.limit("language_share")) {
      raw -= penalty("wrong_language", language_evidence(*share));
    }
    raw -= markup_penalties() + repetition_penalty() + truncation_penalty();
    finish(raw);
  }

  void empty() { finish(cap("empty", {})); }

 private:
  double cap(const std::string& name, const std::string& evidence) {
    const double most = type_.caps.at(name);
    record_.adjustments.push_back({name, true, most, evidence});
    return most;
  }
  double penalty(const std::string& name, const std::string& evidence) {
    const double points = reading_.rubric.penalties.at(name);
    record_.adjustments.push_back({name, false, points, evidence});
    return points;
  }

  std::string language_evidence(double share) const {
    return fmt::format("{}: {:.0f} %", reading_.is_zh ? "zh" : "en", 100 * share);
  }

  double markup_penalties() {
    const AnswerParts& parts = reading_.parts;
    double points = 0;
    if (!parts.noise.empty()) points += penalty(parts.is_page ? "markup_page" : "markup_noise", parts.noise);
    const bool is_short =
        static_cast<double>(reading_.text.units().size()) < reading_.limit_in_language("heading_min");
    if (parts.has_heading && is_short) points += penalty("needless_heading", {});
    return points;
  }

  double repetition_penalty() {
    const FoldedText& text = reading_.prose;
    const double ratio = distinct_4gram_ratio(text);
    const bool is_judged =
        static_cast<double>(text.units().size()) >= reading_.limit_in_language("repetition_min");
    const std::string share = fmt::format("distinct 4-grams: {:.0f} %", 100 * ratio);
    if (is_judged && ratio < reading_.limit("distinct_4grams_low")) return penalty("heavy_repetition", share);
    if (is_judged && ratio < reading_.limit("distinct_4grams")) return penalty("repetition", share);
    const TextMatch cycle = find_cycle(text, static_cast<size_t>(reading_.limit_in_language("cycle_min")));
    return cycle.begin == cycle.end ? 0 : penalty("repetition", text.quote({cycle.begin, cycle.begin + 8}));
  }

  double truncation_penalty() {
    const bool is_truncated = reading_.answer.finish_reason == "length" && !reading_.parts.is_finished;
    return is_truncated ? penalty("truncated", {}) : 0;
  }

  /// One decimal is kept, and the score is that decimal rounded half up, so that both agree to a reader.
  void finish(double raw) {
    constexpr double kSlack = 1e-9;  // sums of weights
    const auto tenths = static_cast<int>(std::floor(std::clamp(raw, 1.0, 5.0) * 10 + 0.5 + kSlack));
    record_.raw = tenths / 10.0;
    record_.score = (tenths + 5) / 10;
  }

  const Reading& reading_;
  const Rubric::Type& type_;
  ScoreRecord& record_;
};

}  // namespace

ScoreRecord score_answer(const SuiteItem& item, const AnswerRecord& answer, const Rubric& rubric,
                         CodeRunner* runner, const CancelToken& cancel, std::string_view model) {
  ScoreRecord record;
  record.id = item.id;
  record.sample = answer.sample;
  record.scorer = "rubric";
  const auto type = rubric.types.find(item.type);
  if (type == rubric.types.end()) {
    record.status = "no_rule";
    record.note = fmt::format("the rubric has no rules for the type \"{}\"", printable(item.type));
    return record;
  }
  const Reading reading(item, answer, rubric, model);
  ScoreSheet sheet;
  if (item.type == "arithmetic") score_arithmetic(reading, sheet);
  if (item.type == "commonsense") score_commonsense(reading, sheet);
  if (item.type == "concept") score_concept(reading, sheet);
  if (item.type == "self-introduction") score_introduction(reading, sheet);
  if (item.type == "code") score_code(reading, runner, cancel, sheet);
  record.status = sheet.status;
  record.note = sheet.note;
  if (record.status != "scored") return record;
  record.is_correct = sheet.is_correct;
  if (reading.parts.is_cut) record.note = "the answer is longer than what is read of it";
  Adder adder(reading, type->second, record);
  if (reading.text.units().empty()) {
    adder.empty();
  } else {
    adder.add_up(sheet);
  }
  return record;
}

}  // namespace chaski
