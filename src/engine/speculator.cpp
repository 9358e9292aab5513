// See speculator.h.
#include "engine/speculator.h"

#include <array>

#include "base/error.h"

namespace chaski {
namespace {

/// By how many tokens of context agree: 1, 2, 3, 4, 5–7, 8–15, 16–31, more.
int32_t grade_of(int64_t length) {
  constexpr std::array<int64_t, kGuessGrades> kFirst{1, 2, 3, 4, 5, 8, 16, 32};
  int32_t grade = kGuessGrades - 1;
  while (grade > 0 && length < kFirst[static_cast<size_t>(grade)]) --grade;
  return grade;
}

}  // namespace

void NgramSpeculator::propose(const Sequence& sequence, int32_t max, std::vector<Guess>& guesses) {
  guesses.clear();
  SuffixIndex& index = indices_[&sequence];
  CHECK(index.size() <= sequence.n_tokens(), "{} tokens are indexed of {}", index.size(),
        sequence.n_tokens());
  while (index.size() < sequence.n_tokens()) index.push(sequence.tokens[static_cast<size_t>(index.size())]);
  const SuffixIndex::Match& match = index.longest();
  if (match.length == 0) return;
  for (int32_t i = 0; i < max; ++i) {
    // What follows may reach the sequence's own end: then the guesses themselves go on repeating.
    const int64_t from = match.next + i;
    const int32_t token = from < index.size() ? index.tokens()[static_cast<size_t>(from)]
                                              : guesses[static_cast<size_t>(from - index.size())].token;
    guesses.push_back({token, grade_of(match.length + i)});
  }
}

double NgramSpeculator::first_estimate(int32_t grade) const {
  constexpr std::array<double, kGuessGrades> kEstimates{0.05, 0.15, 0.3, 0.4, 0.55, 0.75, 0.9, 0.95};
  return kEstimates[static_cast<size_t>(grade)];
}

}  // namespace chaski
