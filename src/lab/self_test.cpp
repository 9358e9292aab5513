#include "lab/self_test.h"

#include <algorithm>

#include "base/clock.h"
#include "base/rng.h"
#include "engine/kv_cache.h"
#include "format/synthetic.h"
#include "ops/lockstep_ops.h"
#include "ops/scalar_ops.h"
#include "report/statistics.h"

namespace chaski {
namespace {

// More than a page of any cache, no multiple of a vector, and so many that attention works in several pieces:
// some kernels go wrong only where more than 512 tokens are looked back at.
constexpr int32_t kChunkTokens = 155, kPromptTokens = 4 * kChunkTokens;
constexpr int32_t kDecodeSteps = 6;
constexpr int64_t kContext = kPromptTokens + kDecodeSteps;

/// The deviations that a right device may have. "fast" rounds activations and the cache; activations of 16
/// bits are rounded by the reference too, which may then fall to the other side.
LockstepBounds bounds_of(Device& device) {
  switch (device.ops().activation_dtype()) {
    case DType::kF16:
      return {1e-4, 4e-3};
    case DType::kBF16:
      return {1e-3, 3e-2};
    default:
      return device.precision() == Precision::kExact ? LockstepBounds{} : LockstepBounds{1e-3, 3e-2};
  }
}

// Of the launch probe.
constexpr int kLaunches = 1000, kLaunchRounds = 5;
constexpr int64_t kLaunchWidth = 64;

/// Tokens [first, first + n) of one sequence whose pages are 0, 1, …
Batch batch_of(const std::vector<int32_t>& tokens, int32_t first, int32_t n, int32_t n_pages) {
  Batch batch;
  batch.phase = n > 1 ? Phase::kPrefill : Phase::kDecode;
  for (int32_t i = first; i < first + n; ++i) {
    batch.token_ids.push_back(tokens[static_cast<size_t>(i)]);
    batch.positions.push_back(i);
    batch.sequence_of_row.push_back(0);
    batch.slots.push_back(i);
  }
  for (int32_t page = 0; page < n_pages; ++page) batch.page_table.push_back(page);
  batch.n_sequences = 1;
  batch.pages_per_sequence = n_pages;
  OutputRow last;
  last.row = n - 1;
  batch.outputs.push_back(last);
  return batch;
}

/// Ops that were compared. Throws Error(kDevice) naming the first that is wrong.
int64_t run_in_lockstep(Device& device, LockstepOps& ops, const Checkpoint& checkpoint) {
  const LlamaModel model = load_llama(checkpoint, ops, kContext);
  device.finish_weights();
  const KvLayout layout = device.kv_layout(model.config);
  const auto n_pages = static_cast<int32_t>(pages_for(kContext, layout.page_tokens));
  const KvStorage kv(ops.memory(), layout, model.config.n_layers, n_pages);
  RunnerLimits limits;
  limits.max_rows = kChunkTokens;
  limits.max_sequences = limits.max_outputs = 1;
  limits.pages_per_sequence = n_pages;
  EagerRunner runner(ops, model, kv, limits);
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < kPromptTokens + kDecodeSteps; ++i) {
    tokens.push_back(static_cast<int32_t>((int64_t{i} * 7919 + 13) % model.config.vocab));
  }
  StepOutput output;
  for (int32_t first = 0; first < kPromptTokens; first += kChunkTokens) {
    runner.run(batch_of(tokens, first, kChunkTokens, n_pages), output);
  }
  for (int32_t i = 0; i < kDecodeSteps; ++i) {
    runner.run(batch_of(tokens, kPromptTokens + i, 1, n_pages), output);
  }
  return ops.n_compared();
}

}  // namespace

void check_device(Device& device, const std::string& name, Findings& found) {
  const std::string id = "selftest." + name;
  try {
    const std::shared_ptr<const Checkpoint> checkpoint = open_synthetic("tiny@q8_0");
    device.begin_weights(checkpoint);
    ScalarOps reference;
    LockstepOps ops(device.ops(), reference, bounds_of(device));
    const int64_t n = run_in_lockstep(device, ops, *checkpoint);
    found
        .ok(id,
            words("{}: {} ops agree with their scalar definition", "{}：{} 次算子结果与标量定义一致",
                  shown(name), n),
            words("the largest deviation, of {}, is {:.0f} % of what is allowed",
                  "最大偏差出现在 {}，为允许值的 {:.0f} %", shown(ops.worst_op()), 100 * ops.worst_ratio()))
        .facts = {{"ops", n}, {"worst_op", ops.worst_op()}, {"worst_ratio", ops.worst_ratio()}};
  } catch (const Error& error) {
    found.fail(id, error.code(), words("{}: {}", "{}：{}", shown(name), shown(error.what(), 300)),
               words("what this device computes cannot be trusted", "该设备的计算结果不可信"),
               device.info().device_kind == "cpu"
                   ? words("choose another path with --isa, and report this line with your processor's name",
                           "用 --isa 选用其他代码路径，并把本行与处理器型号一并反馈")
                   : words("use --device cpu, and report this line with the page of chaski doctor",
                           "改用 --device cpu，并把本行与 chaski doctor 的完整输出一并反馈"));
  }
}

void check_launches(Device& device, const std::string& name, Findings& found) {
  const std::string id = "selftest.launch";
  Ops& ops = device.ops();
  const DType dtype = ops.activation_dtype();
  const Shape shape{1, kLaunchWidth};
  const auto bytes = static_cast<size_t>(row_bytes(dtype, kLaunchWidth));
  const Buffer x = ops.memory().allocate(bytes, "launch probe"),
               y = ops.memory().allocate(bytes, "launch probe"),
               sum = ops.memory().allocate(bytes, "launch probe");
  const auto view = [&](const Buffer& buffer) { return TensorView{buffer.data(), dtype, shape}; };
  std::vector<double> each_us;
  for (int round = 0; round <= kLaunchRounds; ++round) {
    const Stopwatch watch;
    for (int i = 0; i < kLaunches; ++i) ops.add(view(x), view(y), view(sum));
    ops.synchronize();
    if (round > 0) each_us.push_back(1e6 * watch.seconds() / kLaunches);  // the first warms up
  }
  const Metric us = summarize(std::move(each_us));
  found
      .ok(id,
          words("{}: {:.1f} µs from one small operator to the next", "{}：连续下发小算子，每个 {:.1f} µs",
                shown(name), us.median),
          words("{} additions of {} numbers, {} times; the fastest {:.1f}, the slowest {:.1f} µs",
                "{} 次、每次 {} 个数相加，共 {} 轮；最快 {:.1f} µs，最慢 {:.1f} µs", kLaunches, kLaunchWidth,
                kLaunchRounds, us.range.low, us.range.high))
      .facts = {{"launch_us", us.median}, {"low_us", us.range.low}, {"high_us", us.range.high}};
}

}  // namespace chaski
