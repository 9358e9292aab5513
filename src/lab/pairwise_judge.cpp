#include "lab/pairwise_judge.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <string_view>

#include "engine/request.h"

namespace chaski {
namespace {

bool is_in_words(const AnswerRecord& answer) {
  return answer.finish_reason != name_of(FinishReason::kError) && answer.choices.empty();
}

}  // namespace

std::vector<AnswerPair> pairs_to_judge(const std::vector<AnswerPair>& pairs) {
  std::vector<AnswerPair> found;
  std::copy_if(pairs.begin(), pairs.end(), std::back_inserter(found), [](const AnswerPair& pair) {
    return pair.is_whole() && is_in_words(*pair.a) && is_in_words(*pair.b);
  });
  return found;
}

Judgement judge_pairs(const std::vector<AnswerPair>& pairs, const Suite* suite, Judge& judge,
                      const CancelToken& cancel,
                      const std::function<void(int64_t done, int64_t total)>& on_progress) {
  std::map<std::string_view, const SuiteItem*> items;
  if (suite != nullptr) {
    for (const SuiteItem& item : suite->items) items[item.id] = &item;
  }
  Judgement judgement;
  for (const AnswerPair& pair : pairs) {
    cancel.throw_if_cancelled("judge");
    SuiteItem item;  // as it was asked; the suite adds what stands beside the question
    item.id = pair.a->id;
    item.type = pair.a->type;
    item.prompt = pair.a->prompt;
    if (const auto at = items.find(item.id); at != items.end()) item.extra = at->second->extra;
    judgement.verdicts.push_back(judge.compare(item, *pair.a, *pair.b, cancel));
    if (on_progress) {
      on_progress(static_cast<int64_t>(judgement.verdicts.size()), static_cast<int64_t>(pairs.size()));
    }
  }
  judgement.judge = judge.facts();
  judgement.judge["has_references"] = suite != nullptr;
  return judgement;
}

}  // namespace chaski
