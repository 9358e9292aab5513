// Calls of aclnn operators. What the first phase planned is kept under the call's signature (the operator,
// every tensor's type, shape, strides and address, every other argument) and launched again where it recurs.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

#include "backend/ascend/acl_handles.h"
#include "backend/ascend/ascend_memory.h"
#include "backend/ascend/signature.h"

namespace chaski {

namespace detail {
// What a caller passes for each type of the operators' C parameters.
template <typename Parameter>
struct Described {
  using type = Parameter;
};
template <>
struct Described<const aclTensor*> {
  using type = TensorArg;
};
template <>
struct Described<aclTensor*> {
  using type = TensorArg;
};
template <>
struct Described<const aclTensorList*> {
  using type = TensorListArg;
};
template <>
struct Described<const aclIntArray*> {
  using type = IntsArg;
};
template <>
struct Described<const aclScalar*> {
  using type = ScalarArg;
};
template <>
struct Described<char*> {
  using type = const char*;
};
template <typename Signature>
struct Caller;
}  // namespace detail

class ExecutorCache {
 public:
  static constexpr size_t kMostKept = 2048;

  explicit ExecutorCache(AscendMemory& memory, size_t most_kept = kMostKept);
  ~ExecutorCache();  ///< waits until nothing that was launched is running
  ExecutorCache(const ExecutorCache&) = delete;
  ExecutorCache& operator=(const ExecutorCache&) = delete;

  /// Launch an operator with the arguments of its line in aclnn_ops.def: a TensorArg or TensorView (nullptr:
  /// none) for a tensor or a list of one, IntsArg, ScalarArg, a literal for text, numbers as they are. Throws
  /// AclError where the first phase declines (is_refusal); what fails later is thrown by the queue's next
  /// wait.
  template <AclnnOp op, typename... Given>
  void call(const Given&... given) {
    detail::Caller<typename acl::OpTraits<op>::Signature>::template call<op>(*this, given...);
  }

  /// Make the workspace at least as large. Not while capturing.
  void reserve_workspace(size_t bytes);
  /// The workspace that launches use now. Whoever keeps a captured step keeps this: the step uses it too.
  const std::shared_ptr<Buffer>& workspace() const { return workspace_; }
  /// Between true and false nothing may wait: a call that needs a larger workspace throws.
  void set_capturing(bool is_capturing) { is_capturing_ = is_capturing; }

  size_t n_kept() const { return kept_.size(); }
  /// Let go of every kept executor.
  void clear();

 private:
  template <typename Signature>
  friend struct detail::Caller;

  /// A planned call: its executor and the handles that it was planned with.
  struct Execution;
  using RunFunction = acl::Status (*)(void*, uint64_t, aclOpExecutor*, acl::Stream);
  using Plan = std::function<acl::Status(AclHandles&, uint64_t* workspace, aclOpExecutor** executor)>;
  using Kept = std::list<std::shared_ptr<Execution>>;

  /// Launch what is kept under signature_; false where nothing is.
  bool launch_kept();
  void plan_and_launch(AclnnOp op, RunFunction run, const Plan& plan);
  void launch(const std::shared_ptr<Execution>& execution);
  void keep(std::shared_ptr<Execution> execution);

  AscendMemory* memory_;
  std::shared_ptr<LaunchQueue> queue_;
  size_t most_kept_;
  CallSignature signature_;  ///< of the call in hand
  Kept kept_;                ///< the one launched last first
  std::unordered_map<const CallSignature*, Kept::iterator, CallSignature::Hash, CallSignature::Same> found_;
  std::shared_ptr<Buffer> workspace_;
  bool is_capturing_ = false;
};

namespace detail {
template <typename... Parameters>
struct Caller<acl::Status(Parameters...)> {
  template <AclnnOp op>
  static void call(ExecutorCache& cache, const typename Described<Parameters>::type&... args) {
    cache.signature_.begin(op);
    (cache.signature_.add(args), ...);
    if (cache.launch_kept()) return;
    const auto& functions = cache.queue_->context().api().ops.*acl::OpTraits<op>::member;
    cache.plan_and_launch(op, functions.run,
                          [&](AclHandles& handles, uint64_t* workspace, aclOpExecutor** executor) {
                            return functions.get_workspace_size(handles.make(args)..., workspace, executor);
                          });
  }
};
}  // namespace detail

}  // namespace chaski
