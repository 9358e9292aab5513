// The emulated runtime: contexts, streams whose work waits until somebody synchronises, events, captured
// graphs, the registry of live handles. One mutex guards all of it. Not here: the C functions (acl_*.cpp),
// arithmetic (op_*.cpp).
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "memory.h"
#include "report.h"

namespace ascend_emulator {

/// What no correct program does: returned as its status and listed in the report.
struct EMULATOR_API Misuse : OpError {
  using OpError::OpError;
};
template <class... Parts>
[[noreturn]] void misuse(Status status, const Parts&... parts) {
  throw Misuse(status, text(parts...));
}

struct ContextState {
  int device = 0;
  bool alive = true;
  std::shared_ptr<struct StreamState> default_stream;
};

/// One piece of queued work.
struct Task {
  std::string name;
  bool is_launch = false;  ///< of an operator
  std::vector<Range> reads, writes;
  const void* pinned = nullptr;  ///< memory of the host that it reads or writes, checked again when it runs
  uint64_t pinned_bytes = 0;
  std::function<void()> run;
  std::shared_ptr<struct Graph> graph;  ///< a replay: its tasks instead of `run`
};

struct Graph {
  ContextState* context = nullptr;
  bool alive = true;
  std::vector<Task> tasks;
};

struct Capture {
  std::shared_ptr<Graph> graph = std::make_shared<Graph>();
  CaptureMode mode = CaptureMode::kGlobal;
  std::thread::id thread;
  StreamState* origin = nullptr;
  bool is_ended = false;
  std::string invalidated_by;  ///< empty while the capture is good
};

struct StreamState {
  ContextState* context = nullptr;
  std::deque<Task> queue;
  uint64_t submitted = 0, done = 0;
  Status failed = 0;  ///< once work has failed, all later work does
  std::string failure;
  std::shared_ptr<Capture> capture;
  bool is_forked =
      false;  ///< captures because it waited for a captured event, and has not been waited for since
  size_t last_captured = 0;
};

/// One aclrtRecordEvent.
struct Recording {
  std::weak_ptr<StreamState> stream;
  uint64_t position = 0;  ///< tasks of the stream, or of the graph, before it
  std::shared_ptr<Capture> capture;
  bool is_done = false;
  std::chrono::steady_clock::time_point time;
};

struct EventState {
  ContextState* context = nullptr;
  uint32_t flags = 0;
  std::shared_ptr<Recording> last;
};

enum class HandleKind { kTensor, kScalar, kIntArray, kTensorList, kExecutor };
inline constexpr const char* kHandleNames[] = {"tensors", "scalars", "int_arrays", "tensor_lists",
                                               "executors"};

class EMULATOR_API Runtime {
 public:
  void initialise();
  void finalise();
  void require_initialised() const;
  /// A JSON object; README.md beside this file lists its keys.
  std::string report() const;
  void problem(std::string what);

  // Devices and contexts.
  void set_device(int device);
  void reset_device(int device);
  ContextState* create_context(int device);
  void destroy_context(ContextState* context);
  void set_current(ContextState* context);
  /// The thread's. Throws 107002 if it has none or a destroyed one.
  ContextState& current() const;
  int n_devices() const { return n_devices_; }
  uint64_t hbm_bytes() const { return hbm_bytes_; }

  // Streams. A null handle is the context's default stream.
  void* create_stream();
  void destroy_stream(void* handle);
  /// Throws 107003 if the stream is another context's, 107017 if there is no such stream, 107041 for the
  /// default stream while something is captured.
  std::shared_ptr<StreamState> stream_of(void* handle);
  /// Queues, or captures. Throws the stream's failure.
  void submit(StreamState& stream, Task task);
  /// Runs the stream's first `position` tasks, and what they wait for, and throws what fails.
  void run_until(StreamState& stream, uint64_t position);
  /// Runs all of it, counts a wait of the host, checks every guard. `site`: the C function, for faults.
  void synchronise(StreamState& stream, std::string_view site);
  std::vector<std::shared_ptr<StreamState>> streams_of(const ContextState& context) const;

