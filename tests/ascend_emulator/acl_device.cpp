// AscendCL: start and end, devices, contexts; and the emulator's own exports.
#include <algorithm>
#include <cstring>

#include "runtime.h"

namespace ascend_emulator {

extern "C" {

Status aclInit(const char*) {
  return guarded("aclInit", [](Runtime& r) { r.initialise(); });
}

Status aclFinalize() {
  return guarded("aclFinalize", [](Runtime& r) { r.finalise(); });
}

const char* aclGetRecentErrMsg() {
  thread_local std::string message;
  message = take_message();
  return message.empty() ? nullptr : message.c_str();
}

Status aclrtSetDevice(int32_t device) {
  return entry("aclrtSetDevice", [&](Runtime& r) { r.set_device(device); });
}

Status aclrtResetDevice(int32_t device) {
  return entry("aclrtResetDevice", [&](Runtime& r) { r.reset_device(device); });
}

Status aclrtGetDeviceCount(uint32_t* count) {
  return entry("aclrtGetDeviceCount", [&](Runtime& r) { *count = static_cast<uint32_t>(r.n_devices()); });
}

const char* aclrtGetSocName() {
  const Status status = entry("aclrtGetSocName", [](Runtime&) {});
  return status == 0 ? "Ascend910B3" : nullptr;
}

Status aclrtCreateContext(Context* context, int32_t device) {
  return entry("aclrtCreateContext", [&](Runtime& r) {
    auto* created = r.create_context(device);
    r.set_current(created);
    *context = created;
  });
}

Status aclrtDestroyContext(Context context) {
  return entry("aclrtDestroyContext",
               [&](Runtime& r) { r.destroy_context(static_cast<ContextState*>(context)); });
}

Status aclrtSetCurrentContext(Context context) {
  return entry("aclrtSetCurrentContext",
               [&](Runtime& r) { r.set_current(static_cast<ContextState*>(context)); });
}

Status aclrtGetVersion(int32_t* major, int32_t* minor, int32_t* patch) {
  return guarded("aclrtGetVersion", [&](Runtime&) {
    *major = 1;
    *minor = 14;
    *patch = 0;
  });
}

Status aclrtGetDeviceUtilizationRate(int32_t device, Utilization* rate) {
  return entry("aclrtGetDeviceUtilizationRate", [&](Runtime& r) {
    if (device < 0 || device >= r.n_devices())
      throw OpError(kInvalidDevice, text("there is no device ", device));
    *rate = {.cube = 40, .vector = 25, .aicpu = 0, .memory = -1};
  });
}

/// Sets the faults, in place of those of CHASKI_EMULATOR_FAULT; null or "" for none.
EMULATOR_API Status chaski_emulator_fault(const char* specification) {
  return guarded("chaski_emulator_fault",
                 [&](Runtime& r) { r.faults.set(specification == nullptr ? "" : specification); });
}

/// Writes the report and a zero, cut to the room; returns the bytes that the whole takes without the zero.
EMULATOR_API size_t chaski_emulator_report(char* out, size_t room) {
  std::string report;
  guarded("chaski_emulator_report", [&](Runtime& r) { report = r.report(); });
  if (room > 0) {
    const size_t n = std::min(report.size(), room - 1);
    std::memcpy(out, report.data(), n);
    out[n] = 0;
  }
  return report.size();
}

/// Sets every count to 0 and forgets the problems; what lives stays.
EMULATOR_API void chaski_emulator_clear() {
  guarded("chaski_emulator_clear", [](Runtime& r) { r.counters = {}; });
}

}  // extern "C"

}  // namespace ascend_emulator
