#include "lab/human_eval.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "base/utf8.h"

namespace chaski {
namespace {

constexpr std::string_view kFields[] = {"task_id", "prompt", "entry_point", "test"};

bool is_identifier(std::string_view text) {
  return !text.empty() && !(text[0] >= '0' && text[0] <= '9') &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
         });
}

SuiteItem problem_of(Json fields, const std::string& place) {
  SuiteItem item;
  item.extra = std::move(fields);
  for (const std::string_view field : kFields) {
    if (require_string(item.extra, field, place).empty()) {
      throw Error(ErrorCode::kCorrupt, "read HumanEval", fmt::format("{}: {} is empty", place, field));
    }
  }
  item.id = require_string(item.extra, "task_id", place);
  item.type = "code";
  item.prompt = require_string(item.extra, "prompt", place);
  const std::string entry_point = require_string(item.extra, "entry_point", place);
  if (!is_identifier(entry_point)) {
    throw Error(ErrorCode::kCorrupt, "read HumanEval",
                fmt::format("{}: entry_point: expected the name of a function, found \"{}\"", place,
                            printable(entry_point)));
  }
  if (item.id.size() > 64 || std::any_of(item.id.begin(), item.id.end(), [](char c) {
        return static_cast<unsigned char>(c) <= 0x20 || c == 0x7F;
      })) {
    throw Error(ErrorCode::kCorrupt, "read HumanEval",
                fmt::format("{}: task_id: expected up to 64 characters without spaces", place));
  }
  for (const char* key : {"task_id", "prompt"}) item.extra.erase(key);
  return item;
}

class HumanEval final : public PublicSuite {
 public:
  std::string_view name() const override { return "humaneval"; }

  Suite load(const std::string& path) const override {
    try {
      return parse_human_eval(read_public_file(path), path);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kNotFound) throw;
      throw Error(
          ErrorCode::kNotFound, "read HumanEval", fmt::format("{} is not there", printable(path, 200)),
          "HumanEval.jsonl.gz is in the Python package human-eval and in its makers' repository; name "
          "it as humaneval:FILE");
    }
  }

  ScoreRecord score(const SuiteItem& item, const AnswerRecord& answer, CodeRunner* runner,
                    const CancelToken& cancel) const override {
    ScoreRecord score;
    score.id = answer.id;
    score.sample = answer.sample;
    score.scorer = "code";
    if (runner == nullptr) {
      score.status = "not_run";
      score.note = "there is no sandbox";
      return score;
    }
    const CodeResult result = runner->run(human_eval_task(item, answer.answer), cancel);
    if (result.verdict == CodeVerdict::kNotRun) {
      score.status = "not_run";
      score.note = result.message;
      return score;
    }
    score.is_correct = result.verdict == CodeVerdict::kPassed;
    std::string evidence(name_of(result.verdict));
    if (!result.message.empty()) evidence += ": " + result.message;
    score.components.push_back({"tests", 1.0, *score.is_correct ? 1.0 : 0.0, std::move(evidence)});
    return score;
  }

  std::vector<TaskResult> results(std::span<const ScoreRecord> scores) const override {
    std::map<std::string, std::pair<int64_t, int64_t>> counts;  // by problem: samples, those that pass
    for (const ScoreRecord& score : scores) {
      if (!score.is_correct) continue;
      auto& [n, c] = counts[score.id];
      ++n;
      c += *score.is_correct ? 1 : 0;
    }
    std::vector<TaskResult> results;
    if (counts.empty()) return results;
    int64_t fewest = counts.begin()->second.first;
    for (const auto& [id, count] : counts) fewest = std::min(fewest, count.first);
    for (const int64_t k : {1, 10, 100}) {
      if (k > fewest) break;
      std::vector<double> shares;
      for (const auto& [id, count] : counts) shares.push_back(pass_at_k(count.first, count.second, k));
      results.push_back(mean_result(std::string(name()), fmt::format("pass@{}", k), shares));
    }
    return results;
  }
};

}  // namespace

const PublicSuite& human_eval() {
  static const HumanEval suite;
  return suite;
}

Suite parse_human_eval(std::string_view jsonl, std::string_view where) {
  Suite suite;
  suite.name = "humaneval";
  suite.title = {"HumanEval", "HumanEval"};
  suite.types["code"] = {"Code", "代码"};
  suite.prompt_template = "raw:{prompt}";
  suite.settings.temperature = 0;
  suite.settings.max_new_tokens = 512;
  suite.settings.stop = {"\nclass", "\ndef", "\n#", "\nif", "\nprint"};
  suite.sha256 = sha256_of(jsonl);
  std::set<std::string> ids;
  for_each_json_line(jsonl, where, "read HumanEval", [&](Json fields, const std::string& place) {
    suite.items.push_back(problem_of(std::move(fields), place));
    if (!ids.insert(suite.items.back().id).second) {
      throw Error(ErrorCode::kCorrupt, "read HumanEval",
                  fmt::format("{}: task_id \"{}\" was used before", place, printable(suite.items.back().id)));
    }
  });
  if (suite.items.empty()) {
    throw Error(ErrorCode::kCorrupt, "read HumanEval", fmt::format("{}: has no problems", where));
  }
  return suite;
}

CodeTask human_eval_task(const SuiteItem& item, const std::string& completion) {
  CodeTask task;
  task.entry_point = item.extra.at("entry_point").get<std::string>();
  task.program = item.prompt + completion + "\n\n";
  task.tests = {item.extra.at("test").get<std::string>() + "\ncheck(" + task.entry_point + ")\n"};
  return task;
}

double pass_at_k(int64_t n, int64_t c, int64_t k) {
  if (n - c < k) return 1.0;
  double none = 1.0;
  for (int64_t i = n - c + 1; i <= n; ++i) none *= 1.0 - static_cast<double>(k) / static_cast<double>(i);
  return 1.0 - none;
}

}  // namespace chaski
