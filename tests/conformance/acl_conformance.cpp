// Compiled, never linked: chaski's own declarations of CANN's functions and numbers (src/backend/ascend)
// against real headers, one static assertion for each function, enumerator and struct field.
// conformance_test.py calls the compiler:
//   -DCHASKI_HEADER_SET=V      the CANN of the headers, 8.5 written as 805
//   -DCHASKI_ACLNN_HEADERS=F   a file that includes the operators' headers; without it operators are not
//   compared
#include <acl/acl.h>

#include <cstddef>
#include <type_traits>

#if __has_include(<aclnn/acl_meta.h>)
#include <aclnn/acl_meta.h>
#include <aclnn/aclnn_base.h>
#define CHASKI_HAS_NNOPBASE 1
#endif
#ifdef CHASKI_ACLNN_HEADERS
#include CHASKI_ACLNN_HEADERS
#endif

#include "backend/ascend/acl_types.h"

// Not in this set. What is neither here nor in the headers does not compile, and what is in both does not
// either, so that a function which comes or goes is noticed.
#if CHASKI_HEADER_SET < 801
#define ABSENT_aclmdlRICaptureBegin ~, 0
#define ABSENT_aclmdlRICaptureGetInfo ~, 0
#define ABSENT_aclmdlRICaptureEnd ~, 0
#define ABSENT_aclmdlRIExecuteAsync ~, 0
#define ABSENT_aclmdlRIDestroy ~, 0
#endif

// PRESENT(name) is 0 where ABSENT_name is defined, else 1; PASTE makes a macro's name with it.
#define SECOND(first, second, ...) second
#define PRESENT_OF(...) SECOND(__VA_ARGS__, )
#define PRESENT(name) PRESENT_OF(ABSENT_##name, 1)
#define PASTE_OF(prefix, suffix) prefix##suffix
#define PASTE(prefix, suffix) PASTE_OF(prefix, suffix)

// The names that a set is said to lack: ambiguous where it has them.
#define LACKING_1(name)
#define LACKING_0(name) constexpr int name = 0;
#define ACL_FUNCTION(library, since, need, result, name, parameters) PASTE(LACKING_, PRESENT(name))(name)
namespace lacking {
#include "backend/ascend/acl_functions.def"
}
#undef ACL_FUNCTION
using namespace lacking;  // NOLINT

