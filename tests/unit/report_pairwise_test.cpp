// What a judge's verdicts make of a comparison: counts, claims, tables.
#include "report/pairwise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report/compare_data.h"
#include "report/compare_html.h"
#include "report/compare_markdown.h"
#include "report/comparison.h"
#include "report_fixture.h"

namespace chaski {
namespace {

using testing::HasSubstr;
using testing::Not;

/// What the judge says where A is shown first, and where B is: "BB" is a win of B, "AB" follows the order,
/// "??" is no verdict, "==" the same text.
Judgement judged(const RunRecord& record, const std::vector<std::string>& said) {
  Judgement judgement;
  judgement.judge = {{"id", "umpire"}, {"host", "h"}, {"seed", 0}, {"prompts_sha256", "0123456789abcdef"}};
  for (size_t i = 0; i < said.size(); ++i) {
    PairVerdict verdict;
    verdict.id = record.items[i].id;
    verdict.type = record.items[i].type;
    for (size_t order = 0; order < 2; ++order) {
      const char c = said[i][order];
      verdict.by_order[order] = c == 'A'   ? Preference::kFirst
                                : c == 'B' ? Preference::kSecond
                                           : Preference::kTie;
      verdict.reasons[order] = "because";
    }
    if (said[i] == "??") {
      verdict.state = PairState::kFailed;
      verdict.why_not = "the reply is no JSON";
    }
    if (said[i] == "==") verdict.state = PairState::kSame;
    judgement.verdicts.push_back(verdict);
  }
  return judgement;
}

class Pairwise : public testing::Test {
 protected:
  void judge(const std::vector<std::string>& said) {
    a = tests::simulated({"a", said.size()});
    b = tests::simulated({"b", said.size()});
    comparison = compare(a, b);
    add_judgement(comparison, judged(a, said));
  }
  const Claim& claim(const std::string& type = {}) const {
    for (const Claim& candidate : comparison.claims) {
      if (candidate.topic == "preferred_by_judge" && candidate.type == type) return candidate;
    }
    throw Error(ErrorCode::kInternal, "test", "no such claim");
  }

