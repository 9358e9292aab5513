#include "lab/self_test.h"

#include <algorithm>

#include "base/rng.h"
#include "engine/kv_cache.h"
#include "format/synthetic.h"
#include "ops/lockstep_ops.h"
#include "ops/scalar_ops.h"

namespace chaski {
namespace {

constexpr int64_t kContext = 96;
constexpr int32_t kPromptTokens = 70;  // more than a page of any cache, and no multiple of a vector
constexpr int32_t kDecodeSteps = 6;

/// The deviations that a right device may have. "fast" rounds activations and the cache.
LockstepBounds bounds_of(Precision precision) {
  return precision == Precision::kExact ? LockstepBounds{} : LockstepBounds{1e-3, 3e-2};
}

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
  const KvLayout layout = device.kv_layout(model.config);
  const auto n_pages = static_cast<int32_t>(pages_for(kContext, layout.page_tokens));
  const KvStorage kv(ops.memory(), layout, model.config.n_layers, n_pages);
  RunnerLimits limits;
  limits.max_rows = kPromptTokens;
  limits.max_sequences = limits.max_outputs = 1;
  limits.pages_per_sequence = n_pages;
  EagerRunner runner(ops, model, kv, limits);
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < kPromptTokens + kDecodeSteps; ++i) {
    tokens.push_back(static_cast<int32_t>((int64_t{i} * 7919 + 13) % model.config.vocab));
  }
  StepOutput output;
  runner.run(batch_of(tokens, 0, kPromptTokens, n_pages), output);
  for (int32_t i = 0; i < kDecodeSteps; ++i) {
    runner.run(batch_of(tokens, kPromptTokens + i, 1, n_pages), output);
  }
  return ops.n_compared();
}

}  // namespace

void check_device(Device& device, const std::string& name, Findings& found) {
  const std::string id = "selftest." + name;
  ScalarOps reference;
  const LockstepBounds bounds = bounds_of(device.precision());
  LockstepOps ops(device.ops(), reference, bounds);
  try {
    const int64_t n = run_in_lockstep(device, ops, *open_synthetic("tiny@q8_0"));
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
               words("choose another path with --isa, and report this line with your processor's name",
                     "用 --isa 选用其他代码路径，并把本行与处理器型号一并反馈"));
  }
}

}  // namespace chaski
