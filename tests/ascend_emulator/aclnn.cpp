// The exported pair of functions of every operator in the table, made from the signature of its plan.
#include <type_traits>

#include "executors.h"

namespace ascend_emulator {

namespace {

/// Keeps the argument where it is a tensor or a list of them.
template <class Argument>
void sort_out(Argument argument, std::vector<const aclTensor*>& tensors,
              std::vector<const aclTensorList*>& lists) {
  if constexpr (std::is_convertible_v<Argument, const aclTensor*>) {
    tensors.push_back(argument);
  } else if constexpr (std::is_convertible_v<Argument, const aclTensorList*>) {
    lists.push_back(argument);
  }
}

template <const char* const& kName, auto kPlan>
struct FirstPhase;
template <const char* const& kName, class... Arguments, Plan (*kPlan)(Arguments...)>
struct FirstPhase<kName, kPlan> {
  static Status call(Arguments... arguments, uint64_t* workspace, aclOpExecutor** executor) {
    std::vector<const aclTensor*> tensors;
    std::vector<const aclTensorList*> lists;
    (sort_out(arguments, tensors, lists), ...);
    return first_phase(
        kName, [&] { return kPlan(arguments...); }, tensors, lists, workspace, executor);
  }
};

}  // namespace

// The table's parameters cannot be forwarded by a macro, which does not see their names: so the first phase's
// symbol is resolved, when the library is loaded, to the template's function.
#define UNWRAPPED(...) __VA_ARGS__
#define EMULATE_kRequired(name, parameters)                                                                  \
  namespace {                                                                                                \
  constexpr const char* kNameOf##name = #name;                                                               \
  using FirstPhaseOf##name = FirstPhase<kNameOf##name, &op::name::plan>;                                     \
  }                                                                                                          \
  extern "C" {                                                                                               \
  [[maybe_unused]] static decltype(&FirstPhaseOf##name::call) resolve_##name() {                             \
    return &FirstPhaseOf##name::call;                                                                        \
  }                                                                                                          \
  EMULATOR_API Status aclnn##name##GetWorkspaceSize(UNWRAPPED parameters, uint64_t*, aclOpExecutor**)        \
      __attribute__((ifunc("resolve_" #name)));                                                              \
  EMULATOR_API Status aclnn##name(void* workspace, uint64_t bytes, aclOpExecutor* executor, Stream stream) { \
    return second_phase(kNameOf##name, workspace, bytes, executor, stream);                                  \
  }                                                                                                          \
  }
#define EMULATE_kOptional(name, parameters) EMULATE_kRequired(name, parameters)
#define ACLNN_OP(since, need, name, parameters) EMULATE_##need(name, parameters)
#include "backend/ascend/aclnn_ops.def"

}  // namespace ascend_emulator
