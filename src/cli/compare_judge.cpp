#include "cli/compare_judge.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "cli/eval_folders.h"
#include "cli/terminal.h"
#include "lab/pairwise_judge.h"

namespace chaski::cli {
namespace {

/// The suite that A was asked, for its references; nothing, said in a note, where it is not here any more.
std::optional<Suite> suite_with_references(const RunRecord& record, Lang lang) {
  try {
    return suite_of(record, {}, suite_folders());
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInternal) throw;
    note(trf(lang, "note: the judge gets no reference answers: {}\n", "注意：裁判没有参考答案：{}\n",
             printable(error.what())));
    return std::nullopt;
  }
}

}  // namespace

void judge_comparison(Comparison& comparison, const ScoringOptions& options, const Context& context) {
  const std::vector<AnswerPair> pairs = pairs_to_judge(comparison.pairs);
  if (pairs.empty()) {
    throw Error(ErrorCode::kUsage, "judge", "the runs have no question that both answered in words",
                "compare two runs of `chaski eval` on the same suite");
  }
  const std::unique_ptr<Judge> judge =
      make_judge(options, {comparison.a.record->model, comparison.b.record->model}, context);
  const std::optional<Suite> suite = suite_with_references(*comparison.a.record, context.lang);
  Progress progress(std::string(tr(context.lang, "judging", "裁判")));
  add_judgement(comparison, judge_pairs(pairs, suite ? &*suite : nullptr, *judge, context.cancel,
                                        [&](int64_t done, int64_t total) { progress.show(done, total); }));
  const int64_t n_failed = pair_counts(*comparison.judgement).front().n_failed;
  if (n_failed == 0) return;
  const auto failed =
      std::find_if(comparison.judgement->verdicts.begin(), comparison.judgement->verdicts.end(),
                   [](const PairVerdict& v) { return v.state == PairState::kFailed; });
  note(trf(context.lang, "note: the judge gave no verdict on {} of {} pairs; the first: {}\n",
           "注意：裁判对 {} 对（共 {} 对）没有判定；第一个：{}\n", n_failed, pairs.size(),
           printable(failed->why_not)));
}

}  // namespace chaski::cli
