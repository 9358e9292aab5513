// Conclusions of a comparison, computed and never written by hand: each claim with its verdict and the test
// behind it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/comparability.h"
#include "report/lang.h"
#include "report/statistics.h"
#include "report/table.h"

namespace chaski {

struct Comparison;

enum class Verdict { kSupported, kNotSupported, kUndecided };

/// Why a verdict is as it is.
enum class Ground {
  kTested,         ///< supported: p < 0.05 after Holm's correction, and the interval leaves 0 out
  kOpposite,       ///< not supported: the same holds for the opposite
  kEquivalent,     ///< not supported: the interval lies within the margin around 0
  kNoEvidence,     ///< undecided: neither
  kTooFew,         ///< undecided: with so few pairs and so many claims no result could reach p < 0.05
  kUnvaried,       ///< undecided: all differences are alike and small, but too few to rule out larger ones
  kOneReading,     ///< undecided: one reading of each run, without spread
  kNotMeasured,    ///< undecided: a run does not have it
  kNotComparable,  ///< undecided: for the claim's obstacle
  kCounted         ///< decided by counts that no repetition changes
};

enum class TestMethod { kNone, kPaired, kUnpaired };

/// "B is better in `topic`" for what `topic` says better is. Figures are B against A.
struct Claim {
  std::string topic;  ///< "faster_per_question", …: a row of the table in claims.cpp
  std::string type;   ///< of task, where the claim is about one
  std::string unit;   ///< "s", "ms", "points", "bytes", …
  bool is_higher_better = false;
  Verdict verdict = Verdict::kUndecided;
  Ground ground = Ground::kNotMeasured;
  Obstacle obstacle = Obstacle::kNone;
  TestMethod test = TestMethod::kNone;
  int64_t n = 0, n_b = 0;  ///< pairs; or samples of A and of B
  double mean_a = 0, mean_b = 0;
  double difference = 0;  ///< mean of B − A
  std::optional<Interval> ci95;
  std::optional<double> p, p_holm;
  double margin = 0;  ///< differences smaller than this are of no account

  bool has_figures() const { return ground != Ground::kNotMeasured && ground != Ground::kNotComparable; }
};

/// The least number of questions of which a paired test can decide one of `n_tested` claims.
int64_t least_questions(int64_t n_tested);

/// All claims that these two records give reason to ask about, in the order of the page.
std::vector<Claim> claims_of(const Comparison& comparison);

/// Fill p_holm, verdict and ground of claims that were tested. `p_holm` is p corrected for as many tests as
/// there are among `claims`.
void judge(std::vector<Claim>& claims);

std::string_view verdict_title(Verdict verdict, Lang lang);
/// "yes", "no", "open": for style sheets.
std::string_view verdict_look(Verdict verdict);

/// "B is faster per question". Names of sides stay letters.
std::string claim_title(const Claim& claim, const Comparison& comparison, Lang lang);
/// What the data say of it, in one or two sentences with figures.
std::string claim_finding(const Claim& claim, Lang lang);
/// The test: method, n, difference with its interval, p.
std::string claim_test(const Claim& claim, Lang lang);

/// The page's first sentences: what the data support, or that they decide nothing.
std::string verdict_summary(const Comparison& comparison, Lang lang);

/// The claims that are about one type of task, a row each.
Table type_claims_table(const Comparison& comparison, Lang lang);

/// How claims are decided, for the page's end.
std::vector<std::string> claim_rules(Lang lang);

/// A figure of the claim in its unit: "8.83 s", "2.47 GB".
std::string claim_figure(const Claim& claim, double value, Lang lang);

}  // namespace chaski
