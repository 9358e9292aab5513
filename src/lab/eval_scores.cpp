#include "lab/eval_scores.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/threads.h"
#include "engine/request.h"
#include "lab/model_facts.h"
#include "lab/public_suites.h"
#include "machine/cpu_clock.h"
#include "report/score_summary.h"

namespace chaski {
namespace {

constexpr uint64_t kMaxRubricBytes = 1u << 20;
constexpr int64_t kMostAtOnce = 64;
constexpr const char* kFailedNote = "the question failed: there is no answer";

std::string sha256_in(const RunRecord& record) {
  const OrderedJson::json_pointer where("/suite/sha256");
  return record.settings.contains(where) ? record.settings.at(where).get<std::string>() : std::string();
}

std::string source_in(const RunRecord& record) {
  const OrderedJson::json_pointer where("/suite/source");
  if (!record.settings.contains(where) || !record.settings.at(where).is_string()) return {};
  return record.settings.at(where).get<std::string>();
}

/// A question that failed is one that the model got wrong: it counts as an empty answer, so that who fails
/// does not rise by it. What could not be run or has no rule stays without a score.
ScoreRecord score_of_failure(AnswerRecord answer,
                             const std::function<ScoreRecord(const AnswerRecord&)>& score_of,
                             bool has_protocol) {
  answer.answer.clear();
  answer.choices.clear();
  ScoreRecord score = score_of(answer);
  if (score.status != "scored") return score;
  score.note = kFailedNote;
  if (!has_protocol) return score;
  score.is_correct = false;
  for (ScoreComponent& component : score.components) component.value = 0;
  return score;
}

/// How many answers to score at once: a program and its test, of which one waits for the other, have a core,
/// and memory for both limits.
int n_at_once(int64_t n_answers) {
  const int64_t program_bytes = 2 * CodeLimits().memory_bytes;  // the program, and its test beside it
  const int64_t n_fit = available_memory_bytes().value_or(program_bytes) / program_bytes;
  return static_cast<int>(
      std::clamp<int64_t>(std::min<int64_t>({n_answers, n_fit, available_cores()}), 1, kMostAtOnce));
}

/// Means by type and of all, with intervals where there are questions enough.
OrderedJson means_json(const RunRecord& record, const std::optional<ScorerChoice>& choice) {
  OrderedJson json = OrderedJson::object();
  if (!choice) return json;
  for (const TypeScore& score : scores_by_type(record, *choice)) {
    OrderedJson& entry = json[score.type.empty() ? "all" : score.type];
    entry["n_questions"] = score.n;
    entry["mean"] = score.mean;
    entry["ci95"] = nullptr;
    if (score.ci95) entry["ci95"] = {score.ci95->low, score.ci95->high};
  }
  return json;
}

/// The suite's items by their ids.
class Questions {
 public:
  explicit Questions(const Suite& suite) {
    for (const SuiteItem& item : suite.items) items_[item.id] = &item;
  }
  /// Throws Error(kCorrupt) where the suite does not ask it.
  const SuiteItem& of(const AnswerRecord& answer) const {
    const auto item = items_.find(answer.id);
    if (item != items_.end()) return *item->second;
    throw Error(
        ErrorCode::kCorrupt, "score",
        fmt::format("the run has an answer to \"{}\", which the suite does not ask", printable(answer.id)));
  }

 private:
  std::map<std::string_view, const SuiteItem*> items_;
};

bool has_failed(const AnswerRecord& answer) { return answer.finish_reason == name_of(FinishReason::kError); }

std::string text_at(const OrderedJson& json, const char* pointer) {
  const OrderedJson::json_pointer where(pointer);
  return json.contains(where) && json.at(where).is_string() ? json.at(where).get<std::string>()
                                                            : std::string();
}

}  // namespace

Rubric rubric_for(const Suite& suite, const std::string& file) {
  if (!file.empty()) return parse_rubric(read_text_file(file, kMaxRubricBytes), file);
  if (!suite.rubric.empty()) return parse_rubric(suite.rubric, suite.source + "/rubric.yaml");
  return default_rubric();
}

Suite suite_of(const RunRecord& record, const std::string& name_or_path,
               const std::vector<std::filesystem::path>& folders) {
  const std::string sha256 = sha256_in(record);
  const std::string name = suite_name(record);
  if (record.kind == "bench") {
    throw Error(ErrorCode::kUsage, "score", "the run is a bench: it has no answers to score",
                "name a run of `chaski eval`");
  }
  if (name.empty()) {
    throw Error(ErrorCode::kUsage, "score", "the run has no questions: it is no run of eval");
  }
  std::vector<std::string> places{name_or_path};
  if (name_or_path.empty()) places = {source_in(record), name};
  std::string found;
  for (const std::string& place : places) {
    if (place.empty() || place == "built in") continue;
    try {
      Suite suite = find_suite(place, folders);
      if (suite.sha256 == sha256) return suite;
      found += fmt::format("{}{} has {}", found.empty() ? "" : ", ", printable(suite.source), suite.sha256);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kNotFound || !name_or_path.empty()) throw;
    }
  }
  const std::string wanted = fmt::format("suite \"{}\" with SHA-256 {}", printable(name), printable(sha256));
  if (found.empty()) {
    throw Error(ErrorCode::kNotFound, "score", fmt::format("{} is not here", wanted),
                "name its folder with --suite");
  }
  throw Error(
      ErrorCode::kUsage, "score",
      fmt::format("expected {}, found another: {}; answers are scored by the questions that they were "
                  "given to",
                  wanted, found),
      "name the folder with the questions of that run with --suite");
}

