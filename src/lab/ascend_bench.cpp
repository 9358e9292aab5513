#include "lab/ascend_bench.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "lab/ascend_published.h"
#include "lab/bench_metrics.h"
#include "lab/model_facts.h"
#include "report/warnings.h"

namespace chaski {
namespace {

/// Seconds of one test: {low, high}, or one value where they are equal.
std::vector<double> seconds_in(const ModelledTime& time) {
  if (time.low_s == time.high_s) return {time.low_s};
  return {time.low_s, time.high_s};
}

std::vector<double> rates_in(const ModelledTime& time, int64_t n_tokens) {
  std::vector<double> rates = seconds_in(time);
  for (double& value : rates) value = static_cast<double>(n_tokens) / value;
  return rates;
}

ModelledTime per_token(const ModelledTime& time, int64_t n_tokens) {
  const auto n = static_cast<double>(n_tokens);
  return {time.low_s / n, time.high_s / n};
}

/// One record's figures.
class ModelledRun {
 public:
  /// Operators are the same in both modes: the captured record lists them.
  ModelledRun(const AscendShape& shape, const AscendCard& card, bool is_captured, RunRecord& record)
      : shape_(shape), card_(card), is_captured_(is_captured), record_(record) {}

  void add(const BenchTest& test) {
    switch (test.kind) {
      case TestKind::kPrefill:
        return add_prefill(test);
      case TestKind::kDecode:
        return add_decode(test);
      case TestKind::kRequest:
        return add_request(test);
      case TestKind::kSpeculative:
        return;
    }
  }

  /// Where the time of one step goes, an operator a line.
  void add_ops(TestKind phase, const AscendStep& step) {
    if (!is_captured_) return;
    for (const ModelledOp& op : ops_of_step(shape_, step)) {
      record_.ops.push_back({std::string(op.name), std::string(name_of(phase)), op.shape, op.launches,
                             static_cast<int64_t>(op.bytes), seconds_of(op, card_, shape_.is_bf16)});
    }
  }

 private:
  void metric(const std::string& name, const BenchTest& test, const char* unit, bool is_higher_better,
              std::vector<double> samples) {
    record_.metrics.push_back(named_metric(name + test.at, unit, is_higher_better, 0, std::move(samples)));
  }

  void add_prefill(const BenchTest& test) {
    const ModelledTime time = prefill_time(shape_, card_, test.n_prompt, test.depth, step_rows());
    metric("prefill_tokens_per_s", test, "tokens/s", true, rates_in(time, test.n_prompt));
    if (!test.at.empty()) return;
    const int64_t rows = std::min(test.n_prompt, step_rows());
    add_ops(test.kind, {rows, 1, test.depth + rows, 1});
  }

  void add_decode(const BenchTest& test) {
    const int64_t depth = std::max<int64_t>(1, test.depth), n = test.n_sequences;
    const ModelledTime time = decode_time(shape_, card_, test.n_gen, depth, n, is_captured_);
    metric("decode_tokens_per_s", test, "tokens/s", true, rates_in(time, test.n_gen * n));
    if (n > 1) return;
    metric("tpot_s", test, "s", false, seconds_in(per_token(time, test.n_gen)));
    if (test.at.empty()) add_ops(test.kind, {1, 1, ascend_bucket(depth + 1), 1});
  }

  void add_request(const BenchTest& test) {
    const ModelledTime first = prefill_time(shape_, card_, test.n_prompt, 0, step_rows());
    const ModelledTime rest = decode_time(shape_, card_, test.n_gen - 1, test.n_prompt, 1, is_captured_);
    const ModelledTime all{first.low_s + rest.low_s, first.high_s + rest.high_s};
    metric("overall_tokens_per_s", test, "tokens/s", true, rates_in(all, test.n_gen));
    metric("ttft_s", test, "s", false, seconds_in(first));
    metric("e2e_s", test, "s", false, seconds_in(all));
  }

