// See executors.h.
#include "executors.h"

#include <algorithm>
#include <cstring>

namespace ascend_emulator {

namespace {

constexpr uint64_t kPoisonedEdge = 64 << 10;
constexpr size_t kMaxBuried = 4096;
thread_local uint64_t t_last_first_phase = 0;  ///< serial of the executor, 0 once the thread has gone on

/// Executors that are used up, kept for a while so that a new one is not soon the same handle.
void bury(aclOpExecutor* executor) {
  static auto& buried = *new std::deque<std::unique_ptr<aclOpExecutor>>;
  runtime().dismiss(executor);
  executor->plan.reset();
  buried.emplace_back(executor);
  if (buried.size() > kMaxBuried) buried.pop_front();
}

uint64_t require_live(const aclOpExecutor* executor) {
  if (executor == nullptr) throw OpError(kNnNullParam, "the executor is null");
  const uint64_t serial = runtime().serial_of(executor, HandleKind::kExecutor);
  if (serial == 0) misuse(kNnExecutor, "the executor was used before, or destroyed, and is not repeatable");
  return serial;
}

bool is_hidden(const Runtime& r, const std::string& name) {
  return std::find(r.hidden.begin(), r.hidden.end(), name) != r.hidden.end();
}

void refuse_dtypes(const Runtime& r, const std::string& name, const Plan& plan) {
  for (const auto* views : {&plan.inputs, &plan.outputs}) {
    for (const View& view : *views) {
      const std::string item = name + ":" + dtype_name(view.dtype);
      if (std::find(r.refused.begin(), r.refused.end(), item) != r.refused.end())
        throw OpError(kNnInvalidParam, text("dtype ", dtype_name(view.dtype), " is not supported"));
    }
  }
}

/// The bytes from the view's first element to its last. Throws 161002, 361001.
Range range_of(const Runtime& r, const View& view, int device, const std::string& what) {
  const uint64_t bits = static_cast<uint64_t>(dtype_bits(view.dtype));
  if (reinterpret_cast<uintptr_t>(view.storage) % 32 != 0)
    misuse(kNnInvalidParam, what, ": data at ", view.storage, " is not 32-byte aligned");
  uint64_t last = 0;
  for (size_t i = 0; i < view.dims.size(); ++i)
    last += static_cast<uint64_t>((view.dims[i] - 1) * view.strides[i]);
  auto* first = static_cast<std::byte*>(view.storage) + static_cast<uint64_t>(view.offset) * bits / 8;
  try {
    return r.memory.range(first, ((last + 1) * bits + 7) / 8, device, what);
  } catch (const OpError& error) {
    misuse(kNnRuntime, error.message, "; ", view.describe());
  }
}

std::vector<Range> ranges_of(const Runtime& r, const std::vector<View>& views, int device,
                             const std::string& what) {
  std::vector<Range> ranges;
  for (size_t i = 0; i < views.size(); ++i) {
    if (views[i].numel() > 0) ranges.push_back(range_of(r, views[i], device, text(what, " ", i)));
  }
  return ranges;
}

/// The workspace as a range that no operand shares. Throws 161002.
Range workspace_of(const Runtime& r, void* data, uint64_t bytes, const Plan& plan, const Task& task,
                   int device) {
  if (bytes < plan.workspace || data == nullptr)
    misuse(kNnInvalidParam, "a workspace of ", data == nullptr ? 0 : bytes, " bytes, ", plan.workspace,
           " were asked for");
  if (reinterpret_cast<uintptr_t>(data) % 64 != 0)
    misuse(kNnInvalidParam, "the workspace is not 64-byte aligned");
  const Range workspace = r.memory.range(data, plan.workspace, device, "workspace");
  for (const auto* ranges : {&task.reads, &task.writes}) {
    for (const Range& range : *ranges) {
      if (range.data < workspace.data + workspace.bytes && workspace.data < range.data + range.bytes)
        misuse(kNnInvalidParam, "the workspace overlaps an operand");
    }
  }
  return workspace;
}

/// Its edges, so that a tensor kept in it is seen; the whole of it would take longer than the arithmetic.
void poison(const Runtime& r, const Range& workspace) {
  std::byte* data = r.memory.host(workspace.data);
  const uint64_t edge = std::min(workspace.bytes, kPoisonedEdge);
  std::memset(data, 0xFF, edge);
  std::memset(data + workspace.bytes - edge, 0xFF, edge);
}

void launch(Runtime& r, const char* name, void* workspace, uint64_t bytes, const aclOpExecutor& executor,
            Stream stream) {
  r.faults.hit(text("aclnn", name));
  r.faults.hit("launch");
  if (executor.name != name) misuse(kNnExecutor, "the executor is of ", executor.name);
  for (const Kept& kept : executor.tensors) {
    if (r.serial_of(kept.handle, HandleKind::kTensor) != kept.serial)
      misuse(kNnInnerNull, "a tensor of the first phase was destroyed before the second");
  }
  const auto on = r.stream_of(stream);
  const int device = on->context->device;
  const std::shared_ptr<const Plan> plan = executor.plan;
  Task task;
  task.name = name;
  task.is_launch = true;
  task.reads = ranges_of(r, plan->inputs, device, "input");
  task.writes = ranges_of(r, plan->outputs, device, "output");
  if (plan->workspace > 0) {
    const Range scratch = workspace_of(r, workspace, bytes, *plan, task, device);
    task.writes.push_back(scratch);
    task.run = [plan, scratch] {
      poison(runtime(), scratch);
      plan->run();
    };
  } else {
    task.run = [plan] { plan->run(); };
  }
  r.submit(*on, std::move(task));
  ++r.counters.launches[name];
  r.counters.hidden_copies += static_cast<uint64_t>(plan->hidden_copies);
  r.counters.ai_cpu_launches += plan->is_ai_cpu ? 1 : 0;
  r.counters.executors_reused += executor.runs > 1 ? 1 : 0;
}

}  // namespace

Status first_phase(const char* name, const std::function<Plan()>& make,
                   const std::vector<const aclTensor*>& tensors,
                   const std::vector<const aclTensorList*>& lists, uint64_t* workspace,
                   aclOpExecutor** executor) noexcept {
  const std::string function = text("aclnn", name, "GetWorkspaceSize");
  return entry(function.c_str(), [&](Runtime& r) {
    if (workspace == nullptr || executor == nullptr) throw OpError(kNnNullParam, "nowhere to put the result");
    r.current();
    if (is_hidden(r, name)) throw OpError(kNnNoKernel, "no kernel of this operator is installed");
    auto made = std::make_unique<aclOpExecutor>();
    made->name = name;
    auto plan = std::make_shared<Plan>(make());
    refuse_dtypes(r, name, *plan);
    const auto keep = [&](const aclTensor* tensor) {
      if (tensor != nullptr) made->tensors.push_back({tensor, r.serial_of(tensor, HandleKind::kTensor)});
    };
    for (const aclTensor* tensor : tensors) keep(tensor);
    for (const aclTensorList* list : lists) {
      if (list != nullptr) std::for_each(list->tensors.begin(), list->tensors.end(), keep);
    }
    *workspace = plan->workspace;
    made->plan = std::move(plan);
    *executor = made.release();
    t_last_first_phase = r.enroll(*executor, HandleKind::kExecutor);
    ++r.counters.phase_one[name];
  });
}

Status second_phase(const char* name, void* workspace, uint64_t bytes, aclOpExecutor* executor,
                    Stream stream) noexcept {
  const std::string function = text("aclnn", name);
  return guarded(function.c_str(), [&](Runtime& r) {
    r.require_initialised();
    require_live(executor);
    t_last_first_phase = 0;
    ++executor->runs;
    try {
      launch(r, name, workspace, bytes, *executor, stream);
    } catch (const OpError&) {
      if (!executor->is_repeatable) bury(executor);
      throw;
    }
    if (!executor->is_repeatable) bury(executor);
  });
}

extern "C" {

Status aclSetAclOpExecutorRepeatable(aclOpExecutor* executor) {
  return entry("aclSetAclOpExecutorRepeatable", [&](Runtime&) {
    if (require_live(executor) != t_last_first_phase)
      misuse(kNnExecutor, "not called right after the executor's first phase, on the same thread");
    if (executor->plan->refuses_repeatable)
      throw OpError(kNnExecutor, executor->name + " cannot be made repeatable");
    executor->is_repeatable = true;
  });
}

Status aclDestroyAclOpExecutor(aclOpExecutor* executor) {
  return guarded("aclDestroyAclOpExecutor", [&](Runtime&) {
    require_live(executor);
    bury(executor);
  });
}

}  // extern "C"

}  // namespace ascend_emulator
