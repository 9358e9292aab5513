// A flag that asks a long operation to stop: set from a signal handler or another thread, polled between
// units of work.
#pragma once

#include <atomic>

#include "base/error.h"

namespace chaski {

class CancelToken {
 public:
  void cancel() noexcept { flag_.store(true, std::memory_order_relaxed); }
  void reset() noexcept { flag_.store(false, std::memory_order_relaxed); }
  bool is_cancelled() const noexcept { return flag_.load(std::memory_order_relaxed); }
  void throw_if_cancelled(std::string_view operation) const {
    if (is_cancelled()) throw Error(ErrorCode::kCancelled, operation, "stopped on request");
  }

 private:
  std::atomic<bool> flag_{false};
};

}  // namespace chaski
