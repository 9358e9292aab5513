// How often and after how long something is asked for again, when a network or a server failed.
#pragma once

#include "base/cancel.h"
#include "base/error.h"
#include "net/http_client.h"

namespace chaski {

struct RetryLimits {
  int max_failures = 6;       ///< in a row
  double first_wait_s = 0.5;  ///< doubles with each failure in a row, up to 30 s; from half of it, at random
};

class Backoff {
 public:
  explicit Backoff(RetryLimits limits) : limits_(limits) {}
  /// Waits, and at least as long as the server asked for. Throws `failure` where there were enough, and
  /// Error(kCancelled).
  void wait_or_throw(const Error& failure, double at_least_s, const CancelToken& cancel);
  void succeed() { n_failures_ = 0; }
  int n_failures() const { return n_failures_; }

 private:
  RetryLimits limits_;
  int n_failures_ = 0;
};

/// Whether the answer is one that may be better next time: 408, 425, 429 and 5xx but 501 and 505.
bool is_worth_retrying(const HttpResponse& answer);
/// Seconds that Retry-After names, at most 300; 0 where there is none or it is a date.
double retry_after_s(const HttpResponse& answer);

}  // namespace chaski
