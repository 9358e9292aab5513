// AscendCL: streams and events.
#include "runtime.h"

namespace ascend_emulator {

extern "C" {

Status aclrtCreateStreamWithConfig(Stream* stream, uint32_t priority, uint32_t flag) {
  return entry("aclrtCreateStreamWithConfig", [&](Runtime& r) {
    if (priority > 7) misuse(kRuntimeParam, "priority ", priority, ", of 0 to 7");
    if ((flag & ~(kStreamFastLaunch | kStreamFastSync)) != 0) misuse(kRuntimeParam, "unknown flags ", flag);
    *stream = r.create_stream();
  });
}

Status aclrtDestroyStream(Stream stream) {
  return entry("aclrtDestroyStream", [&](Runtime& r) { r.destroy_stream(stream); });
}

Status aclrtSynchronizeStream(Stream stream) {
  return guarded("aclrtSynchronizeStream", [&](Runtime& r) {
    r.require_initialised();
    r.synchronise(*r.stream_of(stream), "aclrtSynchronizeStream");
  });
}

EMULATOR_API Status aclrtSynchronizeDevice() {
  return entry("aclrtSynchronizeDevice", [](Runtime& r) {
    for (const auto& stream : r.streams_of(r.current())) r.synchronise(*stream, "aclrtSynchronizeStream");
  });
}

Status aclrtCreateEventExWithFlag(Event* event, uint32_t flag) {
  return entry("aclrtCreateEventExWithFlag", [&](Runtime& r) {
    if (flag == 0 || (flag & ~(kEventSync | kEventCaptureProgress | kEventTimeLine)) != 0)
      misuse(kRuntimeParam, "unknown flags ", flag);
    *event = r.create_event(flag);
  });
}

Status aclrtDestroyEvent(Event event) {
  return entry("aclrtDestroyEvent", [&](Runtime& r) { r.destroy_event(event); });
}

Status aclrtRecordEvent(Event event, Stream stream) {
  return entry("aclrtRecordEvent", [&](Runtime& r) { r.record(r.event_of(event), r.stream_of(stream)); });
}

EMULATOR_API Status aclrtStreamWaitEvent(Stream stream, Event event) {
  return entry("aclrtStreamWaitEvent", [&](Runtime& r) { r.wait(*r.stream_of(stream), r.event_of(event)); });
}

Status aclrtSynchronizeEvent(Event event) {
  return guarded("aclrtSynchronizeEvent", [&](Runtime& r) {
    r.require_initialised();
    r.synchronise(r.event_of(event));
  });
}

Status aclrtEventElapsedTime(float* milliseconds, Event start, Event end) {
  return entry("aclrtEventElapsedTime", [&](Runtime& r) {
    const EventState* events[] = {&r.event_of(start), &r.event_of(end)};
    r.forbid_while_capturing("reading an event");
    for (const EventState* event : events) {
      if ((event->flags & kEventTimeLine) == 0) misuse(kRuntimeParam, "an event without the flag for times");
      if (event->last == nullptr || !event->last->is_done)
        misuse(kRuntimeParam, "an event that has not happened");
    }
    *milliseconds =
        std::chrono::duration<float, std::milli>(events[1]->last->time - events[0]->last->time).count();
  });
}

}  // extern "C"

}  // namespace ascend_emulator