  // Events.
  void* create_event(uint32_t flags);
  void destroy_event(void* handle);
  EventState& event_of(void* handle);
  void record(EventState& event, const std::shared_ptr<StreamState>& stream);
  void wait(StreamState& stream, EventState& event);
  void synchronise(EventState& event);

  // Capture.
  void begin_capture(const std::shared_ptr<StreamState>& stream, CaptureMode mode);
  Graph* end_capture(StreamState& stream);
  std::shared_ptr<Graph> graph_of(void* handle) const;
  void destroy_graph(void* handle);
  /// Throws 107041, and invalidates the captures, where something is captured that forbids it.
  void forbid_while_capturing(std::string_view what);
  [[noreturn]] void invalidate(Capture& capture, Status status, const std::string& why);

  // Copies. Throws 107000 where queued work uses the same bytes.
  void check_race(const Task& immediate) const;
  void execute(const Task& task);

  // aclnn's handles.
  uint64_t enroll(const void* handle, HandleKind kind);
  void dismiss(const void* handle);
  /// The serial under which it lives, 0 if it does not.
  uint64_t serial_of(const void* handle, HandleKind kind) const;

  std::recursive_mutex mutex;
  DeviceMemory memory;
  PinnedMemory pinned;
  Faults faults;
  Counters counters;
  std::vector<std::string> hidden, refused;  ///< CHASKI_EMULATOR_HIDE, CHASKI_EMULATOR_REFUSE

 private:
  /// Throws where a fault of the site, or of "sync", is due; the stream's work is then lost.
  void hit_sync(StreamState& stream, std::string_view site);
  void end_context(ContextState& context);
  void drop(StreamState& stream, std::string_view why);

  bool is_initialised_ = false;
  int n_devices_ = 1;
  uint64_t hbm_bytes_ = 0;
  std::vector<std::unique_ptr<ContextState>> contexts_;
  std::map<int, ContextState*> primary_;
  std::unordered_map<void*, std::shared_ptr<StreamState>> streams_;
  std::unordered_map<void*, std::unique_ptr<EventState>> events_;
  std::unordered_map<void*, std::shared_ptr<Graph>> graphs_;
  std::vector<std::shared_ptr<Capture>> captures_;
  struct Handle {
    HandleKind kind;
    uint64_t serial;
  };
  std::unordered_map<const void*, Handle> handles_;
  uint64_t next_serial_ = 1;
  size_t live_[std::size(kHandleNames)] = {};
};

EMULATOR_API Runtime& runtime();
/// Keeps the message for aclGetRecentErrMsg of this thread.
EMULATOR_API Status failed(const char* function, const OpError& error);
EMULATOR_API std::string take_message();

/// The body of a C function: under the mutex, its exceptions made a status.
template <class Body>
Status guarded(const char* function, Body body) noexcept {
  try {
    const std::lock_guard lock(runtime().mutex);
    body(runtime());
    return 0;
  } catch (const OpError& error) {
    return failed(function, error);
  } catch (const std::exception& error) {
    return failed(function, OpError(kBadAllocation, error.what()));
  }
}

/// The same for what needs aclInit and may be told to fail.
template <class Body>
Status entry(const char* function, Body body) noexcept {
  return guarded(function, [&](Runtime& r) {
    r.require_initialised();
    r.faults.hit(function);
    body(r);
  });
}

// The C functions of the table, which acl_*.cpp, handles.cpp and executors.cpp define.
extern "C" {
#define ACL_FUNCTION(library, since, need, type, name, parameters) EMULATOR_API type name parameters;
#include "backend/ascend/acl_functions.def"
#undef ACL_FUNCTION
}

}  // namespace ascend_emulator
