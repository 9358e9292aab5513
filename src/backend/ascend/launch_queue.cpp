#include "backend/ascend/launch_queue.h"

#include <utility>

namespace chaski {

LaunchQueue::LaunchQueue(std::shared_ptr<AscendContext> context, Mode mode, size_t most_queued)
    : context_(std::move(context)), mode_(mode), most_queued_(most_queued) {
  if (mode_ == Mode::kThread) thread_ = std::thread([this] { serve(); });
}

LaunchQueue::~LaunchQueue() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void LaunchQueue::submit(Work work) {
  is_idle_ = false;
  if (mode_ == Mode::kDirect) {
    context_->make_current();
    work();
    return;
  }
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return queued_.size() < most_queued_; });
    queued_.push_back(std::move(work));
  }
  changed_.notify_all();
}

void LaunchQueue::serve() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return !queued_.empty() || is_ending_; });
    if (queued_.empty()) return;
    Work work = std::move(queued_.front());
    queued_.pop_front();
    const bool is_dropped = failure_ != nullptr;
    is_calling_ = true;
    lock.unlock();
    std::exception_ptr failed;
    try {
      if (!is_dropped) {
        context_->make_current();  // the first time; then it is cheap
        work();
      }
    } catch (...) {
      failed = std::current_exception();
    }
    work = nullptr;  // what it holds goes here, not under the lock
    lock.lock();
    if (failed != nullptr && failure_ == nullptr) failure_ = failed;
    is_calling_ = false;
    changed_.notify_all();
  }
}

std::exception_ptr LaunchQueue::take_failure() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return queued_.empty() && !is_calling_; });
  return std::exchange(failure_, nullptr);
}

acl::Status LaunchQueue::wait_for_stream() {
  context_->try_make_current();
  ++context_->counters().host_waits;
  const acl::Status status = context_->api().call.aclrtSynchronizeStream(context_->stream());
  is_idle_ = true;  // where it failed, what was on the stream is dead
  ++n_synchronized_;
  return status;
}

void LaunchQueue::wait_drained() {
  const std::exception_ptr failure = take_failure();
  if (failure == nullptr) return;
  wait_for_stream();
  std::rethrow_exception(failure);
}

void LaunchQueue::synchronize() {
  wait_drained();
  if (is_idle_) return;
  context_->check(wait_for_stream(), "aclrtSynchronizeStream");
}

void LaunchQueue::quiesce() noexcept {
  if (is_idle_) return;
  try {
    synchronize();
  } catch (...) {
    const std::lock_guard lock(mutex_);
    failure_ = std::current_exception();
  }
}

}  // namespace chaski
