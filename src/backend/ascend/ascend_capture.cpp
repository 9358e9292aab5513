// A decode step recorded as the device saw it, and replayed for other tokens: the same operators on the same
// addresses, with positions, slots and pages read from the device.
#include <utility>

#include "backend/ascend/ascend_ops.h"

namespace chaski {

class AscendGraph : public CapturedGraph {
 public:
  AscendGraph(AscendOps& ops, acl::GraphHandle graph)
      : ops_(ops),
        queue_(ops.memory_.shared_queue()),
        graph_(graph),
        workspace_(ops.executors_.workspace()),
        moved_(ops.moved_) {}
  ~AscendGraph() override {
    queue_->quiesce();
    queue_->context().try_make_current();
    queue_->context().api().call.aclmdlRIDestroy(graph_);
  }
  AscendGraph(const AscendGraph&) = delete;
  AscendGraph& operator=(const AscendGraph&) = delete;

  void replay() override {
    AscendContext& context = queue_->context();
    ++context.counters().graph_replays;
    queue_->submit([&context, graph = graph_] {
      context.check(context.api().call.aclmdlRIExecuteAsync(graph, context.stream()), "aclmdlRIExecuteAsync",
                    "a captured step");
    });
    ops_.pending_.reset();
    ops_.moved_ = moved_;
    ops_.has_rotation_ = ops_.has_attention_ = false;
  }

 private:
  AscendOps& ops_;
  std::shared_ptr<LaunchQueue> queue_;
  acl::GraphHandle graph_;
  std::shared_ptr<Buffer> workspace_;    ///< which the step uses
  std::vector<AscendOps::Moved> moved_;  ///< where views are after it
};

std::string AscendOps::why_not_capturable() const {
  if (!options_.captures) return "steps run eagerly because that was asked for";
  const AclApi& api = context_.api();
  if (api.can_capture()) return {};
  return fmt::format("{} has no aclmdlRICapture*, which CANN 8.1 brought: operators are launched one by one",
                     api.version());
}

std::unique_ptr<CapturedGraph> AscendOps::capture(const std::function<void()>& step) {
  const AclApi& api = context_.api();
  CHECK(why_not_capturable().empty(), "{}", why_not_capturable());
  // Once as it is: plans are made and buffers grow now, which must not happen while it is recorded.
  step();
  synchronize();
  context_.make_current();
  context_.check(api.call.aclmdlRICaptureBegin(context_.stream(), acl::CaptureMode::kGlobal),
                 "aclmdlRICaptureBegin");
  const auto set_capturing = [&](bool is_on) {
    is_capturing_ = is_on;
    executors_.set_capturing(is_on);
    scratch_.set_capturing(is_on);
  };
  set_capturing(true);
  std::exception_ptr fault;
  try {
    step();
    memory_.queue().wait_drained();
  } catch (...) {
    fault = std::current_exception();
  }
  set_capturing(false);
  acl::GraphHandle graph = nullptr;
  const acl::Status ended = api.call.aclmdlRICaptureEnd(context_.stream(), &graph);
  if (fault) {
    if (ended == 0) api.call.aclmdlRIDestroy(graph);
    std::rethrow_exception(fault);
  }
  context_.check(ended, "aclmdlRICaptureEnd");
  return std::make_unique<AscendGraph>(*this, graph);
}

}  // namespace chaski
