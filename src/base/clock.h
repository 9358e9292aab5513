// Monotonic time. Wall-clock time appears only in timestamps of records.
#pragma once

#include <chrono>
#include <string>

namespace chaski {

class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }
  void restart() { start_ = std::chrono::steady_clock::now(); }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// The current UTC time as ISO 8601 with seconds, for records.
std::string utc_timestamp();

}  // namespace chaski
