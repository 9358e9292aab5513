// See request.h: names and ranges. What the settings do is in sampler.cpp.
#include "engine/request.h"

#include <cmath>

namespace chaski {

std::string_view name_of(FinishReason reason) {
  switch (reason) {
    case FinishReason::kNone:
      return "";
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kError:
      return "error";
  }
  return "?";
}

std::optional<double> tpot_s(const Answer& answer) {
  const std::vector<double>& times = answer.timings.token_s;
  const size_t n = answer.ids.size();
  if (n < 2 || times.size() < n || times[n - 1] <= times[0]) return std::nullopt;
  return (times[n - 1] - times[0]) / static_cast<double>(n - 1);
}

bool SamplingParams::is_plain_greedy() const {
  return is_greedy() && repetition_penalty == 1.0 && presence_penalty == 0.0 && frequency_penalty == 0.0;
}

void SamplingParams::validate() const {
  const auto require = [](bool is_good, std::string_view name, std::string_view range, auto value) {
    if (is_good) return;
    throw Error(ErrorCode::kUsage, "sampling settings",
                fmt::format("{} must be {}, found {}", name, range, value));
  };
  const auto is_within = [](double value, double low, double high) { return value >= low && value <= high; };
  // A temperature close to 0 would turn float32 scores into infinities.
  require(temperature == 0.0 || is_within(temperature, 1e-6, 1e6), "temperature", "0, or from 1e-6 to 1e6",
          temperature);
  require(top_k >= 0, "top_k", "0 (off) or more", top_k);
  require(is_within(top_p, 0, 1), "top_p", "from 0 to 1", top_p);
  require(is_within(min_p, 0, 1), "min_p", "from 0 to 1", min_p);
  require(is_within(repetition_penalty, 1e-3, 1e3), "repetition_penalty", "from 0.001 to 1000",
          repetition_penalty);
  require(is_within(presence_penalty, -2, 2), "presence_penalty", "from -2 to 2", presence_penalty);
  require(is_within(frequency_penalty, -2, 2), "frequency_penalty", "from -2 to 2", frequency_penalty);
}

}  // namespace chaski