  RunRecord a, b;
  Comparison comparison;
};

TEST_F(Pairwise, AWinCountsWhereBothOrdersAgreeAndOnlyThere) {
  judge({"BB", "AA", "AB", "BA", "A=", "==", "??", "BB"});
  const std::vector<PairCounts> counts = pair_counts(*comparison.judgement);
  ASSERT_EQ(counts.size(), 3u) << "all, code, sums";
  const PairCounts& all = counts[0];
  EXPECT_EQ(all.n_a, 1);
  EXPECT_EQ(all.n_b, 2);
  EXPECT_EQ(all.n_ties, 4);
  EXPECT_EQ(all.n_failed, 1);
  EXPECT_EQ(all.n_pairs(), 8);
  EXPECT_EQ(all.n_judged(), 6) << "neither the same text nor the one without a verdict";
  EXPECT_EQ(all.n_changed, 3);
  EXPECT_DOUBLE_EQ(all.position_bias(), 0.5);
  // First shown: BB second+first, AA first+second, AB both first, BA both second, A= first, BB second+first.
  EXPECT_EQ(all.n_for_place[0], 6);
  EXPECT_EQ(all.n_for_place[1], 5);
}

TEST_F(Pairwise, APreferenceThatHoldsIsSupportedForBAndNotForTheOpposite) {
  judge(std::vector<std::string>(40, "BB"));
  EXPECT_EQ(claim().verdict, Verdict::kSupported);
  EXPECT_EQ(claim().n, 40);
  EXPECT_EQ(claim("code").n, 20);
  EXPECT_EQ(claim("code").verdict, Verdict::kSupported);
  EXPECT_THAT(verdict_summary(comparison, Lang::kEn), HasSubstr("B is preferred by the judge"));
  EXPECT_THAT(verdict_summary(comparison, Lang::kZh), HasSubstr("B 更受裁判模型偏好"));
  judge(std::vector<std::string>(40, "AA"));
  EXPECT_EQ(claim().verdict, Verdict::kNotSupported);
  EXPECT_EQ(claim().ground, Ground::kOpposite);
}

TEST_F(Pairwise, FiveQuestionsDecideNothingHoweverClearTheJudge) {
  judge(std::vector<std::string>(5, "BB"));
  EXPECT_EQ(claim().verdict, Verdict::kUndecided);
  EXPECT_EQ(claim().ground, Ground::kTooFew);
}

TEST_F(Pairwise, AJudgeThatFollowsTheOrderShowsNothingHoweverManyItsTies) {
  judge(std::vector<std::string>(400, "AB"));
  EXPECT_EQ(claim().verdict, Verdict::kUndecided);
  EXPECT_EQ(claim().obstacle, Obstacle::kUnsteady);
  EXPECT_THAT(claim_finding(claim(), Lang::kEn), HasSubstr("changed with the order"));
}

TEST_F(Pairwise, AJudgeWithoutAVerdictIsCountedAndDecidesNothing) {
  judge(std::vector<std::string>(8, "??"));
  EXPECT_EQ(claim().verdict, Verdict::kUndecided);
  EXPECT_EQ(claim().obstacle, Obstacle::kNoVerdict);
  EXPECT_EQ(compare_json(comparison)["judge"]["counts"][0]["n_no_verdict"], 8);
  EXPECT_THAT(compare_terminal(comparison, Lang::kEn), HasSubstr("no verdict"));
}

TEST_F(Pairwise, SamplesOfOneQuestionAreOneQuestion) {
  judge({"BB", "BB", "BB", "BB", "BB", "BB", "BB"});
  Judgement judgement = *comparison.judgement;
  for (PairVerdict verdict : std::vector<PairVerdict>(judgement.verdicts)) {
    verdict.sample = 1;
    verdict.by_order = {Preference::kFirst, Preference::kFirst};
    judgement.verdicts.push_back(verdict);
  }
  add_judgement(comparison, judgement);
  EXPECT_EQ(claim().n, 7);
  EXPECT_DOUBLE_EQ(claim().mean_a, 0.5);
  EXPECT_DOUBLE_EQ(claim().difference, 0);
}

TEST_F(Pairwise, EveryFormOfAComparisonHasTheTableAndTheReasonsAsText) {
  judge({"BB", "AB", "??", "=="});
  comparison.judgement->verdicts[0].reasons[0] = "<script>alert(1)</script> | \u202e";
  comparison.judgement->judge["id"] = "<b>umpire</b>";
  for (const Lang lang : {Lang::kEn, Lang::kZh}) {
    const std::string html = compare_html(comparison, lang);
    EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(1)&lt;/script&gt; | ‹U+202E›"));
    EXPECT_THAT(html, Not(HasSubstr("<script>")));
    EXPECT_THAT(html, Not(HasSubstr("<b>umpire")));
    for (const std::string& text :
         {html, compare_markdown(comparison, lang), compare_terminal(comparison, lang)}) {
      EXPECT_THAT(text, HasSubstr(lang == Lang::kEn ? "Which answer the judge prefers" : "裁判偏好哪个回答"));
      EXPECT_THAT(text, HasSubstr(lang == Lang::kEn ? "Position bias" : "位置偏差"));
    }
  }
  const OrderedJson json = compare_json(comparison)["judge"];
  EXPECT_EQ(json["verdicts"][0]["verdict"], "b");
  EXPECT_EQ(json["verdicts"][1]["verdict"], "tie");
  EXPECT_EQ(json["verdicts"][1]["b_first"]["verdict"], "b");
  EXPECT_EQ(json["verdicts"][2]["why_not"], "the reply is no JSON");
  EXPECT_EQ(json["verdicts"][3]["same_text"], true);
  EXPECT_THAT(compare_csv(comparison), HasSubstr("judge,1,0,code,preferred,0,1,1,,,,,b\n"));
}

TEST_F(Pairwise, WithoutAJudgeNothingIsSaidOfOne) {
  a = tests::simulated({"a", 8});
  b = tests::simulated({"b", 8});
  comparison = compare(a, b);
  EXPECT_TRUE(compare_json(comparison)["judge"].is_null());
  EXPECT_TRUE(judgement_tables(comparison, Lang::kEn).empty());
  EXPECT_THAT(compare_markdown(comparison, Lang::kEn), Not(HasSubstr("judge prefers")));
  for (const Claim& other : comparison.claims) EXPECT_NE(other.topic, "preferred_by_judge");
}

}  // namespace
}  // namespace chaski
