// What the answers of an evaluation say of speed, as named metrics.
#include <utility>

#include "base/utf8.h"
#include "lab/eval.h"

namespace chaski {

std::vector<NamedMetric> answer_metrics(const std::vector<const ItemRow*>& rows) {
  std::vector<double> ttft, tpot, itl, e2e, tokens_per_s, characters_per_s;
  for (const ItemRow* row : rows) {
    const AnswerRecord& answer = row->answer;
    if (!answer.ttft_s || row->failure) continue;
    ttft.push_back(*answer.ttft_s);
    e2e.push_back(answer.seconds);
    itl.insert(itl.end(), row->itl_s.begin(), row->itl_s.end());
    if (!answer.tpot_s || *answer.tpot_s <= 0) continue;
    tpot.push_back(*answer.tpot_s);
    tokens_per_s.push_back(1 / *answer.tpot_s);
    characters_per_s.push_back(static_cast<double>(count_code_points(answer.answer)) /
                               (static_cast<double>(answer.n_tokens()) * *answer.tpot_s));
  }
  std::vector<NamedMetric> metrics;
  const auto add = [&](std::string name, std::string unit, bool is_higher_better,
                       std::vector<double> samples) {
    if (samples.empty()) return;
    metrics.push_back({std::move(name), std::move(unit), is_higher_better, 0, summarize(std::move(samples))});
  };
  add("ttft_s", "s", false, std::move(ttft));
  add("tpot_s", "s", false, std::move(tpot));
  if (!itl.empty()) metrics.push_back({"itl_s", "s", false, 0, summarize_gaps(std::move(itl))});
  add("e2e_s", "s", false, std::move(e2e));
  add("decode_tokens_per_s", "tokens/s", true, std::move(tokens_per_s));
  add("characters_per_s", "characters/s", true, std::move(characters_per_s));
  return metrics;
}

}  // namespace chaski
