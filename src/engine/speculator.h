// Who guesses what comes next. How many guesses are worth a try is decided in speculation.h; that they change
// no token is the engine's business (engine.cpp).
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/scheduler.h"
#include "engine/suffix_index.h"

namespace chaski {

/// A token that may follow, after those guessed before it. `grade` says how sure the speculator is, from 0 to
/// kGuessGrades − 1; what a grade is worth is measured.
struct Guess {
  int32_t token = 0;
  int32_t grade = 0;
};
inline constexpr int32_t kGuessGrades = 8;

class Speculator {
 public:
  virtual ~Speculator() = default;
  /// Up to `max` guesses of what follows sequence.tokens, into `guesses`.
  virtual void propose(const Sequence& sequence, int32_t max, std::vector<Guess>& guesses) = 0;
  /// The sequence is at its end, or was preempted and may come back.
  virtual void forget(const Sequence& sequence) = 0;
  /// Guesses cost no time to speak of: any number may be asked for, only to see how good they are.
  virtual bool is_free() const = 0;
  /// What a guess of this grade is taken to be worth before any was seen: the probability that it is right.
  virtual double first_estimate(int32_t grade) const = 0;
  /// Bytes of a cache of its own.
  virtual int64_t kv_bytes() const { return 0; }
};

/// Prompt and output so far as their own dictionary: what came after the longest end that was there before.
class NgramSpeculator : public Speculator {
 public:
  void propose(const Sequence& sequence, int32_t max, std::vector<Guess>& guesses) override;
  void forget(const Sequence& sequence) override { indices_.erase(&sequence); }
  bool is_free() const override { return true; }
  double first_estimate(int32_t grade) const override;

 private:
  std::unordered_map<const Sequence*, SuffixIndex> indices_;
};

}  // namespace chaski
