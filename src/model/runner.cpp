#include "model/runner.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"

namespace chaski {

namespace {

/// Views of one buffer, one behind the other from 64-byte boundaries.
class Carver {
 public:
  explicit Carver(void* base) : base_(static_cast<std::byte*>(base)) {}
  TensorView take(DType dtype, const Shape& shape) {
    const TensorView view{base_ + used_, dtype, shape};
    used_ += (static_cast<size_t>(view.bytes()) + 63) / 64 * 64;
    return view;
  }
  size_t used() const { return used_; }

 private:
  std::byte* base_;
  size_t used_ = 0;
};

}  // namespace

StepBuffers::StepBuffers(Ops& ops, const LlamaModel& model, const RunnerLimits& limits)
    : ops_(ops), model_(model), limits_(limits) {
  const int64_t page_entries = int64_t{limits.max_sequences} * limits.pages_per_sequence;
  const int64_t n_ints = 4 * int64_t{limits.max_rows} + page_entries + limits.max_outputs;
  const auto bytes = static_cast<size_t>(n_ints) * 4 + 6 * 64;
  const auto logit_bytes = static_cast<size_t>(row_bytes(ops.activation_dtype(), model.config.vocab));
  ints_ = ops.memory().allocate(bytes, "a step's inputs");
  logits_ = ops.memory().allocate(static_cast<size_t>(limits.max_outputs) * logit_bytes, "logits");
  best_ = ops.memory().allocate(static_cast<size_t>(limits.max_outputs) * 8 + 2 * 64, "best tokens");
  packed_.reserve(bytes);
  sequences_.reserve(static_cast<size_t>(limits.max_sequences));
}

void StepBuffers::check(const Batch& batch) const {
  const int32_t n = batch.n_rows();
  CHECK(n > 0 && n <= limits_.max_rows, "a step of {} rows, at most {}", n, limits_.max_rows);
  CHECK(batch.n_sequences <= limits_.max_sequences && batch.n_outputs() <= limits_.max_outputs,
        "{} sequences and {} outputs, at most {} and {}", batch.n_sequences, batch.n_outputs(),
        limits_.max_sequences, limits_.max_outputs);
  CHECK(batch.pages_per_sequence == limits_.pages_per_sequence, "page table of width {}, expected {}",
        batch.pages_per_sequence, limits_.pages_per_sequence);
  const auto rows = static_cast<size_t>(n);
  CHECK(batch.positions.size() == rows && batch.sequence_of_row.size() == rows &&
            batch.slots.size() == rows &&
            batch.page_table.size() == static_cast<size_t>(batch.n_sequences * batch.pages_per_sequence),
        "a step of {} rows with {} positions, {} sequences, {} slots, {} pages", n, batch.positions.size(),
        batch.sequence_of_row.size(), batch.slots.size(), batch.page_table.size());
  for (const int32_t position : batch.positions) {
    CHECK(position >= 0 && position < model_.context, "position {} of a context of {}", position,
          model_.context);
  }
}

void StepBuffers::describe_sequences(const Batch& batch) {
  sequences_.clear();
  for (int32_t r = 0; r < batch.n_rows(); ++r) {
    const auto row = static_cast<size_t>(r);
    if (r == 0 || batch.sequence_of_row[row] != batch.sequence_of_row[row - 1])
      sequences_.push_back({r, 0, 0});
    ++sequences_.back().n_rows;
    sequences_.back().n_context = batch.positions[row] + 1;
  }
}

StepInputs StepBuffers::upload(const Batch& batch) {
  check(batch);
  describe_sequences(batch);
  const int32_t n = batch.n_rows();
  packed_.resize(ints_.bytes());
  Carver carver(ints_.data());
  const auto place = [&](const auto& values, const Shape& shape, const auto& number_of) {
    const size_t at = carver.used();
    auto* to = reinterpret_cast<int32_t*>(packed_.data() + at);
    for (const auto& value : values) *to++ = number_of(value);
    return carver.take(DType::kI32, shape);
  };
  const auto itself = [](int32_t value) { return value; };
  StepInputs in;
  in.phase = batch.phase;
  in.n_rows = n;
  in.n_sequences = batch.n_sequences;
  in.n_outputs = batch.n_outputs();
  in.token_ids = place(batch.token_ids, {n}, itself);
  in.positions = place(batch.positions, {n}, itself);
  in.sequence_of_row = place(batch.sequence_of_row, {n}, itself);
  in.slots = place(batch.slots, {n}, itself);
  in.output_rows =
      place(batch.outputs, {batch.n_outputs()}, [](const OutputRow& output) { return output.row; });
  in.page_table = place(batch.page_table, {batch.n_sequences, batch.pages_per_sequence}, itself);
  ops_.memory().copy_in(ints_.data(), packed_.data(), carver.used());
  in.rope = model_.rope;
  in.sequences = &sequences_;
  int64_t longest = 0;
  for (const SequenceSpan& sequence : sequences_) longest = std::max(longest, sequence.n_context);
  in.context_bucket = ops_.context_bucket(longest);
  return in;
}

StepResults StepBuffers::results(int32_t n_outputs) const {
  Carver carver(best_.data());
  StepResults to;
  to.logits = {logits_.data(), ops_.activation_dtype(), {n_outputs, model_.config.vocab}};
  to.best = carver.take(DType::kI32, {n_outputs});
  to.largest = carver.take(ops_.activation_dtype(), {n_outputs});
  return to;
}

void StepBuffers::download(const Batch& batch, StepOutput& output) {
  const int32_t n = batch.n_outputs();
  output.best.resize(static_cast<size_t>(n));
  if (n == 0) {
    output.logits.clear();
    return ops_.synchronize();
  }
  const StepResults device = results(n);
  const auto* first = static_cast<const std::byte*>(device.best.data);
  const auto* largest = static_cast<const std::byte*>(device.largest.data);
  const auto bytes = static_cast<size_t>(largest - first + device.largest.bytes());
  packed_.resize(bytes);
  ops_.memory().copy_out(packed_.data(), device.best.data, bytes);
  std::vector<float>& values = largest_;
  values.resize(output.best.size());
  format_of(device.largest.dtype).dequantize_row(packed_.data() + (largest - first), values.data(), n);
  for (size_t i = 0; i < output.best.size(); ++i) {
    int32_t index = 0;
    std::memcpy(&index, packed_.data() + i * 4, 4);
    output.best[i] = std::isfinite(values[i]) ? index : -1;
  }
  fetch_logits(batch, output);
}

/// Wanted rows that lie together come in one copy.
void StepBuffers::fetch_logits(const Batch& batch, StepOutput& output) {
  const auto n_wanted = std::count_if(batch.outputs.begin(), batch.outputs.end(),
                                      [](const OutputRow& row) { return row.wants_logits; });
  const TensorView logits = results(batch.n_outputs()).logits;
  const int64_t vocab = logits.n_cols();
  output.logits.resize(static_cast<size_t>(n_wanted * vocab));
  float* to = output.logits.data();
  const auto n = static_cast<int64_t>(batch.outputs.size());
  for (int64_t i = 0; i < n;) {
    int64_t end = i;
    while (end < n && batch.outputs[static_cast<size_t>(end)].wants_logits) ++end;
    if (end == i) {
      ++i;
      continue;
    }
    const TensorView rows = logits.rows(i, end - i);
    const int64_t n_values = rows.shape.n_elements();
    if (rows.dtype == DType::kF32) {
      ops_.memory().copy_out(to, rows.data, static_cast<size_t>(rows.bytes()));
    } else {
      packed_.resize(static_cast<size_t>(rows.bytes()));
      ops_.memory().copy_out(packed_.data(), rows.data, packed_.size());
      format_of(rows.dtype).dequantize_row(packed_.data(), to, n_values);
    }
    to += n_values;
    i = end;
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
  std::unique_ptr<CapturedGraph>& graph = graphs_[{in.n_rows, in.context_bucket}];
  if (!graph) {
    graph = ops_.capture(
        [&] { llama_forward(model_, in, kv_, ops_, workspace_, buffers_.results(in.n_outputs)); });
  }
  graph->replay();
  ++n_replays_;
  buffers_.download(batch, output);
}

}  // namespace chaski
