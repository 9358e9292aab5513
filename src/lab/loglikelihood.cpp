#include "lab/loglikelihood.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "base/error.h"

namespace chaski {
namespace {

constexpr std::string_view kSpace = " \t\n\v\f\r";

std::vector<int32_t> ids_of(const PromptMaker& prompts, const std::string& text) {
  Prompt prompt = prompts.question(text, std::nullopt);
  if (prompts.kind() == PromptMaker::Kind::kModel || prompt.text != text) {
    throw Error(ErrorCode::kUsage, "log-likelihood",
                "expected plain text, which the questions of this suite are; found a prompt template",
                "leave --template out, or give 'raw:{prompt}'");
  }
  return std::move(prompt.ids);
}

}  // namespace

const ChoiceRecord& most_probable(std::span<const ChoiceRecord> choices) {
  CHECK(!choices.empty(), "the most probable of no choices");
  return *std::max_element(choices.begin(), choices.end(), [](const ChoiceRecord& a, const ChoiceRecord& b) {
    return a.loglikelihood < b.loglikelihood;
  });
}

double log_probability(const float* logits, int64_t vocab, int32_t token) {
  const double largest = *std::max_element(logits, logits + vocab);
  double sum = 0;
  for (int64_t i = 0; i < vocab; ++i) sum += std::exp(static_cast<double>(logits[i]) - largest);
  return static_cast<double>(logits[token]) - largest - std::log(sum);
}

ContinuationScores score_continuations(Engine& engine, const PromptMaker& prompts, const std::string& context,
                                       std::span<const std::string> continuations) {
  // A space at the end belongs to the word after it.
  const size_t end = context.find_last_not_of(kSpace) + 1;
  const std::string head = context.substr(0, end);
  const std::vector<int32_t> head_ids = ids_of(prompts, head);
  if (head_ids.empty()) throw Error(ErrorCode::kUsage, "log-likelihood", "the context has no tokens");

  // By what the model reads, all but the last token: continuations of one token each all read the context.
  std::map<std::vector<int32_t>, std::vector<std::pair<size_t, std::vector<int32_t>>>> by_input;
  for (size_t i = 0; i < continuations.size(); ++i) {
    const std::vector<int32_t> whole = ids_of(prompts, context + continuations[i]);
    if (whole.size() <= head_ids.size()) {
      throw Error(ErrorCode::kUnsupported, "log-likelihood",
                  fmt::format("the tokenizer makes no token of its own of the continuation \"{}\"",
                              printable(continuations[i], 40)));
    }
    std::vector<int32_t> tail(whole.begin() + static_cast<std::ptrdiff_t>(head_ids.size()), whole.end());
    std::vector<int32_t> input = head_ids;
    input.insert(input.end(), tail.begin(), tail.end() - 1);
    by_input[std::move(input)].emplace_back(i, std::move(tail));
  }

  ContinuationScores scores;
  scores.n_context_tokens = static_cast<int64_t>(head_ids.size());
  scores.continuations.assign(continuations.size(), {0, true});
  const int64_t vocab = engine.vocab();
  const int64_t first_wanted = scores.n_context_tokens - 1;
  for (const auto& [input, tails] : by_input) {
    engine.score_from(input, first_wanted, [&](int64_t first, int64_t n_rows, const float* logits) {
      for (int64_t row = 0; row < n_rows; ++row, logits += vocab) {
        const auto best = static_cast<int32_t>(std::max_element(logits, logits + vocab) - logits);
        for (const auto& [i, tail] : tails) {
          const int32_t token = tail[static_cast<size_t>(first + row - first_wanted)];
          scores.continuations[i].loglikelihood += log_probability(logits, vocab, token);
          scores.continuations[i].is_greedy &= token == best;
        }
      }
    });
  }
  for (const ContinuationScore& score : scores.continuations) {
    if (std::isfinite(score.loglikelihood)) continue;
    throw Error(ErrorCode::kDevice, "log-likelihood", "the logits are not finite",
                "run `chaski show` on the model; its weights may be damaged");
  }
  return scores;
}

}  // namespace chaski
