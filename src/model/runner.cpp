#include "model/runner.h"

#include <algorithm>

#include "base/error.h"

namespace chaski {

StepBuffers::StepBuffers(Ops& ops, const LlamaModel& model, const RunnerLimits& limits)
    : ops_(ops), model_(model), limits_(limits) {
  const int64_t page_entries = int64_t{limits.max_sequences} * limits.pages_per_sequence;
  const int64_t n_ints = 4 * int64_t{limits.max_rows} + page_entries + limits.max_outputs;
  ints_ = ops.memory().allocate(static_cast<size_t>(n_ints) * 4, "a step's inputs");
  logits_ = ops.memory().allocate(static_cast<size_t>(limits.max_outputs * model.config.vocab) * 4, "logits");
  best_ = ops.memory().allocate(static_cast<size_t>(limits.max_outputs) * 4, "best tokens");
  auto* next = static_cast<std::byte*>(ints_.data());
  const auto carve = [&next](int64_t n) {
    const TensorView view{next, DType::kI32, {n}};
    next += n * 4;
    return view;
  };
  token_ids_ = carve(limits.max_rows);
  positions_ = carve(limits.max_rows);
  sequence_of_row_ = carve(limits.max_rows);
  slots_ = carve(limits.max_rows);
  page_table_ = carve(page_entries);
  output_rows_ = carve(limits.max_outputs);
}

TensorView StepBuffers::place(TensorView slot, const std::vector<int32_t>& values, const Shape& shape) {
  CHECK(static_cast<int64_t>(values.size()) <= slot.shape.n_elements() &&
            static_cast<int64_t>(values.size()) == shape.n_elements(),
        "{} values for shape {}, room for {}", values.size(), shape.to_string(), slot.shape.n_elements());
  if (!values.empty()) ops_.memory().copy_in(slot.data, values.data(), values.size() * 4);
  slot.shape = shape;
  return slot;
}

StepInputs StepBuffers::upload(const Batch& batch) {
  const int32_t n = batch.n_rows();
  CHECK(n > 0 && n <= limits_.max_rows, "a step of {} rows, at most {}", n, limits_.max_rows);
  CHECK(batch.n_sequences <= limits_.max_sequences && batch.n_outputs() <= limits_.max_outputs,
        "{} sequences and {} outputs, at most {} and {}", batch.n_sequences, batch.n_outputs(),
        limits_.max_sequences, limits_.max_outputs);
  CHECK(batch.pages_per_sequence == limits_.pages_per_sequence, "page table of width {}, expected {}",
        batch.pages_per_sequence, limits_.pages_per_sequence);
  rows_scratch_.clear();
  for (const OutputRow& output : batch.outputs) rows_scratch_.push_back(output.row);
  for (const int32_t position : batch.positions) {
    CHECK(position >= 0 && position < model_.context, "position {} of a context of {}", position,
          model_.context);
  }
  StepInputs in;
  in.phase = batch.phase;
  in.n_rows = n;
  in.n_sequences = batch.n_sequences;
  in.n_outputs = batch.n_outputs();
  in.token_ids = place(token_ids_, batch.token_ids, {n});
  in.positions = place(positions_, batch.positions, {n});
  in.sequence_of_row = place(sequence_of_row_, batch.sequence_of_row, {n});
  in.slots = place(slots_, batch.slots, {n});
  in.page_table = place(page_table_, batch.page_table, {batch.n_sequences, batch.pages_per_sequence});
  in.output_rows = place(output_rows_, rows_scratch_, {batch.n_outputs()});
  in.rope = model_.rope;
  return in;
}

StepResults StepBuffers::results(int32_t n_outputs) const {
  return {{logits_.data(), DType::kF32, {n_outputs, model_.config.vocab}},
          {best_.data(), DType::kI32, {n_outputs}}};
}

void StepBuffers::download(const Batch& batch, StepOutput& output) {
  ops_.synchronize();
  const int64_t vocab = model_.config.vocab;
  const StepResults device = results(batch.n_outputs());
  output.best.resize(static_cast<size_t>(batch.n_outputs()));
  if (!output.best.empty())
    ops_.memory().copy_out(output.best.data(), device.best.data, output.best.size() * 4);
  const auto n_wanted = std::count_if(batch.outputs.begin(), batch.outputs.end(),
                                      [](const OutputRow& row) { return row.wants_logits; });
  output.logits.resize(static_cast<size_t>(n_wanted * vocab));
  int64_t next = 0;
  for (size_t i = 0; i < batch.outputs.size(); ++i) {
    if (!batch.outputs[i].wants_logits) continue;
    const TensorView row = device.logits.rows(static_cast<int64_t>(i), 1);
    ops_.memory().copy_out(output.logits.data() + next++ * vocab, row.data, static_cast<size_t>(vocab) * 4);
  }
}

EagerRunner::EagerRunner(Ops& ops, const LlamaModel& model, const KvStorage& kv, const RunnerLimits& limits)
    : ops_(ops),
      model_(model),
      kv_(kv),
      limits_(limits),
      workspace_(ops.memory(), llama_workspace_bytes(model.config, limits.max_rows, limits.max_outputs)),
      buffers_(ops, model, limits) {}

void EagerRunner::run(const Batch& batch, StepOutput& output) {
  const StepInputs in = buffers_.upload(batch);
  llama_forward(model_, in, kv_, ops_, workspace_, buffers_.results(in.n_outputs));
  buffers_.download(batch, output);
}

CapturedRunner::CapturedRunner(Ops& ops, const LlamaModel& model, const KvStorage& kv,
                               const RunnerLimits& limits)
    : EagerRunner(ops, model, kv, limits) {
  if (const std::string reason = ops.why_not_capturable(); !reason.empty()) {
    throw Error(ErrorCode::kUnsupported, "capture steps", fmt::format("{}: {}", ops.name(), reason),
                "run eagerly, which needs no capture");
  }
}

void CapturedRunner::run(const Batch& batch, StepOutput& output) {
  // A recorded step has fixed shapes: one row and one output per sequence.
  const bool fits = batch.phase == Phase::kDecode && batch.n_outputs() == batch.n_rows();
  if (!fits) return EagerRunner::run(batch, output);
  const StepInputs in = buffers_.upload(batch);
  std::unique_ptr<CapturedGraph>& graph = graphs_[in.n_rows];
  if (!graph) {
    graph = ops_.capture(
        [&] { llama_forward(model_, in, kv_, ops_, workspace_, buffers_.results(in.n_outputs)); });
  }
  graph->replay();
  ++n_replays_;
  buffers_.download(batch, output);
}

}  // namespace chaski