void score_run(RunRecord& record, const Suite& suite, const Rubric& rubric, CodeRunner& runner,
               const CancelToken& cancel,
               const std::function<void(int64_t done, int64_t total)>& on_progress) {
  const Questions questions(suite);
  const PublicSuite* const protocol = public_suite_of(suite);
  const auto n_answers = static_cast<int64_t>(record.items.size());
  std::vector<ScoreRecord> scores(record.items.size());
  std::mutex mutex;  // of n_done and of the caller's callback
  int64_t n_done = 0;
  const auto score_one = [&](const AnswerRecord& answer) {
    const auto score_of = [&, &asked = questions.of(answer)](const AnswerRecord& given) {
      return protocol != nullptr
                 ? protocol->score(asked, given, &runner, cancel)
                 : score_answer(asked, given, rubric, &runner, cancel, own_name(record.model));
    };
    return has_failed(answer) ? score_of_failure(answer, score_of, protocol != nullptr) : score_of(answer);
  };
  ThreadPool(n_at_once(n_answers)).parallel_for(n_answers, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      cancel.throw_if_cancelled("score");
      scores[static_cast<size_t>(i)] = score_one(record.items[static_cast<size_t>(i)]);
      const std::lock_guard lock(mutex);
      if (on_progress) on_progress(++n_done, n_answers);
    }
  });
  std::copy_if(record.scores.begin(), record.scores.end(), std::back_inserter(scores), is_judges);
  record.scores = std::move(scores);
  if (protocol != nullptr) {
    record.results = protocol->results(record.scores);
    record.scoring["protocol"] = protocol->name();
  } else {
    record.scoring["rubric"] = {{"name", rubric.name}, {"sha256", rubric.sha256}};
  }
  record.scoring["sandbox"] = runner.tier();
  record.scoring.erase("sandbox_note");
  if (const std::string why = runner.why_not(); !why.empty()) record.scoring["sandbox_note"] = why;
  const RunRecord* const records[] = {&record};
  record.scoring["by_type"] = means_json(record, main_scorer(records));
}

bool is_scored_by(const RunRecord& record, const Suite& suite, const Rubric& rubric,
                  const CodeRunner& runner) {
  if (std::all_of(record.scores.begin(), record.scores.end(), is_judges)) return record.items.empty();
  const PublicSuite* const protocol = public_suite_of(suite);
  const bool is_same = protocol != nullptr ? text_at(record.scoring, "/protocol") == protocol->name()
                                           : text_at(record.scoring, "/rubric/sha256") == rubric.sha256;
  const bool lacked_sandbox = std::any_of(record.scores.begin(), record.scores.end(),
                                          [](const ScoreRecord& s) { return s.status == "not_run"; });
  return is_same && (!lacked_sandbox || text_at(record.scoring, "/sandbox") == runner.tier());
}

void judge_run(RunRecord& record, const Suite& suite, Judge& judge, const CancelToken& cancel,
               const std::function<void(int64_t done, int64_t total)>& on_progress) {
  const Questions questions(suite);
  const std::string scorer = "judge:" + judge.model();
  std::vector<ScoreRecord> scores;
  for (const ScoreRecord& score : record.scores) {
    if (score.scorer != scorer) scores.push_back(score);
  }
  int64_t n_done = 0;
  for (const AnswerRecord& answer : record.items) {
    cancel.throw_if_cancelled("judge");
    const SuiteItem& item = questions.of(answer);
    if (has_failed(answer)) {
      ScoreRecord score;
      score.id = answer.id;
      score.sample = answer.sample;
      score.scorer = scorer;
      score.score = 1;
      score.raw = 1;
      score.note = kFailedNote;
      scores.push_back(std::move(score));
    } else {
      scores.push_back(judge.score(item, answer, cancel));
    }
    if (on_progress) on_progress(++n_done, static_cast<int64_t>(record.items.size()));
  }
  record.scores = std::move(scores);
  record.scoring["judge"] = judge.facts();
  record.scoring["judge"]["by_type"] = means_json(record, ScorerChoice{scorer, ScoreKind::kPoints});
}

}  // namespace chaski
