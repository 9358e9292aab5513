// AscendCL's and aclnn's types as chaski declares them itself: opaque handles, enumerations, error codes. No
// header of CANN is needed to build. docs/sources.md#ascend-binding says where each comes from;
// tests/conformance compares them with the real headers.
#pragma once

#include <cstddef>
#include <cstdint>

// Handles of aclnn, at global scope as in its own headers.
struct aclTensor;
struct aclScalar;
struct aclIntArray;
struct aclFloatArray;
struct aclBoolArray;
struct aclTensorList;
struct aclScalarList;
struct aclOpExecutor;

namespace chaski::acl {

using Status = int;  ///< aclError and aclnnStatus; 0 is success
using Stream = void*;
using Event = void*;
using Context = void*;
using GraphHandle = void*;  ///< aclmdlRI

enum class DataType : int {
  kUndefined = -1,
  kFloat = 0,
  kFloat16 = 1,
  kInt8 = 2,
  kInt32 = 3,
  kUint8 = 4,
  kInt16 = 6,
  kInt64 = 9,
  kDouble = 11,
  kBool = 12,
  kBFloat16 = 27,
  kInt4 = 29  ///< two to a byte, the lower half first
};
enum class Format : int { kNchw = 0, kNd = 2, kFractalNz = 29 };
enum class CopyKind : int { kHostToHost = 0, kHostToDevice = 1, kDeviceToHost = 2, kDeviceToDevice = 3 };
enum class MallocPolicy : int { kHugeFirst = 0, kHugeOnly = 1, kNormalOnly = 2 };
enum class MemoryAttribute : int { kHbm = 1 };
enum class CaptureMode : int { kGlobal = 0, kThreadLocal = 1, kRelaxed = 2 };
enum class CaptureStatus : int { kNone = 0, kActive = 1, kInvalidated = 2 };
enum class EventStatus : int { kComplete = 0, kNotReady = 1 };
enum class RunMode : int { kDevice = 0, kHost = 1 };

inline constexpr uint32_t kEventSync = 0x1, kEventCaptureProgress = 0x2, kEventTimeLine = 0x8;
inline constexpr uint32_t kStreamFastLaunch = 0x1, kStreamFastSync = 0x2;

struct Utilization {
  int32_t cube = -1, vector = -1, aicpu = -1, memory = -1;  ///< percent; −1: not supported
  void* extend = nullptr;
};

/// Codes that calls return. docs/sources.md#ascend-binding
inline constexpr Status kInvalidParam = 100000, kUninitialised = 100001, kRepeatedInit = 100002;
inline constexpr Status kRuntimeParam = 107000, kInvalidDevice = 107001, kContextNull = 107002;
inline constexpr Status kStreamContext = 107003, kInvalidHandle = 107017, kStreamCaptured = 107027;
inline constexpr Status kNotWhileCapturing = 107030, kNoWaitWhileCapturing = 107041, kBadAllocation = 200000,
                        kUnsupportedFeature = 207000;
inline constexpr Status kDeviceMemory = 207001, kNoDevice = 207004, kNoStreamResource = 207008;
inline constexpr Status kRuntimeInternal = 507000, kSocVersion = 507008, kModelExecute = 507011;
inline constexpr Status kAicoreTimeout = 507014, kAicoreException = 507015, kAicpuException = 507018;
inline constexpr Status kDeviceSetup = 507033, kVectorException = 507035, kDriverInternal = 507899;
inline constexpr Status kNnNullParam = 161001, kNnInvalidParam = 161002, kNnRuntime = 361001;
inline constexpr Status kNnInner = 561000, kNnInferShape = 561001, kNnTiling = 561002, kNnNoKernel = 561003;
inline constexpr Status kNnExecutor = 561101, kNnInnerNull = 561103, kNnNoOppPath = 561107;

}  // namespace chaski::acl
