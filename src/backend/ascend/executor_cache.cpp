#include "backend/ascend/executor_cache.h"

#include <fmt/format.h>

#include <utility>

#include "backend/ascend/op_rules.h"

namespace chaski {

struct ExecutorCache::Execution {
  explicit Execution(std::shared_ptr<AscendContext> of) : context(std::move(of)), handles(*context) {}
  ~Execution() {
    // One that is not repeatable went with its run.
    if (executor != nullptr && (is_repeatable || !was_run))
      context->api().call.aclDestroyAclOpExecutor(executor);
  }
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;

  std::shared_ptr<AscendContext> context;
  AclHandles handles;  // outlive the executor
  CallSignature signature;
  RunFunction run = nullptr;
  aclOpExecutor* executor = nullptr;
  uint64_t workspace = 0;
  bool is_repeatable = false;
  bool was_run = false;  ///< on the thread that launches
  HiddenWork hidden;
};

ExecutorCache::ExecutorCache(AscendMemory& memory, size_t most_kept)
    : memory_(&memory), queue_(memory.shared_queue()), most_kept_(most_kept) {}

ExecutorCache::~ExecutorCache() {
  queue_->quiesce();
  clear();
}

void ExecutorCache::clear() {
  found_.clear();
  kept_.clear();
}

void ExecutorCache::reserve_workspace(size_t bytes) {
  if (workspace_ != nullptr && workspace_->bytes() >= bytes) return;
  CHECK(!is_capturing_, "a workspace of {} bytes is needed while a step is captured, {} are there", bytes,
        workspace_ == nullptr ? 0 : workspace_->bytes());
  workspace_.reset();  // first, so that both need not fit; it waits for what uses it
  workspace_ = std::make_shared<Buffer>(memory_->allocate(bytes, "workspace of operators"));
}

bool ExecutorCache::launch_kept() {
  const auto found = found_.find(&signature_);
  if (found == found_.end()) return false;
  kept_.splice(kept_.begin(), kept_, found->second);
  ++queue_->context().counters().executor_hits;
  launch(kept_.front());
  return true;
}

void ExecutorCache::plan_and_launch(AclnnOp op, RunFunction run, const Plan& plan) {
  AscendContext& context = queue_->context();
  if (run == nullptr) {
    throw AclError(acl::kUnsupportedFeature, name_of(op), context.api().version() + " lacks it",
                   "install a newer CANN");
  }
  const auto execution = std::make_shared<Execution>(queue_->shared_context());
  context.make_current();
  ++context.counters().plans;
  const acl::Status status = plan(execution->handles, &execution->workspace, &execution->executor);
  if (status != 0) {
    execution->executor = nullptr;
    context.fail(status, fmt::format("{}GetWorkspaceSize", name_of(op)), signature_.to_string());
  }
  execution->run = run;
  execution->signature = signature_;
  execution->hidden = hidden_work(op, signature_.tensors());
  const acl::Functions& call = context.api().call;
  execution->is_repeatable = call.aclSetAclOpExecutorRepeatable(execution->executor) == 0;
  if (execution->is_repeatable) {
    keep(execution);
  } else {
    call.aclGetRecentErrMsg();  // no error: forgotten, so that none of a later call is taken for it
  }
  launch(execution);
}

void ExecutorCache::launch(const std::shared_ptr<Execution>& execution) {
  if (execution->workspace > 0) reserve_workspace(execution->workspace);
  AscendCounters& counters = queue_->context().counters();
  ++counters.launches;
  ++counters.launches_of[static_cast<size_t>(execution->signature.op())];
  counters.hidden_copies += execution->hidden.copies;
  counters.ai_cpu_launches += execution->hidden.is_ai_cpu ? 1 : 0;
  void* workspace = execution->workspace > 0 ? workspace_->data() : nullptr;
  queue_->submit([execution, workspace] {
    AscendContext& context = *execution->context;
    execution->was_run = true;
    const acl::Status status =
        execution->run(workspace, execution->workspace, execution->executor, context.stream());
    if (status != 0)
      context.fail(status, name_of(execution->signature.op()), execution->signature.to_string());
  });
}

void ExecutorCache::keep(std::shared_ptr<Execution> execution) {
  kept_.push_front(std::move(execution));
  found_.emplace(&kept_.front()->signature, kept_.begin());
  if (kept_.size() <= most_kept_) return;
  found_.erase(&kept_.back()->signature);
  kept_.pop_back();  // goes when the last launch of it is on the stream
}

}  // namespace chaski
