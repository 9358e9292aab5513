#include "lab/eval_scores.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "report/score_summary.h"

namespace chaski {
namespace {

constexpr uint64_t kMaxRubricBytes = 1u << 20;

bool is_judges(const ScoreRecord& score) { return score.scorer.rfind("judge:", 0) == 0; }

std::string sha256_in(const RunRecord& record) {
  const OrderedJson::json_pointer where("/suite/sha256");
  return record.settings.contains(where) ? record.settings.at(where).get<std::string>() : std::string();
}

std::string source_in(const RunRecord& record) {
  const OrderedJson::json_pointer where("/suite/source");
  if (!record.settings.contains(where) || !record.settings.at(where).is_string()) return {};
  return record.settings.at(where).get<std::string>();
}

ScoreRecord score_of_failure(const AnswerRecord& answer) {
  ScoreRecord score;
  score.id = answer.id;
  score.sample = answer.sample;
  score.scorer = "rubric";
  score.status = "failed";
  score.note = "there is no answer";
  return score;
}

/// Means by type and of all, with intervals where there are questions enough.
OrderedJson means_json(const RunRecord& record) {
  const RunRecord* const records[] = {&record};
  OrderedJson json = OrderedJson::object();
  const auto choice = main_scorer(records);
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
  if (record.kind != "eval" || name.empty()) {
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
  std::map<std::string_view, const SuiteItem*> items;
  for (const SuiteItem& item : suite.items) items[item.id] = &item;
  std::vector<ScoreRecord> scores;
  for (const AnswerRecord& answer : record.items) {
    cancel.throw_if_cancelled("score");
    const auto item = items.find(answer.id);
    if (item == items.end()) {
      throw Error(
          ErrorCode::kCorrupt, "score",
          fmt::format("the run has an answer to \"{}\", which the suite does not ask", printable(answer.id)));
    }
    scores.push_back(answer.finish_reason == "error"
                         ? score_of_failure(answer)
                         : score_answer(*item->second, answer, rubric, &runner, cancel, record.model.id));
    if (on_progress)
      on_progress(static_cast<int64_t>(scores.size()), static_cast<int64_t>(record.items.size()));
  }
  std::copy_if(record.scores.begin(), record.scores.end(), std::back_inserter(scores), is_judges);
  record.scores = std::move(scores);
  record.scoring["rubric"] = {{"name", rubric.name}, {"sha256", rubric.sha256}};
  record.scoring["sandbox"] = runner.tier();
  record.scoring.erase("sandbox_note");
  if (const std::string why = runner.why_not(); !why.empty()) record.scoring["sandbox_note"] = why;
  record.scoring["by_type"] = means_json(record);
}

}  // namespace chaski
