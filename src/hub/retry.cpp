#include "hub/retry.h"

#include <algorithm>
#include <cmath>
#include <thread>

#include "base/clock.h"
#include "base/rng.h"

namespace chaski {
namespace {
constexpr double kLongestWait_s = 30, kLongestAskedFor_s = 300;
}

void Backoff::wait_or_throw(const Error& failure, double at_least_s, const CancelToken& cancel) {
  if (++n_failures_ >= limits_.max_failures) throw failure;
  const double longest_s = std::min(kLongestWait_s, limits_.first_wait_s * std::exp2(n_failures_ - 1));
  const double wait_s = std::max(at_least_s, longest_s * (0.5 + 0.5 * uniform01(draw_seed(), 0, 0)));
  for (const Stopwatch waited; waited.seconds() < wait_s;) {
    cancel.throw_if_cancelled("download");
    std::this_thread::sleep_for(
        std::chrono::duration<double>(std::clamp(wait_s - waited.seconds(), 0.0, 0.05)));
  }
}

bool is_worth_retrying(const HttpResponse& answer) {
  const int status = answer.status;
  return status == 408 || status == 425 || status == 429 || (status >= 500 && status != 501 && status != 505);
}

double retry_after_s(const HttpResponse& answer) {
  double seconds = 0;
  for (const char digit : answer.header("retry-after")) {
    if (digit < '0' || digit > '9') return 0;
    seconds = std::min(kLongestAskedFor_s, seconds * 10 + (digit - '0'));
  }
  return seconds;
}

}  // namespace chaski
