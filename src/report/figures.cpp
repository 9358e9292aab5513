#include "report/figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace chaski {

std::string figure(double value) {
  const double size = std::abs(value);
  if (size == 0) return "0";
  if (size >= 1000) return fmt::format("{:.0f}", value);
  if (size < 1e-6) return fmt::format("{:.2g}", value);
  const int decimals = std::clamp(2 - static_cast<int>(std::floor(std::log10(size))), 0, 9);
  return fmt::format("{:.{}f}", value, decimals);
}

std::string figure(const std::optional<double>& value) { return value ? figure(*value) : "–"; }

std::string figure(double value, const std::optional<Interval>& interval) {
  if (!interval) return figure(value);
  return fmt::format("{} ({} – {})", figure(value), figure(interval->low), figure(interval->high));
}

std::string signed_figure(double value) {
  return (value < 0 ? "−" : value > 0 ? "+" : "±") + figure(std::abs(value));
}

std::string percent(double share) { return fmt::format("{:.1f} %", share * 100); }

std::string bytes_text(int64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (std::abs(value) < 1e6) return fmt::format("{:.1f} kB", value / 1e3);
  return std::abs(value) < 1e9 ? fmt::format("{:.1f} MB", value / 1e6)
                               : fmt::format("{:.3f} GB", value / 1e9);
}

std::string parameters_text(int64_t n) {
  if (n >= 1'000'000'000) return fmt::format("{:.3f} B", static_cast<double>(n) / 1e9);
  if (n >= 1'000'000) return fmt::format("{:.1f} M", static_cast<double>(n) / 1e6);
  return fmt::format("{}", n);
}

std::string p_text(double p) {
  return p < 0.001 ? std::string("p < 0.001") : fmt::format("p = {:.{}f}", p, p < 0.1 ? 3 : 2);
}

}  // namespace chaski
