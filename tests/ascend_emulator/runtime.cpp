// See runtime.h.
#include "runtime.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

extern "C" const char* chaski_ascend_emulator();

namespace ascend_emulator {

namespace {

constexpr size_t kMaxStreams = 2048;
thread_local ContextState* t_context = nullptr;
thread_local std::string t_message;

uint64_t number_of(const char* variable, uint64_t otherwise) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != 0 ? std::strtoull(value, nullptr, 10) : otherwise;
}

std::string text_of(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr ? value : "";
}

}  // namespace

Runtime& runtime() {
  static Runtime* const the = new Runtime;  // never destroyed: a program's own destructors may still call in
  return *the;
}

Status failed(const char* function, const OpError& error) {
  const std::string what = text(function, ": ", error.message);
  t_message = text("E", error.status, ": ", what);
  if (dynamic_cast<const Misuse*>(&error) != nullptr) {
    const std::lock_guard lock(runtime().mutex);
    runtime().problem(what);
  }
  return error.status;
}

std::string take_message() { return std::exchange(t_message, {}); }

void Runtime::problem(std::string what) {
  if (counters.problems.size() < 1000) counters.problems.push_back(std::move(what));
}

void Runtime::require_initialised() const {
  if (!is_initialised_) misuse(kUninitialised, "called before aclInit or after aclFinalize");
}

void Runtime::initialise() {
  if (is_initialised_) misuse(kRepeatedInit, "called twice");
  counters = {};
  faults.set(text_of("CHASKI_EMULATOR_FAULT"));
  faults.hit("aclInit");
  n_devices_ = static_cast<int>(number_of("CHASKI_EMULATOR_DEVICES", 1));
  hbm_bytes_ = number_of("CHASKI_EMULATOR_HBM_MB", 65536) << 20;
  hidden = split(text_of("CHASKI_EMULATOR_HIDE"), ',');
  refused = split(text_of("CHASKI_EMULATOR_REFUSE"), ',');
  is_initialised_ = true;
}

void Runtime::finalise() {
  require_initialised();
  faults.hit("aclFinalize");
  const std::string at_end = report();
  bool leaks =
      memory.count() > 0 || pinned.count() > 0 || !streams_.empty() || !events_.empty() || !graphs_.empty();
  for (const size_t live : live_) leaks = leaks || live > 0;
  if (leaks) problem("aclFinalize: still alive: " + at_end.substr(at_end.find("\"live\"")));
  for (auto& context : contexts_) {
    if (context->alive) end_context(*context);
  }
  primary_.clear();
  is_initialised_ = false;
  for (int device = 0; device < n_devices_; ++device) memory.free_all(device);
}

std::string Runtime::report() const {
  const Counters& c = counters;
  uint64_t bytes = 0;
  for (int device = 0; device < n_devices_; ++device) bytes += memory.used(device);
  std::string out =
      text("{\"profile\": ", json(chaski_ascend_emulator()), ", \"launches\": ", json(c.launches),
           ", \"phase1\": ", json(c.phase_one), ", \"copies\": ", json(c.copies));
  const Counts numbers{{"hidden_copies", c.hidden_copies},
                       {"ai_cpu_launches", c.ai_cpu_launches},
                       {"host_waits", c.host_waits},
                       {"unpinned_copies", c.unpinned_copies},
                       {"allocations", c.allocations},
                       {"peak_bytes", c.peak_bytes},
                       {"executors_reused", c.executors_reused},
                       {"graphs_captured", c.graphs_captured},
                       {"graph_replays", c.graph_replays},
                       {"replayed_launches", c.replayed_launches}};
  const std::string flat = json(numbers);
  out += ", " + flat.substr(1, flat.size() - 2) + ", \"problems\": [";
  for (size_t i = 0; i < c.problems.size(); ++i) out += (i > 0 ? ", " : "") + json(c.problems[i]);
  Counts live{{"bytes", bytes},
              {"allocations", memory.count()},
              {"host_allocations", pinned.count()},
              {"streams", streams_.size()},
              {"events", events_.size()},
              {"graphs", graphs_.size()}};
  for (size_t kind = 0; kind < std::size(live_); ++kind) live[kHandleNames[kind]] = live_[kind];
  return out + "], \"live\": " + json(live) + "}";
}

// --- Devices and contexts ---

ContextState* Runtime::create_context(int device) {
  if (device < 0 || device >= n_devices_) throw OpError(kInvalidDevice, text("there is no device ", device));
  auto context = std::make_unique<ContextState>();
  context->device = device;
  context->default_stream = std::make_shared<StreamState>();
  context->default_stream->context = context.get();
  contexts_.push_back(std::move(context));
  return contexts_.back().get();
}

