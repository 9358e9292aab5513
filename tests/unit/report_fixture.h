// Simulated runs for tests of comparisons and pages.
#pragma once

#include <string>

#include "base/rng.h"
#include "report/run_record.h"

namespace chaski::tests {

/// A run of `n` questions of two types, whose times and scores are drawn from `seed`.
struct SimulatedRun {
  std::string model = "toy";
  size_t n = 20;
  double seconds = 10;       ///< mean per question
  double token_ms = 20;      ///< mean time per token
  double right_share = 0.5;  ///< of questions with five points, others one
  uint64_t seed = 1;
};

inline RunRecord simulated(const SimulatedRun& of) {
  RunRecord record;
  record.model.id = of.model;
  record.model.format = "gguf";
  record.model.weights = "q8_0 100%";
  record.model.n_parameters = 1'000'000;
  record.model.weight_bytes = 1'100'000;
  record.device = {"Toy CPU", "cpu", "scalar", 2, 1'200'000};
  record.build = {"0.1.0", "gcc 12", "Release"};
  record.settings = parse_ordered_json(
      R"({"suite":{"name":"toy","sha256":"11","title":{"en":"Toy questions","zh":"玩具题集"},
          "types":{"code":{"en":"code","zh":"代码生成"},"sums":{"en":"sums","zh":"数学计算"}}},
          "seed":0,"temperature":0.7,"template":"model"})",
      "test");
  for (size_t i = 0; i < of.n; ++i) {
    const auto draw = [&](uint64_t what) { return uniform01(of.seed, what, i); };
    AnswerRecord item;
    item.id = std::to_string(i + 1);
    item.type = i % 2 == 0 ? "code" : "sums";
    item.prompt = "问题 " + item.id;
    item.answer = "回答 " + item.id;
    item.ids.assign(100, 7);
    item.n_prompt_tokens = 12;
    item.seconds = of.seconds * (0.9 + 0.2 * draw(1));
    item.ttft_s = 0.05 * (0.9 + 0.2 * draw(2));
    item.tpot_s = of.token_ms / 1e3 * (0.9 + 0.2 * draw(3));
    item.finish_reason = "stop";
    ScoreRecord score;
    score.id = item.id;
    score.scorer = "rubric";
    score.score = draw(4) < of.right_share ? 5 : 1;
    score.components = {{"number", 0.7, *score.score == 5 ? 1.0 : 0.0, "final number"}};
    record.scores.push_back(score);
    record.items.push_back(item);
  }
  record.summary.load_s = 1.5;
  record.summary.peak_rss_bytes = 300'000'000;
  record.summary.kv_bytes = 40'000'000;
  record.summary.started_at = "2026-01-02T03:04:05Z";
  summarise(record);
  return record;
}

/// A bench's record with samples of one rate around `rate`.
inline RunRecord simulated_bench(const std::string& model, double rate, size_t n, uint64_t seed) {
  RunRecord record = simulated({model, 0});
  record.kind = "bench";
  record.settings = OrderedJson::object();
  std::vector<double> samples;
  for (size_t i = 0; i < n; ++i) samples.push_back(rate * (0.95 + 0.1 * uniform01(seed, 0, i)));
  record.metrics = {{"decode_tokens_per_s", "tokens/s", true, 1, summarize(samples)}};
  return record;
}

}  // namespace chaski::tests
