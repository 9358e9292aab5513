// AscendCL: memory of the device and of the host, copies.
#include <algorithm>
#include <cstring>

#include "runtime.h"

namespace ascend_emulator {

namespace {

constexpr const char* kKindNames[] = {"h2h", "h2d", "d2h", "d2d"};

bool from_device(CopyKind kind) {
  return kind == CopyKind::kDeviceToHost || kind == CopyKind::kDeviceToDevice;
}
bool to_device(CopyKind kind) { return kind == CopyKind::kHostToDevice || kind == CopyKind::kDeviceToDevice; }

/// The bytes where the emulator can touch them.
std::byte* reach(void* address, bool on_device) {
  return on_device ? runtime().memory.host(address) : static_cast<std::byte*>(address);
}

/// The copy as work, its arguments checked.
Task copy_task(Runtime& r, void* to, size_t room, const void* from, size_t bytes, CopyKind kind) {
  if (kind < CopyKind::kHostToHost || kind > CopyKind::kDeviceToDevice)
    misuse(kRuntimeParam, "no such kind of copy");
  if (to == nullptr || from == nullptr) misuse(kRuntimeParam, "a null address");
  if (bytes == 0) misuse(kRuntimeParam, "a copy of no bytes");
  if (bytes > room) misuse(kRuntimeParam, bytes, " bytes into room for ", room);
  const int device = r.current().device;
  Task task;
  task.name = text("copy ", kKindNames[static_cast<int>(kind)]);
  if (to_device(kind)) {
    task.writes.push_back(r.memory.range(to, bytes, device, "destination"));
  } else if (r.memory.is_device(to)) {
    misuse(kRuntimeParam, "the destination is on the device, but the kind says host");
  }
  if (from_device(kind)) {
    task.reads.push_back(r.memory.range(from, bytes, device, "source"));
  } else if (r.memory.is_device(from)) {
    misuse(kRuntimeParam, "the source is on the device, but the kind says host");
  }
  task.run = [to, from, bytes, kind] {
    std::memmove(reach(to, to_device(kind)), reach(const_cast<void*>(from), from_device(kind)), bytes);
  };
  ++r.counters.copies[kKindNames[static_cast<int>(kind)]];
  return task;
}

Task memset_task(Runtime& r, void* data, size_t room, int32_t value, size_t bytes) {
  if (bytes == 0 || bytes > room) misuse(kRuntimeParam, bytes, " bytes set in room for ", room);
  Task task;
  task.name = "memset";
  task.writes.push_back(r.memory.range(data, bytes, r.current().device, "memory to set"));
  task.run = [data, value, bytes] { std::memset(reach(data, true), value, bytes); };
  ++r.counters.copies["memset"];
  return task;
}

void run_at_once(Runtime& r, const Task& task) {
  r.forbid_while_capturing("a synchronous " + task.name);
  ++r.counters.host_waits;
  r.check_race(task);
  r.execute(task);
}

}  // namespace

extern "C" {

Status aclrtMalloc(void** data, size_t bytes, MallocPolicy policy) {
  return entry("aclrtMalloc", [&](Runtime& r) {
    r.forbid_while_capturing("an allocation");
    if (data == nullptr) misuse(kRuntimeParam, "a null address");
    if (policy < MallocPolicy::kHugeFirst || policy > MallocPolicy::kNormalOnly)
      misuse(kRuntimeParam, "no such policy");
    const int device = r.current().device;
    *data = r.memory.allocate(bytes, device, r.hbm_bytes());
    ++r.counters.allocations;
    r.counters.peak_bytes = std::max(r.counters.peak_bytes, r.memory.used(device));
  });
}

Status aclrtFree(void* data) {
  return entry("aclrtFree", [&](Runtime& r) {
    r.forbid_while_capturing("freeing memory");
    r.current();
    r.memory.free(data);
  });
}

Status aclrtMallocHost(void** data, size_t bytes) {
  return entry("aclrtMallocHost", [&](Runtime& r) {
    r.forbid_while_capturing("an allocation");
    r.current();
    *data = r.pinned.allocate(bytes);
  });
}

Status aclrtFreeHost(void* data) {
  return entry("aclrtFreeHost", [&](Runtime& r) {
    r.forbid_while_capturing("freeing memory");
    r.current();
    r.pinned.free(data);
  });
}

Status aclrtMemcpy(void* to, size_t room, const void* from, size_t bytes, CopyKind kind) {
  return entry("aclrtMemcpy", [&](Runtime& r) { run_at_once(r, copy_task(r, to, room, from, bytes, kind)); });
}

Status aclrtMemcpyAsync(void* to, size_t room, const void* from, size_t bytes, CopyKind kind, Stream stream) {
  return entry("aclrtMemcpyAsync", [&](Runtime& r) {
    const auto on = r.stream_of(stream);
    if (kind == CopyKind::kHostToHost) misuse(kRuntimeParam, "a copy from host to host is not asynchronous");
    Task task = copy_task(r, to, room, from, bytes, kind);
    if (kind == CopyKind::kDeviceToDevice) return r.submit(*on, std::move(task));
    task.pinned = to_device(kind) ? from : to;
    task.pinned_bytes = bytes;
    if (r.pinned.holds(task.pinned, bytes)) return r.submit(*on, std::move(task));
    // Memory that is not pinned makes the copy wait for the stream and the host for the copy.
    if (on->capture)
      r.invalidate(*on->capture, kNotWhileCapturing,
                   "a captured copy whose memory of the host is not pinned");
    task.pinned = nullptr;
    r.forbid_while_capturing("a copy of memory that is not pinned");
    ++r.counters.unpinned_copies;
    ++r.counters.host_waits;
    r.submit(*on, std::move(task));
    r.run_until(*on, on->submitted);
  });
}

Status aclrtMemsetAsync(void* data, size_t room, int32_t value, size_t bytes, Stream stream) {
  return entry("aclrtMemsetAsync", [&](Runtime& r) {
    const auto on = r.stream_of(stream);
    r.submit(*on, memset_task(r, data, room, value, bytes));
  });
}

EMULATOR_API Status aclrtMemset(void* data, size_t room, int32_t value, size_t bytes) {
  return entry("aclrtMemset", [&](Runtime& r) { run_at_once(r, memset_task(r, data, room, value, bytes)); });
}

Status aclrtGetMemInfo(MemoryAttribute attribute, size_t* free, size_t* total) {
  return entry("aclrtGetMemInfo", [&](Runtime& r) {
    if (attribute != MemoryAttribute::kHbm) misuse(kRuntimeParam, "only the HBM is asked for here");
    *total = r.hbm_bytes();
    *free = *total - r.memory.used(r.current().device);
  });
}

}  // extern "C"

}  // namespace ascend_emulator
