// Everything that is put on the device's stream, in order: by a thread of its own, so that the host plans the
// next operator while this one is launched, or at once.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "backend/ascend/ascend_context.h"

namespace chaski {

class LaunchQueue {
 public:
  enum class Mode {
    kDirect,  ///< submit() calls at once, and throws what fails
    kThread   ///< a thread calls; what fails is thrown by the next wait, and what was queued after it is
              ///< dropped
  };
  using Work = std::function<void()>;  ///< puts something on context().stream(); throws where that fails

  LaunchQueue(std::shared_ptr<AscendContext> context, Mode mode, size_t most_queued = 1024);
  ~LaunchQueue();  ///< calls what is still queued; drops its errors
  LaunchQueue(const LaunchQueue&) = delete;
  LaunchQueue& operator=(const LaunchQueue&) = delete;

  AscendContext& context() const { return *context_; }
  const std::shared_ptr<AscendContext>& shared_context() const { return context_; }
  Mode mode() const { return mode_; }

  /// Waits only where `most_queued` are waiting already. What `work` holds is let go once it was called.
  void submit(Work work);
  /// All that was submitted has been put on the stream. Throws what failed, once nothing runs any more.
  void wait_drained();
  /// All that was submitted is done. Throws what failed. Counts a wait of the host, unless nothing was
  /// submitted since the last.
  void synchronize();
  /// The same before something is freed: what fails is left for the next wait to throw.
  void quiesce() noexcept;
  /// How often everything submitted so far was known to be done.
  int64_t n_synchronized() const { return n_synchronized_; }

 private:
  void serve();
  acl::Status wait_for_stream();
  std::exception_ptr take_failure();

  std::shared_ptr<AscendContext> context_;
  Mode mode_;
  size_t most_queued_;
  bool is_idle_ = true;  ///< nothing submitted since the last synchronize()
  int64_t n_synchronized_ = 0;

  std::mutex mutex_;  ///< of what follows
  std::condition_variable changed_;
  std::deque<Work> queued_;
  bool is_calling_ = false, is_ending_ = false;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace chaski
