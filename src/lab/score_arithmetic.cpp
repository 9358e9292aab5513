// Arithmetic: the final number, the equations beside it, and whether the answer is stated where one looks.
#include <algorithm>

#include "lab/numbers_in_text.h"
#include "lab/scorer_parts.h"

namespace chaski {
namespace {

/// What the question gives in another unit than it asks for: saying it again converts nothing.
std::vector<Quantity> to_be_converted(const std::string& prompt, const std::string& unit) {
  std::vector<Quantity> given;
  for (Quantity& quantity : quantities_in(prompt)) {
    if (needs_conversion(quantity.unit, unit)) given.push_back(std::move(quantity));
  }
  return given;
}

}  // namespace

void score_arithmetic(const Reading& reading, ScoreSheet& sheet) {
  const auto answer = reference_text(reading.item, "answer");
  auto expected = answer ? parse_quantity(*answer) : std::nullopt;
  if (!expected) return sheet.give_up("no_rule", "the item lacks `answer`: a text of one number");
  if (const auto unit = reference_text(reading.item, "unit")) {
    if (*unit == "%" && !expected->is_percent) {
      expected = parse_quantity(*answer + "%");
    } else if (expected->unit.empty()) {
      expected->unit = *unit;
    }
  }
  const std::vector<Quantity> given = to_be_converted(reading.item.prompt, expected->unit);
  const auto& words = reading.rubric.words;
  const AnswerMarkers markers{words.at("answer_markers"), words.at("sum_markers"), words.at("conclusions")};
  const auto found = find_final_number(reading.parts.text, markers, given);
  const EquationCheck equations = check_equations(reading.parts.text);
  const bool is_right =
      found && !is_one_of(given, found->quantity) && means_the_same(*expected, found->quantity);
  sheet.is_correct = is_right;
  sheet.add("final", is_right ? 1 : 0, found ? found->quote : "");
  // Without an equation there is nothing to fault in a right answer, and nothing to credit in a wrong one.
  const double steps = equations.n == 0
                           ? (is_right ? 1 : 0)
                           : static_cast<double>(equations.n_true) / static_cast<double>(equations.n);
  sheet.add("steps", steps,
            equations.first_false.empty() ? fmt::format("{} / {}", equations.n_true, equations.n)
                                          : equations.first_false);
  sheet.add("stated_last", found && found->is_stated ? 1 : 0, found ? found->quote : "");
  if (!found) sheet.cap("no_number", {});
  if (found && !is_right) sheet.cap("wrong_final", found->quote);
}

}  // namespace chaski
