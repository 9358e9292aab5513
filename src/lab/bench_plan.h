// What a bench measures: lists of lengths and depths, made into single tests. Pure; running them is
// bench.h's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace chaski {

enum class TestKind {
  kPrefill,     ///< a prompt, after `depth` other tokens, to the first token
  kDecode,      ///< tokens one after the other, after `depth` tokens of prompt
  kRequest,     ///< a prompt and its answer, as a user waits for it
  kSpeculative  ///< a decode with n-gram speculation, after a piece of prose
};
/// "prefill", "decode", "request", "speculative"; as settings.tests of a record has them.
std::string_view name_of(TestKind kind);

/// One thing that is timed, several times.
struct BenchTest {
  TestKind kind = TestKind::kPrefill;
  int64_t n_prompt = 0;     ///< tokens of the prompt that is timed; 0 for a decode
  int64_t n_gen = 0;        ///< tokens generated, of each sequence
  int64_t depth = 0;        ///< tokens in the context before
  int32_t n_sequences = 1;  ///< that decode at once
  std::string at;  ///< the end of its metrics' names, as "[n=32,d=4096]"; empty for the first of a kind

  /// Positions of context that it needs: of sequences that decode at once, those who are through their
  /// prompts get tokens while the others are not.
  int64_t context() const;
  /// Tokens that one run of it computes or generates.
  int64_t n_tokens() const { return n_prompt + n_gen * n_sequences; }
};

/// What to measure. Prompts are fixed pseudo-random ordinary tokens, but speculation, whose worth is the
/// text's, has prose; all decoding is greedy, and no token ends it.
struct BenchPlan {
  std::vector<int64_t> n_prompt{512};  ///< lengths of a prefill; 0: none is measured
  std::vector<int64_t> n_gen{128};     ///< lengths of a decode; 0: none is measured
  std::vector<int64_t> depth{0};       ///< at each of which the above are measured
  int64_t n_repeats = 6;               ///< samples of each metric; fewer make no 95 % interval
  std::vector<int32_t> sequences;      ///< numbers of sequences to decode at once; total tokens/s of each
  bool speculates = false;             ///< decode with n-gram speculation as well, beside plain

  /// Throws Error(kUsage) naming what is out of range.
  void validate() const;
  /// In the order in which they are run. A prompt and its answer are timed together where the plan has both:
  /// the first length of each. Several sequences and speculation take the first length and depth.
  std::vector<BenchTest> tests() const;
  /// Of the test that needs most.
  int64_t context() const;
};

/// Tokens of prose before a speculative decode, at most.
inline constexpr int64_t kProseTokens = 64;
/// Prompt tokens that a step takes at most: the engine's own default.
int64_t step_rows();

/// Throws Error(kUsage) where the plan needs more positions than `context`.
void check_fits(const BenchPlan& plan, int64_t context);

}  // namespace chaski
