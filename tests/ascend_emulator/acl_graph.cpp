// AscendCL: captured graphs, from 8.1.
#include "runtime.h"

namespace ascend_emulator {

extern "C" {

Status aclmdlRICaptureBegin(Stream stream, CaptureMode mode) {
  return entry("aclmdlRICaptureBegin", [&](Runtime& r) { r.begin_capture(r.stream_of(stream), mode); });
}

Status aclmdlRICaptureGetInfo(Stream stream, CaptureStatus* status, GraphHandle* graph) {
  return entry("aclmdlRICaptureGetInfo", [&](Runtime& r) {
    const auto capture = r.stream_of(stream)->capture;
    *graph = nullptr;
    *status = CaptureStatus::kNone;
    if (!capture) return;
    *status = capture->invalidated_by.empty() ? CaptureStatus::kActive : CaptureStatus::kInvalidated;
    *graph = capture->graph.get();
  });
}

Status aclmdlRICaptureEnd(Stream stream, GraphHandle* graph) {
  return entry("aclmdlRICaptureEnd", [&](Runtime& r) {
    *graph = nullptr;
    *graph = r.end_capture(*r.stream_of(stream));
  });
}

Status aclmdlRIExecuteAsync(GraphHandle graph, Stream stream) {
  return entry("aclmdlRIExecuteAsync", [&](Runtime& r) {
    const auto on = r.stream_of(stream);
    Task task;
    task.name = "replay";
    task.graph = r.graph_of(graph);
    if (on->capture) r.invalidate(*on->capture, kNotWhileCapturing, "a replay while the stream captures");
    if (task.graph->context != on->context) misuse(kStreamContext, "the graph is of another context");
    ++r.counters.graph_replays;
    for (const Task& part : task.graph->tasks) r.counters.replayed_launches += part.is_launch ? 1 : 0;
    r.submit(*on, std::move(task));
  });
}

Status aclmdlRIDestroy(GraphHandle graph) {
  return entry("aclmdlRIDestroy", [&](Runtime& r) { r.destroy_graph(graph); });
}

}  // extern "C"

}  // namespace ascend_emulator
