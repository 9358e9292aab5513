// An optional judge: another model, behind any OpenAI-compatible endpoint, that grades answers or says which
// of two is better. Its grades stand beside the rubric's (scorer.h), never in their place. The prompts are
// judge_prompt.cpp's; what a judge's word is worth: docs/en/scoring.md.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "lab/suite.h"
#include "report/pairwise.h"
#include "report/run_record.h"

namespace chaski {

struct JudgeOptions {
  std::string url;      ///< base of the endpoint, as "http://127.0.0.1:8080/v1"
  std::string model;    ///< its id there; empty: the only one that it lists
  std::string api_key;  ///< sent as a bearer token; never written anywhere
  uint64_t seed = 0;
  std::filesystem::path cache;  ///< JSON lines, one per reply, appended to; empty: replies are not kept
};

/// $CHASKI_JUDGE_KEY; empty where it is not set.
std::string judge_key_from_environment();

/// One thread uses a judge.
class Judge {
 public:
  /// Asks the endpoint for its models. Throws Error(kUsage) for a URL that is none, for several models and no
  /// choice, and where the judge is one of `under_test` (the same name or hash); kNetwork; kIo for the cache.
  Judge(JudgeOptions options, const std::vector<ModelFacts>& under_test, const CancelToken& cancel);
  ~Judge();
  Judge(const Judge&) = delete;
  Judge& operator=(const Judge&) = delete;

  const std::string& model() const;
  /// For RunRecord::scoring: the model's id, the host that it was asked at, seed, hash of the prompts.
  OrderedJson facts() const;

  /// One grade; the components are the judge's dimensions. A reply that is not what was asked for gives
  /// status "failed" with the reason, as does a server that fails (one that was silent three times in a row
  /// is not asked again); only cancellation throws, and kUsage where a model under test gave the reply or the
  /// key is not accepted.
  ScoreRecord score(const SuiteItem& item, const AnswerRecord& answer, const CancelToken& cancel);
  /// Asks twice, the order swapped; answers of the same text are a tie unasked. Failures as in score.
  PairVerdict compare(const SuiteItem& item, const AnswerRecord& a, const AnswerRecord& b,
                      const CancelToken& cancel);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace chaski