void Runtime::set_device(int device) {
  ContextState*& primary = primary_[device];
  try {
    if (primary == nullptr) primary = create_context(device);
  } catch (const OpError&) {
    primary_.erase(device);
    throw;
  }
  t_context = primary;
}

void Runtime::end_context(ContextState& context) {
  const auto its = [&](const auto& entry) { return entry.second->context == &context; };
  const auto n_streams = std::count_if(streams_.begin(), streams_.end(), its);
  const auto n_events = std::count_if(events_.begin(), events_.end(), its);
  const auto n_graphs = std::count_if(graphs_.begin(), graphs_.end(), its);
  if (n_streams + n_events + n_graphs > 0)
    problem(text("a context ended with ", n_streams, " streams, ", n_events, " events, ", n_graphs,
                 " graphs alive"));
  for (const auto& stream : streams_of(context)) drop(*stream, "its context ended");
  drop(*context.default_stream, "its context ended");
  std::erase_if(streams_, its);
  std::erase_if(events_, its);
  std::erase_if(graphs_, its);
  std::erase_if(captures_, [&](const auto& capture) { return capture->origin->context == &context; });
  context.alive = false;
}

void Runtime::reset_device(int device) {
  forbid_while_capturing("aclrtResetDevice");
  const auto found = primary_.find(device);
  if (found == primary_.end()) misuse(kInvalidDevice, "device ", device, " was not set");
  for (auto& context : contexts_) {
    if (context->alive && context->device == device) end_context(*context);
  }
  primary_.erase(found);
  if (memory.used(device) > 0)
    problem(text("a device was reset with ", memory.used(device), " bytes allocated"));
  memory.free_all(device);
}

void Runtime::destroy_context(ContextState* context) {
  set_current(context);
  if (std::any_of(primary_.begin(), primary_.end(), [&](auto& p) { return p.second == context; }))
    misuse(kRuntimeParam, "the context that aclrtSetDevice made goes with aclrtResetDevice");
  end_context(*context);
}

void Runtime::set_current(ContextState* context) {
  const auto is_it = [&](const auto& c) { return c.get() == context && c->alive; };
  if (std::none_of(contexts_.begin(), contexts_.end(), is_it))
    misuse(kContextNull, "not a context, or a destroyed one");
  t_context = context;
}

ContextState& Runtime::current() const {
  if (t_context == nullptr)
    misuse(kContextNull, "this thread has no context: it never called aclrtSetDevice");
  if (!t_context->alive) misuse(kContextNull, "this thread's context was destroyed");
  return *t_context;
}

// --- Streams ---

void* Runtime::create_stream() {
  ContextState& context = current();
  if (streams_.size() >= kMaxStreams) throw OpError(kNoStreamResource, text(kMaxStreams, " streams exist"));
  auto stream = std::make_shared<StreamState>();
  stream->context = &context;
  void* const handle = stream.get();
  streams_[handle] = std::move(stream);
  return handle;
}

void Runtime::drop(StreamState& stream, std::string_view why) {
  if (!stream.queue.empty())
    problem(text(stream.queue.size(), " queued tasks, the first ", stream.queue.front().name,
                 ", never ran: ", why));
  stream.queue.clear();
  stream.done = stream.submitted;
}

void Runtime::destroy_stream(void* handle) {
  if (handle == nullptr) misuse(kRuntimeParam, "the default stream is not destroyed");
  const auto stream = stream_of(handle);
  if (stream->capture)
    invalidate(*stream->capture, kStreamCaptured, "a stream was destroyed while it captured");
  drop(*stream, "the stream was destroyed");
  streams_.erase(handle);
}

std::shared_ptr<StreamState> Runtime::stream_of(void* handle) {
  ContextState& context = current();
  if (handle == nullptr) {
    forbid_while_capturing("use of the default stream");
    return context.default_stream;
  }
  const auto found = streams_.find(handle);
  if (found == streams_.end()) misuse(kInvalidHandle, "not a stream, or a destroyed one");
  if (found->second->context != &context)
    misuse(kStreamContext, "the stream is not of this thread's context");
  return found->second;
}

std::vector<std::shared_ptr<StreamState>> Runtime::streams_of(const ContextState& context) const {
  std::vector<std::shared_ptr<StreamState>> streams{context.default_stream};
  for (const auto& [handle, stream] : streams_) {
    if (stream->context == &context) streams.push_back(stream);
  }
  return streams;
}

void Runtime::submit(StreamState& stream, Task task) {
  if (stream.failed != 0) throw OpError(stream.failed, "the stream failed before: " + stream.failure);
  if (stream.capture) {
    stream.capture->graph->tasks.push_back(std::move(task));
    stream.last_captured = stream.capture->graph->tasks.size();
    stream.is_forked = &stream != stream.capture->origin;
    return;
  }
  stream.queue.push_back(std::move(task));
  ++stream.submitted;
}

