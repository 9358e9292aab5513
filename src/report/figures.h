// Figures as people read them: seconds, bytes, counts, intervals, probabilities.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "report/statistics.h"

namespace chaski {

/// Three significant digits at least, no exponent: "0.0123", "12.3", "1234".
std::string figure(double value);
/// The same, or "–".
std::string figure(const std::optional<double>& value);
/// "1.23 (1.1 – 1.4)" with its interval where there is one.
std::string figure(double value, const std::optional<Interval>& interval);
/// "+1.23", "−1.23".
std::string signed_figure(double value);
std::string percent(double share);
/// In MB below 1 GB, else GB; 10⁶ and 10⁹.
std::string bytes_text(int64_t bytes);
std::string parameters_text(int64_t n);
/// "p = 0.031", "p < 0.001".
std::string p_text(double p);

}  // namespace chaski