  const AscendShape& shape_;
  const AscendCard& card_;
  bool is_captured_;
  RunRecord& record_;
};

ModelFacts facts_of(const std::string& id, const Checkpoint& checkpoint) {
  ModelFacts facts;
  facts.id = id;
  facts.path = checkpoint.path();
  facts.format = checkpoint.kind();
  facts.weights = weight_types(checkpoint);
  facts.hash = checkpoint.known_hash().value_or("");
  facts.n_parameters = checkpoint.config().n_parameters();
  facts.weight_bytes = static_cast<int64_t>(checkpoint.weight_bytes());
  facts.is_synthetic = checkpoint.is_synthetic();
  return facts;
}

/// "Ascend 910B3".
std::string title_of(const AscendCard& card) {
  std::string title = "Ascend 910B";
  title += card.name.substr(4);
  return title;
}

OrderedJson model_settings(const AscendCard& card, bool is_bf16) {
  const LaunchCost cost;
  return {{"matrix_ops_per_s", is_bf16 ? card.bf16_ops_per_s : card.f16_ops_per_s},
          {"vector_ops_per_s", card.vector_ops_per_s},
          {"memory_bytes_per_s", card.memory_bytes_per_s},
          {"compute_efficiency", kComputeEfficiency},
          {"memory_efficiency", kMemoryEfficiency},
          {"matrix_op_s", kMatrixOpSeconds},
          {"vector_op_s", kVectorOpSeconds},
          {"launch_s", {cost.low_s, cost.high_s}}};
}

RunWarning modelled_warning(ModelledPhase decode) {
  RunWarning warning = make_warning("modelled");
  warning.message +=
      fmt::format(" Its error: {}; {}", error_text(decode), error_text(ModelledPhase::kPrefill));
  return warning;
}

void check_memory(const std::string& id, const AscendShape& shape, const AscendCard& card, int64_t kv_bytes) {
  const int64_t needs = shape.weight_bytes() + kv_bytes;
  if (needs <= card.memory_bytes) return;
  constexpr double kGib = 1024.0 * 1024 * 1024;
  throw Error(ErrorCode::kOutOfMemory, "bench",
              fmt::format("{}: weights and cache take {:.1f} GiB, an {} has {:.0f} GiB", printable(id),
                          static_cast<double>(needs) / kGib, title_of(card),
                          static_cast<double>(card.memory_bytes) / kGib),
              "take a format of fewer bits (chaski quantize), or a smaller depth");
}

}  // namespace

std::vector<RunRecord> modelled_bench(const std::string& id, const Checkpoint& checkpoint,
                                      const AscendCard& card, const BenchPlan& plan) {
  plan.validate();
  if (plan.speculates) {
    throw Error(ErrorCode::kUsage, "bench", "--speculate: how often a guess is right cannot be modelled");
  }
  check_fits(plan, checkpoint.config().max_context);
  const AscendShape shape = ascend_shape(checkpoint);
  int64_t n_positions = 0;
  for (const BenchTest& test : plan.tests())
    n_positions = std::max(n_positions, ascend_bucket(test.context()) * test.n_sequences);
  const int64_t kv_bytes = n_positions * shape.kv_bytes_per_position();
  check_memory(id, shape, card, kv_bytes);
  std::vector<RunRecord> records;
  for (const bool is_captured : {true, false}) {
    RunRecord record;
    record.kind = "bench";
    record.model = facts_of(id, checkpoint);
    record.machine.accelerator = title_of(card);
    const std::string runner = is_captured ? "captured" : "eager";
    record.device = {title_of(card), "modelled", runner, 0, shape.weight_bytes()};
    record.runner.name = runner;
    record.settings["device"] = fmt::format("ascend-model:{}", card.name);
    record.settings["precision"] = "fast";
    record.settings["kv_dtype"] = shape.is_bf16 ? "bf16" : "f16";
    record.settings["tests"] = tests_json(plan.tests());
    record.settings["time_model"] = model_settings(card, shape.is_bf16);
    const ModelledPhase decode = is_captured ? ModelledPhase::kCapturedDecode : ModelledPhase::kEagerDecode;
    record.settings["time_model_error"] = {{"decode", to_json(error_over(decode))},
                                           {"prefill", to_json(error_over(ModelledPhase::kPrefill))}};
    record.warnings.push_back(modelled_warning(decode));
    MemoryRecord memory;
    memory.weight_bytes = shape.weight_bytes();
    memory.kv_bytes = record.summary.kv_bytes = kv_bytes;
    record.memory = memory;
    ModelledRun run(shape, card, is_captured, record);
    for (const BenchTest& test : plan.tests()) run.add(test);
    records.push_back(std::move(record));
  }
  return records;
}

}  // namespace chaski
