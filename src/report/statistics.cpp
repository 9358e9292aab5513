#include "report/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/error.h"

namespace chaski {
namespace {

/// How many of `n` ascending samples may be cut at each end so that the rest still holds the median with
/// 95 %; nothing where all of them do not.
std::optional<size_t> cut_of_interval(size_t n) {
  // Cutting k at each end loses the median where at most k of n fair coins fall on heads, or on tails.
  const double log_all = static_cast<double>(n) * std::log(2.0);
  double tail = 0;
  for (size_t k = 0; 2 * k < n; ++k) {
    const auto heads = static_cast<double>(k);
    const auto coins = static_cast<double>(n);
    tail +=
        std::exp(std::lgamma(coins + 1) - std::lgamma(heads + 1) - std::lgamma(coins - heads + 1) - log_all);
    if (tail > 0.025) return k == 0 ? std::nullopt : std::optional(k - 1);
  }
  return std::nullopt;
}

}  // namespace

double percentile(std::span<const double> ascending, double p) {
  const double place = p * static_cast<double>(ascending.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, ascending.size() - 1);
  return std::lerp(ascending[below], ascending[above], place - static_cast<double>(below));
}

Metric summarize(std::vector<double> samples) {
  CHECK(!samples.empty(), "a metric without samples");
  std::vector<double> ascending = samples;
  std::sort(ascending.begin(), ascending.end());
  Metric metric;
  const auto n = static_cast<double>(samples.size());
  metric.mean = std::accumulate(samples.begin(), samples.end(), 0.0) / n;
  double squares = 0;
  for (const double sample : samples) squares += (sample - metric.mean) * (sample - metric.mean);
  metric.std = samples.size() > 1 ? std::sqrt(squares / (n - 1)) : 0;
  metric.median = percentile(ascending, 0.5);
  metric.p90 = percentile(ascending, 0.9);
  metric.p95 = percentile(ascending, 0.95);
  metric.p99 = percentile(ascending, 0.99);
  metric.range = {ascending.front(), ascending.back()};
  if (const auto cut = cut_of_interval(ascending.size())) {
    metric.ci95 = {ascending[*cut], ascending[ascending.size() - 1 - *cut]};
  }
  metric.samples = std::move(samples);
  return metric;
}

}  // namespace chaski
