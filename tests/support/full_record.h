// A record in which every field has a value, for tests of what is made of records.
#pragma once

#include "report/run_record.h"

namespace chaski::tests {

inline void fill_facts(RunRecord& record) {
  record.machine = {"Toy CPU", "Toy OS", "Linux 6", "x86_64", 4, 8 << 20, "performance", "Toy GPU", "1.2"};
  record.build = {"0.1.0", "gcc 12", "Release"};
  record.model.id = "default";
  record.model.path = "/models/default.gguf";
  record.model.format = "gguf";
  record.model.weights = "q4_1 86%, q8_0 13%";
  record.model.hash = std::string(64, 'a');
  record.model.n_parameters = 134'515'008;
  record.model.weight_bytes = 98'000'000;
  record.model.template_hash = std::string(64, 'b');
  record.model.date_string = "26 Jul 2024";
  record.model.is_synthetic = true;
  record.model.lora = "/adapters/one";
  record.device = {"Toy CPU", "cpu", "avx512", 4, 99'000'000};
  record.runner = {"eager", "no graph"};
  record.settings = parse_ordered_json(
      R"({"suite":{"name":"toy","title":{"en":"Toy","zh":"玩具"},"types":{"code":{"en":"code","zh":"代码生成"}}},
          "seed":9007199254740991,"temperature":0.1,"precision":"fast","a_later_one":[1,{"z":null,"a":2}]})",
      "test");
}

inline AnswerRecord full_answer(const std::string& id, int64_t sample) {
  AnswerRecord item;
  item.id = id;
  item.type = "code";
  item.prompt = "写一个函数";
  item.answer = std::string("def f():\n\treturn '</script>'\0\x1b[2J", 33);
  item.ids = {1, 2, 128'009};
  item.n_prompt_tokens = 12;
  item.seconds = 2.0 / 3;
  item.ttft_s = 0.1;
  item.tpot_s = 1.0 / 7;
  item.finish_reason = "stop";
  item.sample = sample;
  return item;
}

inline ScoreRecord full_score(const std::string& id, int score) {
  ScoreRecord record;
  record.id = id;
  record.sample = 1;
  record.scorer = "rubric";
  record.score = score;
  record.raw = 3.5;
  record.is_correct = false;
  record.components = {{"tests", 0.6, 0.5, "3 of 6"}, {"form", 0.4, 1, "a function"}};
  record.adjustments = {{"language", true, 3, "Chinese was asked for"}, {"markup", false, 0.5, "**"}};
  record.note = "a note";
  return record;
}

/// An eval's record with a bench's figures in it as well.
inline RunRecord full_record() {
  RunRecord record;
  fill_facts(record);
  record.items = {full_answer("1", 0), full_answer("1", 1), full_answer("2", 0)};
  record.scores = {full_score("1", 4), full_score("2", 1)};
  record.scores[1].status = "not_run";
  record.scores[1].score = std::nullopt;
  record.scoring = {{"rubric", {{"name", "rubric 1"}, {"sha256", "00"}}}, {"sandbox", "A"}};
  record.results = {{"toy/code", "acc", 0.25, 0.125, 12}, {"toy", "pass@1", 1.0 / 3, std::nullopt, 3}};
  record.metrics = {{"ttft_s", "s", false, 1, summarize({0.3, 0.1, 0.2})},
                    {"decode_tokens_per_s", "tokens/s", true, 2, summarize({6, 5, 4, 3, 2, 1})}};
  record.energy = {
      {"rapl package-0", "decode", 12.5, 2, 128, 3.25, "", std::nullopt, std::nullopt},
      {"nvml", "decode", std::nullopt, 0, 0, std::nullopt, "no library", std::nullopt, std::nullopt},
      {"dcmi 0/0", "decode", 250.5, 2, 128, 90, "", 37.5, 51}};
  record.memory = {1000, 200, 30, 4000, 500};
  record.counts = {{"launches", 185}, {"ai_cpu_launches", 2}};
  record.ops = {{"linear", "decode", "[1, 576] x [576, 1536]", 30, 1 << 20, 0.5}};
  record.fallback_rate = {0.1, 0.2, 0.3};
  record.stability = {100, 99, 1, 2, 3, 4, -4096, 60.5};
  record.summary.started_at = "2026-01-02T03:04:05Z";
  record.summary.ended_at = "2026-01-02T03:05:05Z";
  record.summary.load_s = 10.52;
  record.summary.wall_s = 4.5;
  record.summary.peak_rss_bytes = 1 << 30;
  record.summary.kv_bytes = 1 << 20;
  summarise(record);
  record.fallbacks = {{"attention", "q8_0 cache", 5, 4096, 0.01}};
  record.failures = {{"2", 0, ErrorCode::kUsage, "too long"}};
  record.warnings = {{"single_sample", "One sample."}};
  return record;
}

}  // namespace chaski::tests