void Runtime::execute(const Task& task) {
  for (const Range& range : task.reads) memory.check_alive(range, task.name);
  for (const Range& range : task.writes) memory.check_alive(range, task.name);
  if (task.pinned != nullptr && !pinned.holds(task.pinned, task.pinned_bytes))
    misuse(kAicoreException, task.name, ": pinned memory was freed before the work that uses it ran");
  if (!task.graph) return task.run();
  if (!task.graph->alive) misuse(kModelExecute, "a graph was destroyed before its replay ran");
  for (const Task& part : task.graph->tasks) execute(part);
}

void Runtime::run_until(StreamState& stream, uint64_t position) {
  while (stream.done < position && !stream.queue.empty()) {
    const Task task = std::move(stream.queue.front());
    stream.queue.pop_front();
    ++stream.done;
    try {
      execute(task);
    } catch (const OpError& error) {
      stream.failed = error.status;
      stream.failure = text(task.name, ": ", error.message);
      stream.queue.clear();
      stream.done = stream.submitted;
      throw;
    }
  }
  if (stream.failed != 0) throw OpError(stream.failed, stream.failure);
}

void Runtime::hit_sync(StreamState& stream, std::string_view site) {
  ++counters.host_waits;
  try {
    faults.hit(site);
    faults.hit("sync");
  } catch (const OpError&) {
    stream.queue.clear();
    stream.done = stream.submitted;
    throw;
  }
}

void Runtime::synchronise(StreamState& stream, std::string_view site) {
  if (stream.capture)
    invalidate(*stream.capture, kStreamCaptured, "a stream was synchronised while it captured");
  forbid_while_capturing("a wait of the host");
  hit_sync(stream, site);
  run_until(stream, stream.submitted);
  memory.check_guards();
}

// --- Events ---

void* Runtime::create_event(uint32_t flags) {
  auto event = std::make_unique<EventState>();
  event->context = &current();
  event->flags = flags;
  void* const handle = event.get();
  events_[handle] = std::move(event);
  return handle;
}

EventState& Runtime::event_of(void* handle) {
  const auto found = events_.find(handle);
  if (found == events_.end()) misuse(kInvalidHandle, "not an event, or a destroyed one");
  if (found->second->context != &current())
    misuse(kStreamContext, "the event is not of this thread's context");
  return *found->second;
}

void Runtime::destroy_event(void* handle) {
  event_of(handle);
  events_.erase(handle);
}

void Runtime::record(EventState& event, const std::shared_ptr<StreamState>& stream) {
  auto recording = std::make_shared<Recording>();
  recording->stream = stream;
  recording->capture = stream->capture;
  if (stream->capture) {
    recording->position = stream->capture->graph->tasks.size();
  } else {
    Task task;
    task.name = "event";
    task.run = [recording] {
      recording->is_done = true;
      recording->time = std::chrono::steady_clock::now();
    };
    submit(*stream, std::move(task));
    recording->position = stream->submitted;
  }
  event.last = std::move(recording);
}

void Runtime::wait(StreamState& stream, EventState& event) {
  const auto recording = event.last;
  if (recording == nullptr) return;
  const auto of = recording->stream.lock();
  if (recording->capture && of && of->capture == recording->capture) {
    if (stream.capture && stream.capture != recording->capture)
      invalidate(*stream.capture, kNotWhileCapturing, "waited for an event of another capture");
    if (&stream == of->capture->origin) {
      if (recording->position >= of->last_captured) of->is_forked = false;
    } else if (!stream.capture) {
      stream.capture = recording->capture;
      stream.last_captured = recording->position;
      stream.is_forked = true;
    }
    return;
  }
  if (stream.capture)
    invalidate(*stream.capture, kNotWhileCapturing, "a captured stream waited for an event from outside");
  Task task;
  task.name = "wait for an event";
  task.run = [this, recording] {
    if (recording->is_done) return;
    const auto other = recording->stream.lock();
    if (!other) misuse(kInvalidHandle, "the stream of an awaited event was destroyed");
    run_until(*other, recording->position);
  };
  submit(stream, std::move(task));
}

void Runtime::synchronise(EventState& event) {
  const auto recording = event.last;
  if (recording != nullptr && recording->capture && !recording->capture->is_ended)
    invalidate(*recording->capture, kNotWhileCapturing, "the host waited for a captured event");
  forbid_while_capturing("a wait of the host");
  const auto stream = recording != nullptr ? recording->stream.lock() : nullptr;
  if (stream == nullptr || recording->capture) {  // never recorded, or nothing left to wait for
    ++counters.host_waits;
    return;
  }
  hit_sync(*stream, "aclrtSynchronizeEvent");
  run_until(*stream, recording->position);
  memory.check_guards();
}

// --- Capture ---

