#include "backend/ascend/acl_error.h"

#include <fmt/format.h>

#include <algorithm>

namespace chaski {
namespace {

/// A code, its name in CANN's headers, and what to do about it. docs/sources.md#ascend-binding
struct StatusRow {
  acl::Status status;
  std::string_view name;
  std::string_view hint;
};

constexpr std::string_view kReport = "this is a bug in chaski; please report it with the command you ran";
constexpr std::string_view kMemory =
    "take a shorter context (--ctx), a smaller or quantised model, or another device; `npu-smi info` shows "
    "who "
    "uses the memory";
constexpr std::string_view kDriver =
    "check that the driver matches this CANN (`chaski doctor`), that `npu-smi info` works, and in a "
    "container "
    "that /dev/davinci*, /dev/davinci_manager, /dev/devmm_svm and /dev/hisi_hdc are mounted";
constexpr std::string_view kKernels =
    "install the kernels package of this CANN for this chip (Ascend-cann-kernels-910b for 910B), then source "
    "set_env.sh";
constexpr std::string_view kSetEnv = "source the toolkit's set_env.sh in the shell that starts chaski";
constexpr std::string_view kLost =
    "the device gave up work of this process: start chaski again; where it recurs, look at `npu-smi info` "
    "and "
    "at the logs in ~/ascend/log";
constexpr std::string_view kRefused =
    "this operator of this CANN does not take these arguments; a newer CANN may";
constexpr std::string_view kCapture = "add --isa eager, which captures no steps";

constexpr StatusRow kRows[] = {
    {acl::kInvalidParam, "ACL_ERROR_INVALID_PARAM", kReport},
    {acl::kUninitialised, "ACL_ERROR_UNINITIALIZE", kReport},
    {acl::kRepeatedInit, "ACL_ERROR_REPEAT_INITIALIZE", kReport},
    {100024, "ACL_ERROR_OP_NOT_FOUND", kKernels},
    {100039, "ACL_ERROR_COMPILING_STUB_MODE",
     "$LD_LIBRARY_PATH names the toolkit's devlib folder, which holds stubs: take it out"},
    {acl::kRuntimeParam, "ACL_ERROR_RT_PARAM_INVALID", kReport},
    {acl::kInvalidDevice, "ACL_ERROR_RT_INVALID_DEVICEID",
     "take a device that is there: $ASCEND_RT_VISIBLE_DEVICES renumbers them from 0, `chaski doctor` lists "
     "them"},
    {acl::kContextNull, "ACL_ERROR_RT_CONTEXT_NULL", kDriver},
    {acl::kStreamContext, "ACL_ERROR_RT_STREAM_CONTEXT", kReport},
    {acl::kInvalidHandle, "ACL_ERROR_RT_INVALID_HANDLE", kReport},
    {107026, "ACL_ERROR_RT_MODEL_CAPTURED", kCapture},
    {acl::kStreamCaptured, "ACL_ERROR_RT_STREAM_CAPTURED", kCapture},
    {107029, "ACL_ERROR_RT_STREAM_NOT_CAPTURED", kCapture},
    {acl::kNotWhileCapturing, "ACL_ERROR_RT_CAPTURE_MODE_NOT_SUPPORT", kCapture},
    {acl::kNoWaitWhileCapturing, "ACL_ERROR_RT_CAPTURE_MODE_BLOCK_ASYNC", kCapture},
    {acl::kBadAllocation, "ACL_ERROR_BAD_ALLOC", kMemory},
    {acl::kUnsupportedFeature, "ACL_ERROR_RT_FEATURE_NOT_SUPPORT", kRefused},
    {acl::kDeviceMemory, "ACL_ERROR_RT_MEMORY_ALLOCATION", kMemory},
    {acl::kNoDevice, "ACL_ERROR_RT_NO_DEVICE", kDriver},
    {207006, "ACL_ERROR_RT_NO_PERMISSION", "add the user to the group HwHiAiUser, then log in again"},
    {207007, "ACL_ERROR_RT_NO_EVENT_RESOURCE", "other programs hold the device's events: end them"},
    {acl::kNoStreamResource, "ACL_ERROR_RT_NO_STREAM_RESOURCE",
     "other programs, or captured steps, hold the device's streams: end them, or add --isa eager"},
    {acl::kRuntimeInternal, "ACL_ERROR_RT_INTERNAL_ERROR", kLost},
    {acl::kSocVersion, "ACL_ERROR_RT_SOC_VERSION",
     "this CANN is not for this chip: chaski needs an Ascend 910B and a CANN that knows it"},
    {507010, "ACL_ERROR_RT_LOST_HEARTBEAT", kLost},
    {acl::kModelExecute, "ACL_ERROR_RT_MODEL_EXECUTE", kLost},
    {acl::kAicoreTimeout, "ACL_ERROR_RT_AICORE_TIMEOUT", kLost},
    {acl::kAicoreException, "ACL_ERROR_RT_AICORE_EXCEPTION", kLost},
    {507017, "ACL_ERROR_RT_AICPU_TIMEOUT", kLost},
    {acl::kAicpuException, "ACL_ERROR_RT_AICPU_EXCEPTION", kLost},
    {acl::kDeviceSetup, "ACL_ERROR_RT_DEV_SETUP_ERROR", kDriver},
    {507034, "ACL_ERROR_RT_VECTOR_CORE_TIMEOUT", kLost},
    {acl::kVectorException, "ACL_ERROR_RT_VECTOR_CORE_EXCEPTION", kLost},
    {507053, "ACL_ERROR_RT_DEVICE_MEM_ERROR", kLost},
    {507054, "ACL_ERROR_RT_HBM_MULTI_BIT_ECC_ERROR", kLost},
    {acl::kDriverInternal, "ACL_ERROR_RT_DRV_INTERNAL_ERROR", kDriver},
    {507901, "ACL_ERROR_RT_SOCKET_CLOSE", kDriver},
    {acl::kNnNullParam, "ACLNN_ERR_PARAM_NULLPTR", kReport},
    {acl::kNnInvalidParam, "ACLNN_ERR_PARAM_INVALID", kRefused},
    {acl::kNnRuntime, "ACLNN_ERR_RUNTIME_ERROR", kDriver},
    {acl::kNnInner, "ACLNN_ERR_INNER", kRefused},
    {acl::kNnInferShape, "ACLNN_ERR_INNER_INFERSHAPE_ERROR", kRefused},
    {acl::kNnTiling, "ACLNN_ERR_INNER_TILING_ERROR", kRefused},
    {acl::kNnNoKernel, "ACLNN_ERR_INNER_FIND_KERNEL_ERROR", kKernels},
    {acl::kNnExecutor, "ACLNN_ERR_INNER_CREATE_EXECUTOR", kKernels},
    {acl::kNnInnerNull, "ACLNN_ERR_INNER_NULLPTR", kReport},
    {acl::kNnNoOppPath, "ACLNN_ERR_INNER_OPP_PATH_NOT_FOUND", kSetEnv},
};

const StatusRow* row_of(acl::Status status) {
  const auto* row = std::find_if(std::begin(kRows), std::end(kRows),
                                 [&](const StatusRow& r) { return r.status == status; });
  return row == std::end(kRows) ? nullptr : row;
}

}  // namespace

std::string_view name_of_status(acl::Status status) {
  const StatusRow* row = row_of(status);
  return row == nullptr ? "unknown" : row->name;
}

bool is_device_lost(acl::Status status) {
  return status == acl::kNoDevice || (status / 1000 == 507 && status != acl::kSocVersion);
}

bool is_refusal(acl::Status status) {
  switch (status) {
    case acl::kNnInvalidParam:
    case acl::kNnInner:
    case acl::kNnInferShape:
    case acl::kNnTiling:
    case acl::kNnNoKernel:
    case acl::kUnsupportedFeature:
      return true;
    default:
      return false;
  }
}

bool is_out_of_memory(acl::Status status) {
  return status == acl::kDeviceMemory || status == acl::kBadAllocation;
}

AclError::AclError(acl::Status status, std::string_view operation, std::string_view message, std::string hint)
    : Error(is_out_of_memory(status) ? ErrorCode::kOutOfMemory : ErrorCode::kDevice, operation, message,
            std::move(hint)),
      status_(status) {}

void throw_acl_error(const AclApi& api, acl::Status status, std::string_view function,
                     std::string_view what) {
  // ACL forgets its message when asked for it, and keeps one per thread.
  const char* own = api.call.aclGetRecentErrMsg();
  const std::string said = own == nullptr ? std::string() : printable(own, 600);
  const StatusRow* row = row_of(status);
  throw AclError(status, function,
                 fmt::format("{}{}returned {} ({}){}{}", what, what.empty() ? "" : ": ", status,
                             name_of_status(status), said.empty() ? "" : ": ", said),
                 std::string(row != nullptr           ? row->hint
                             : is_device_lost(status) ? kLost
                                                      : kReport));
}

}  // namespace chaski
