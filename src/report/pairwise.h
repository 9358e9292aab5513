// What a judge model says of two runs' answers, pair by pair (lab/pairwise_judge.h asks it): counts, the
// judge's bias towards a place, tables and JSON. Whether that supports a claim is decided in claims.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "report/lang.h"
#include "report/table.h"

namespace chaski {

struct Comparison;
struct PairedFigures;

enum class Preference { kFirst, kSecond, kTie };

enum class PairState {
  kJudged,
  kSame,   ///< both answers are the same text: a tie, for which the judge was not asked
  kFailed  ///< the judge gave no verdict
};

/// The judge's word on one pair of answers, asked for twice with the order swapped.
struct PairVerdict {
  std::string id, type;  ///< of the question
  int64_t sample = 0;
  PairState state = PairState::kJudged;
  /// kFirst is A's answer and kSecond is B's: as A's was shown first, then as B's was.
  std::array<Preference, 2> by_order{Preference::kTie, Preference::kTie};
  std::array<std::string, 2> reasons;  ///< capped; not trusted
  std::string why_not;                 ///< of a pair without a verdict; capped, not trusted

  bool is_steady() const { return by_order[0] == by_order[1]; }
  /// What both orders agree on; else a tie.
  Preference preference() const { return is_steady() ? by_order[0] : Preference::kTie; }
};

struct Judgement {
  OrderedJson judge = OrderedJson::object();  ///< id, host, seed, prompts_sha256, …
  std::vector<PairVerdict> verdicts;
};

struct PairCounts {
  std::string type;  ///< empty: of all types
  int64_t n_a = 0, n_b = 0, n_ties = 0, n_failed = 0;
  int64_t n_same = 0;        ///< of the ties, for want of a difference
  int64_t n_changed = 0;     ///< of the ties, as the verdict changed with the order
  int64_t n_for_place[2]{};  ///< single verdicts for the answer that was shown first, second

  int64_t n_pairs() const { return n_a + n_b + n_ties + n_failed; }
  int64_t n_judged() const { return n_a + n_b + n_ties - n_same; }
  /// Share of the judged pairs whose verdict changed with the order; 0 where none was judged.
  double position_bias() const;
  /// The verdict changed with the order more often than not: then it says more of the judge than of answers.
  bool is_unsteady() const { return 2 * n_changed > n_judged(); }
};
/// Of all types, then of each where there are several, in the order in which they are asked.
std::vector<PairCounts> pair_counts(const Judgement& judgement);

/// By type of task, under "" of all: the shares of a question's samples in which A and B were preferred.
/// Without a judgement there are none.
std::map<std::string, PairedFigures> paired_preferences(const Comparison& comparison);

/// Give the comparison a judge's word, and decide its claims anew with it.
void add_judgement(Comparison& comparison, Judgement judgement);

/// Wins, ties, losses by type with the bias; then a row per pair with the judge's reasons. None without a
/// judgement.
std::vector<Table> judgement_tables(const Comparison& comparison, Lang lang);
/// The first of them with its notes, or nothing.
std::string judgement_terminal(const Comparison& comparison, Lang lang);

/// For compare.json: the judge's facts, counts by type, verdicts; null without a judgement.
OrderedJson judgement_json(const Comparison& comparison);

/// "a", "b", "tie", "no_verdict": for programs.
std::string_view verdict_name(const PairVerdict& verdict);

}  // namespace chaski