void Runtime::invalidate(Capture& capture, Status status, const std::string& why) {
  if (capture.invalidated_by.empty()) capture.invalidated_by = why;
  misuse(status, why);
}

void Runtime::forbid_while_capturing(std::string_view what) {
  Capture* hit = nullptr;
  for (const auto& capture : captures_) {
    if (capture->mode == CaptureMode::kRelaxed) continue;
    if (capture->mode == CaptureMode::kThreadLocal && capture->thread != std::this_thread::get_id()) continue;
    if (capture->invalidated_by.empty()) capture->invalidated_by = what;
    hit = capture.get();
  }
  if (hit != nullptr)
    invalidate(*hit, kNotWhileCapturing, text(what, " is not permitted while a stream captures"));
}

void Runtime::begin_capture(const std::shared_ptr<StreamState>& stream, CaptureMode mode) {
  if (mode < CaptureMode::kGlobal || mode > CaptureMode::kRelaxed) misuse(kRuntimeParam, "no such mode");
  if (stream == stream->context->default_stream)
    misuse(kNotWhileCapturing, "the default stream cannot capture");
  if (stream->capture)
    invalidate(*stream->capture, kStreamCaptured, "a stream that captures was told to capture");
  auto capture = std::make_shared<Capture>();
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->origin = stream.get();
  capture->graph->context = stream->context;
  stream->capture = capture;
  captures_.push_back(std::move(capture));
}

Graph* Runtime::end_capture(StreamState& stream) {
  const std::shared_ptr<Capture> capture = stream.capture;
  if (!capture) misuse(kNotWhileCapturing, "the stream does not capture");
  if (capture->origin != &stream)
    invalidate(*capture, kNotWhileCapturing, "ended on a stream that did not begin it");
  if (capture->mode != CaptureMode::kRelaxed && capture->thread != std::this_thread::get_id())
    invalidate(*capture, kNotWhileCapturing, "ended by a thread that did not begin it");
  bool forked = false;
  for (const auto& other : streams_of(*stream.context)) {
    if (other->capture != capture) continue;
    forked = forked || other->is_forked;
    other->capture.reset();
    other->is_forked = false;
  }
  std::erase(captures_, capture);
  capture->is_ended = true;
  if (forked) misuse(kNotWhileCapturing, "a stream that joined the capture was not waited for");
  if (!capture->invalidated_by.empty())
    throw OpError(kNotWhileCapturing, "no graph: " + capture->invalidated_by);
  ++counters.graphs_captured;
  graphs_[capture->graph.get()] = capture->graph;
  return capture->graph.get();
}

std::shared_ptr<Graph> Runtime::graph_of(void* handle) const {
  const auto found = graphs_.find(handle);
  if (found == graphs_.end()) misuse(kInvalidHandle, "not a graph, or a destroyed one");
  return found->second;
}

void Runtime::destroy_graph(void* handle) {
  graph_of(handle)->alive = false;
  graphs_.erase(handle);
}

// --- Copies ---

namespace {

bool overlap(const std::vector<Range>& a, const std::vector<Range>& b) {
  for (const Range& x : a) {
    for (const Range& y : b) {
      if (x.data < y.data + y.bytes && y.data < x.data + x.bytes) return true;
    }
  }
  return false;
}

bool conflict(const Task& queued, const Task& immediate) {
  if (queued.graph) {
    return std::any_of(queued.graph->tasks.begin(), queued.graph->tasks.end(),
                       [&](const Task& part) { return conflict(part, immediate); });
  }
  return overlap(queued.writes, immediate.reads) || overlap(queued.writes, immediate.writes) ||
         overlap(queued.reads, immediate.writes);
}

}  // namespace

void Runtime::check_race(const Task& immediate) const {
  for (const auto& context : contexts_) {
    if (!context->alive) continue;
    for (const auto& stream : streams_of(*context)) {
      for (const Task& queued : stream->queue) {
        if (conflict(queued, immediate))
          misuse(kRuntimeParam, immediate.name, " while ", queued.name,
                 " on the same memory is still queued: a synchronous copy does not wait for streams");
      }
    }
  }
}

// --- aclnn's handles ---

uint64_t Runtime::enroll(const void* handle, HandleKind kind) {
  handles_[handle] = {kind, next_serial_};
  ++live_[static_cast<size_t>(kind)];
  return next_serial_++;
}

void Runtime::dismiss(const void* handle) {
  const auto found = handles_.find(handle);
  --live_[static_cast<size_t>(found->second.kind)];
  handles_.erase(found);
}

uint64_t Runtime::serial_of(const void* handle, HandleKind kind) const {
  const auto found = handles_.find(handle);
  return found != handles_.end() && found->second.kind == kind ? found->second.serial : 0;
}

}  // namespace ascend_emulator
