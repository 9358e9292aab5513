#include "report/comparability.h"

#include "base/error.h"
#include "report/names.h"

namespace chaski {
namespace {

OrderedJson setting(const RunRecord& record, std::string_view name) {
  const auto at = record.settings.find(name);
  return at == record.settings.end() ? OrderedJson(nullptr) : *at;
}

/// Sequences at once; records that do not say have one.
OrderedJson width(const RunRecord& record, std::string_view name) {
  OrderedJson value = setting(record, name);
  return value.is_null() ? OrderedJson(1) : value;
}

/// The kind of test that a metric is of; empty where several kinds give it.
std::string_view kind_of_test(std::string_view metric) {
  constexpr std::pair<std::string_view, std::string_view> kKinds[] = {
      {"prefill_", "prefill"}, {"arithmetic_share", "prefill"}, {"decode_", "decode"},
      {"joules_", "decode"},   {"bandwidth_share", "decode"},   {"overall_", "request"},
      {"e2e_", "request"},     {"speculative_", "speculative"}};
  for (const auto& [prefix, kind] : kKinds) {
    if (metric.starts_with(prefix)) return kind;
  }
  return "";
}

/// What was asked of the model while the metric was taken: the test of settings.tests, or all of them where
/// the name does not tell the kind; of a server the lengths and the prompt.
OrderedJson load_of(const RunRecord& record, std::string_view metric) {
  OrderedJson load = OrderedJson::object();
  for (const std::string_view name : {"n_prompt", "n_gen", "prompt_sha256"}) {
    load[std::string(name)] = setting(record, name);
  }
  const OrderedJson tests = setting(record, "tests");
  const std::string_view kind = kind_of_test(metric);
  if (kind.empty() || !tests.is_array()) {
    load["tests"] = tests;
    return load;
  }
  for (const OrderedJson& test : tests) {
    if (!test.is_object()) continue;
    const auto of_test = test.find("kind");
    if (of_test == test.end() || !of_test->is_string()) continue;
    if (of_test->get_ref<const std::string&>() != kind) continue;
    load["test"] = test;
    load["test"].erase("at");
    break;
  }
  return load;
}

OrderedJson rubric_of(const RunRecord& record) {
  const auto rubric = record.scoring.find("rubric");
  if (rubric == record.scoring.end() || !rubric->is_object()) return nullptr;
  const auto hash = rubric->find("sha256");
  return hash == rubric->end() ? OrderedJson(nullptr) : *hash;
}

}  // namespace

Obstacle time_obstacle(const RunRecord& a, const RunRecord& b) {
  if (a.kind != b.kind) return Obstacle::kKind;
  if (!device_mark(a, Lang::kEn).empty() || !device_mark(b, Lang::kEn).empty()) return Obstacle::kNotMeasured;
  for (const std::string_view name : {"batch", "concurrency"}) {
    if (width(a, name) != width(b, name)) return Obstacle::kBatch;
  }
  return Obstacle::kNone;
}

Obstacle answer_time_obstacle(const RunRecord& a, const RunRecord& b) {
  const Obstacle obstacle = time_obstacle(a, b);
  if (obstacle != Obstacle::kNone) return obstacle;
  return width(a, "batch") > 1 ? Obstacle::kShared : Obstacle::kNone;
}

Obstacle metric_obstacle(const RunRecord& a, const RunRecord& b, std::string_view metric) {
  const Obstacle obstacle = time_obstacle(a, b);
  if (obstacle != Obstacle::kNone) return obstacle;
  return load_of(a, metric) == load_of(b, metric) ? Obstacle::kNone : Obstacle::kTest;
}

Obstacle memory_obstacle(const RunRecord& a, const RunRecord& b) {
  const Obstacle obstacle = metric_obstacle(a, b, "");
  if (obstacle != Obstacle::kNone) return obstacle;
  return setting(a, "context") == setting(b, "context") ? Obstacle::kNone : Obstacle::kContext;
}

Obstacle scoring_obstacle(const RunRecord& a, const RunRecord& b) {
  return rubric_of(a) == rubric_of(b) ? Obstacle::kNone : Obstacle::kScoring;
}

std::string_view name_of(Obstacle obstacle) {
  switch (obstacle) {
    case Obstacle::kNone:
      return "";
    case Obstacle::kKind:
      return "kind";
    case Obstacle::kBatch:
      return "batch";
    case Obstacle::kShared:
      return "shared_time";
    case Obstacle::kTest:
      return "test";
    case Obstacle::kContext:
      return "context";
    case Obstacle::kScoring:
      return "scoring";
    case Obstacle::kQuestions:
      return "questions";
    case Obstacle::kPhase:
      return "phase";
    case Obstacle::kNoVerdict:
      return "no_verdict";
    case Obstacle::kNotMeasured:
      return "not_measured";
    case Obstacle::kUnsteady:
      return "unsteady_judge";
  }
  return "";
}

std::string_view obstacle_text(Obstacle obstacle, Lang lang) {
  switch (obstacle) {
    case Obstacle::kNone:
      break;
    case Obstacle::kKind:
      return tr(lang, "the runs are of different kinds", "两次运行类型不同");
    case Obstacle::kBatch:
      return tr(lang, "the runs worked on different numbers of requests at once",
                "两次运行同时处理的请求数不同");
    case Obstacle::kShared:
      return tr(lang,
                "several answers were made at once, so that the seconds of each contain the work of others; "
                "--batch 1 times them alone",
                "多个回答同时生成，每个回答的用时含有其他回答的计算；用 --batch 1 可单独计时");
    case Obstacle::kTest:
      return tr(lang, "the tests had different lengths or depths", "两边测试的长度或深度不同");
    case Obstacle::kContext:
      return tr(lang, "the runs had room for different numbers of positions", "两次运行的上下文长度不同");
    case Obstacle::kScoring:
      return tr(lang, "the answers were scored by different rubrics", "两边的评分规则不同");
    case Obstacle::kQuestions:
      return tr(lang, "the runs have no question in common", "两次运行没有共同的题目");
    case Obstacle::kPhase:
      return tr(lang, "energy was measured of different phases or by different meters",
                "能耗的测量阶段或测量方式不同");
    case Obstacle::kNoVerdict:
      return tr(lang, "the judge gave no verdict", "裁判没有给出判定");
    case Obstacle::kNotMeasured:
      return tr(lang, "a run is modelled or emulated: its times are not those of the device",
                "有一方为模型推算或模拟器运行，其用时不代表真实设备");
    case Obstacle::kUnsteady:
      return tr(lang, "most of the judge's verdicts changed with the order in which it saw the answers",
                "裁判的多数判定随回答出示的顺序而变");
  }
  return "";
}

}  // namespace chaski