namespace chaski::acl {
namespace {

/// Whether a value of one type can be handed over as the other: the same type, an enumeration for an
/// enumeration or integer of its size (their values are compared one by one below), or a pointer to such.
template <typename Ours, typename Theirs>
constexpr bool agree() {
  if constexpr (std::is_same_v<Ours, Theirs>) {
    return true;
  } else if constexpr (std::is_pointer_v<Ours> && std::is_pointer_v<Theirs>) {
    using To = std::remove_pointer_t<Ours>;
    using Their = std::remove_pointer_t<Theirs>;
    return std::is_const_v<To> == std::is_const_v<Their> &&
           agree<std::remove_cv_t<To>, std::remove_cv_t<Their>>();
  } else if constexpr (std::is_enum_v<Ours> && std::is_enum_v<Theirs>) {
    return sizeof(Ours) == sizeof(Theirs);
  } else if constexpr (std::is_enum_v<Ours> && std::is_integral_v<Theirs>) {
    return sizeof(Ours) == sizeof(Theirs) &&
           std::is_signed_v<std::underlying_type_t<Ours>> == std::is_signed_v<Theirs>;
  } else {
    return std::is_same_v<Ours, Utilization> && std::is_same_v<Theirs, aclrtUtilizationInfo>;
  }
}

template <typename Ours, typename Theirs>
struct Functions : std::false_type {};
template <typename Result, typename... Arguments, typename TheirResult, typename... TheirArguments>
struct Functions<Result(Arguments...), TheirResult(TheirArguments...)> {
  static constexpr bool compare() {
    if constexpr (sizeof...(Arguments) == sizeof...(TheirArguments)) {
      return agree<Result, TheirResult>() && (agree<Arguments, TheirArguments>() && ...);
    }
    return false;
  }
  static constexpr bool value = compare();
};

/// An operator's first phase has these two arguments after its own.
template <typename Own>
struct FirstPhase;
template <typename... Arguments>
struct FirstPhase<Status(Arguments...)> {
  using Type = Status(Arguments..., uint64_t*, aclOpExecutor**);
};
using SecondPhase = Status(void*, uint64_t, aclOpExecutor*, Stream);

/// "8.5" is 805.
constexpr int version(const char* text) { return (text[0] - '0') * 100 + (text[2] - '0'); }

// ---- functions
// ----------------------------------------------------------------------------------------------------

#define COMPARE_1(since, result, name, parameters)                     \
  static_assert(Functions<result parameters, decltype(::name)>::value, \
                #name ": not as the header declares it");              \
  static_assert(version(since) <= CHASKI_HEADER_SET, #name ": in these headers, older than " since);
#define COMPARE_0(since, result, name, parameters)               \
  static_assert(name == 0 && version(since) > CHASKI_HEADER_SET, \
                #name ": said to be absent, and to be there since " since);

#define COMPARE_kAscendCl(since, result, name, parameters) \
  PASTE(COMPARE_, PRESENT(name))(since, result, name, parameters)
#ifdef CHASKI_HAS_NNOPBASE
#define COMPARE_kNnBase COMPARE_kAscendCl
#else
#define COMPARE_kNnBase(since, result, name, parameters)
#endif

#define ACL_FUNCTION(library, since, need, result, name, parameters) \
  COMPARE_##library(since, result, name, parameters)
#include "backend/ascend/acl_functions.def"
#undef ACL_FUNCTION

#ifdef CHASKI_ACLNN_HEADERS
#define OPERATOR_1(since, name, arguments)                                                             \
  static_assert(                                                                                       \
      Functions<FirstPhase<Status arguments>::Type, decltype(::aclnn##name##GetWorkspaceSize)>::value, \
      "aclnn" #name ": not as the header declares it");                                                \
  static_assert(Functions<SecondPhase, decltype(::aclnn##name)>::value,                                \
                "aclnn" #name ": another second phase");
#define OPERATOR_0(since, name, arguments)
#define ACLNN_OP(since, need, name, arguments) PASTE(OPERATOR_, PRESENT(aclnn##name))(since, name, arguments)
#include "backend/ascend/aclnn_ops.def"
#undef ACLNN_OP
#endif

// ---- numbers
// ------------------------------------------------------------------------------------------------------

#define SAME(ours, theirs) \
  static_assert(static_cast<long>(ours) == static_cast<long>(theirs), #ours ": not the header's " #theirs)

SAME(DataType::kUndefined, ACL_DT_UNDEFINED);
SAME(DataType::kFloat, ACL_FLOAT);
SAME(DataType::kFloat16, ACL_FLOAT16);
SAME(DataType::kInt8, ACL_INT8);
SAME(DataType::kInt32, ACL_INT32);
SAME(DataType::kUint8, ACL_UINT8);
SAME(DataType::kInt16, ACL_INT16);
SAME(DataType::kInt64, ACL_INT64);
SAME(DataType::kDouble, ACL_DOUBLE);
SAME(DataType::kBool, ACL_BOOL);
SAME(DataType::kBFloat16, ACL_BF16);
SAME(DataType::kInt4, ACL_INT4);
SAME(Format::kNchw, ACL_FORMAT_NCHW);
SAME(Format::kNd, ACL_FORMAT_ND);
SAME(Format::kFractalNz, ACL_FORMAT_FRACTAL_NZ);
SAME(CopyKind::kHostToHost, ACL_MEMCPY_HOST_TO_HOST);
SAME(CopyKind::kHostToDevice, ACL_MEMCPY_HOST_TO_DEVICE);
SAME(CopyKind::kDeviceToHost, ACL_MEMCPY_DEVICE_TO_HOST);
SAME(CopyKind::kDeviceToDevice, ACL_MEMCPY_DEVICE_TO_DEVICE);
SAME(MallocPolicy::kHugeFirst, ACL_MEM_MALLOC_HUGE_FIRST);
SAME(MallocPolicy::kHugeOnly, ACL_MEM_MALLOC_HUGE_ONLY);
SAME(MallocPolicy::kNormalOnly, ACL_MEM_MALLOC_NORMAL_ONLY);
SAME(MemoryAttribute::kHbm, ACL_HBM_MEM);
SAME(EventStatus::kComplete, ACL_EVENT_STATUS_COMPLETE);
SAME(EventStatus::kNotReady, ACL_EVENT_STATUS_NOT_READY);
SAME(RunMode::kDevice, ACL_DEVICE);
SAME(RunMode::kHost, ACL_HOST);
SAME(kEventSync, ACL_EVENT_SYNC);
SAME(kEventCaptureProgress, ACL_EVENT_CAPTURE_STREAM_PROGRESS);
SAME(kEventTimeLine, ACL_EVENT_TIME_LINE);
SAME(kStreamFastLaunch, ACL_STREAM_FAST_LAUNCH);
SAME(kStreamFastSync, ACL_STREAM_FAST_SYNC);
#if CHASKI_HEADER_SET >= 801
SAME(CaptureMode::kGlobal, ACL_MODEL_RI_CAPTURE_MODE_GLOBAL);
SAME(CaptureMode::kThreadLocal, ACL_MODEL_RI_CAPTURE_MODE_THREAD_LOCAL);
SAME(CaptureMode::kRelaxed, ACL_MODEL_RI_CAPTURE_MODE_RELAXED);
SAME(CaptureStatus::kNone, ACL_MODEL_RI_CAPTURE_STATUS_NONE);
SAME(CaptureStatus::kActive, ACL_MODEL_RI_CAPTURE_STATUS_ACTIVE);
SAME(CaptureStatus::kInvalidated, ACL_MODEL_RI_CAPTURE_STATUS_INVALIDATED);
#endif

SAME(kInvalidParam, ACL_ERROR_INVALID_PARAM);
SAME(kUninitialised, ACL_ERROR_UNINITIALIZE);
SAME(kRepeatedInit, ACL_ERROR_REPEAT_INITIALIZE);
SAME(kRuntimeParam, ACL_ERROR_RT_PARAM_INVALID);
SAME(kInvalidDevice, ACL_ERROR_RT_INVALID_DEVICEID);
SAME(kContextNull, ACL_ERROR_RT_CONTEXT_NULL);
SAME(kStreamContext, ACL_ERROR_RT_STREAM_CONTEXT);
SAME(kInvalidHandle, ACL_ERROR_RT_INVALID_HANDLE);
#if CHASKI_HEADER_SET >= 801
SAME(kStreamCaptured, ACL_ERROR_RT_STREAM_CAPTURED);
SAME(kNotWhileCapturing, ACL_ERROR_RT_CAPTURE_MODE_NOT_SUPPORT);
#endif
#if CHASKI_HEADER_SET >= 901
SAME(kNoWaitWhileCapturing, ACL_ERROR_RT_CAPTURE_MODE_BLOCK_ASYNC);
#endif
SAME(kBadAllocation, ACL_ERROR_BAD_ALLOC);
SAME(kUnsupportedFeature, ACL_ERROR_RT_FEATURE_NOT_SUPPORT);
SAME(kDeviceMemory, ACL_ERROR_RT_MEMORY_ALLOCATION);
SAME(kNoDevice, ACL_ERROR_RT_NO_DEVICE);
SAME(kNoStreamResource, ACL_ERROR_RT_NO_STREAM_RESOURCE);
SAME(kRuntimeInternal, ACL_ERROR_RT_INTERNAL_ERROR);
SAME(kSocVersion, ACL_ERROR_RT_SOC_VERSION);
SAME(kModelExecute, ACL_ERROR_RT_MODEL_EXECUTE);
SAME(kAicoreTimeout, ACL_ERROR_RT_AICORE_TIMEOUT);
SAME(kAicoreException, ACL_ERROR_RT_AICORE_EXCEPTION);
SAME(kAicpuException, ACL_ERROR_RT_AICPU_EXCEPTION);
SAME(kDeviceSetup, ACL_ERROR_RT_DEV_SETUP_ERROR);
SAME(kVectorException, ACL_ERROR_RT_VECTOR_CORE_EXCEPTION);
SAME(kDriverInternal, ACL_ERROR_RT_DRV_INTERNAL_ERROR);

static_assert(sizeof(Utilization) == sizeof(aclrtUtilizationInfo) &&
              alignof(Utilization) == alignof(aclrtUtilizationInfo));
#define FIELD(ours, theirs)                                                              \
  static_assert(offsetof(Utilization, ours) == offsetof(aclrtUtilizationInfo, theirs) && \
                    sizeof(Utilization::ours) == sizeof(aclrtUtilizationInfo::theirs),   \
                "Utilization::" #ours ": not the header's " #theirs)
FIELD(cube, cubeUtilization);
FIELD(vector, vectorUtilization);
FIELD(aicpu, aicpuUtilization);
FIELD(memory, memoryUtilization);
FIELD(extend, utilizationExtend);

}  // namespace
}  // namespace chaski::acl
