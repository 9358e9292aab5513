// Statistics over samples: summaries, bootstrap intervals, paired tests, agreement. Pure, and the same on
// every machine: random numbers are base/rng.h's, from a fixed seed. Source: docs/sources.md#statistics;
// checked by tests/parity/statistics_parity.py.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace chaski {

struct Interval {
  double low = 0, high = 0;
};

/// Samples and what they say. Percentiles are of the samples in ascending order, between two of them linear.
struct Metric {
  double mean = 0, std = 0;  ///< std with n − 1; 0 for one sample
  double median = 0, p90 = 0, p95 = 0, p99 = 0;
  Interval range;                ///< least and most
  std::optional<Interval> ci95;  ///< bootstrap, of the median; nothing below six samples
  std::vector<double> samples;   ///< in the order measured
};
/// Of at least one sample, all finite.
Metric summarize(std::vector<double> samples);
/// The same of the gaps between tokens or chunks, which depend on each other within an answer: no interval.
/// Of more than 20,000 each n-th is kept as a sample; the figures are of all.
Metric summarize_gaps(std::vector<double> gaps);

/// The value below which a share `p` of the ascending samples lies, linear between two.
double percentile(std::span<const double> ascending, double p);

/// Resamples or arrangements to draw of `n` samples: fewer of many, so that a hundred thousand take a second.
int64_t resamples_for(size_t n);

/// Percentile-bootstrap interval of `statistic` at `confidence`; resamples are drawn by (seed, index) alone.
Interval bootstrap_interval(std::span<const double> samples,
                            const std::function<double(std::span<const double>)>& statistic,
                            double confidence = 0.95, int64_t n_resamples = 9999, uint64_t seed = 0);

/// A comparison of pairs (a[i], b[i]), as one question answered by two models.
struct PairedTest {
  int64_t n = 0;
  double mean_difference = 0;    ///< of b − a
  std::optional<Interval> ci95;  ///< bootstrap over pairs; nothing below six pairs
  /// Two-sided, by sign flips: exact up to 20 pairs that differ and where all differ by as much (then it is
  /// the sign test), else sampled.
  double p_value = 1;
};
PairedTest paired_permutation_test(std::span<const double> a, std::span<const double> b, uint64_t seed = 0);

/// The same for two unpaired sets, of the difference of means, by relabelling.
PairedTest permutation_test(std::span<const double> a, std::span<const double> b, uint64_t seed = 0);

/// Cohen's kappa with quadratic weights of two raters' grades least … most; nothing where both gave one and
/// the same grade throughout.
std::optional<double> quadratic_kappa(std::span<const int> a, std::span<const int> b, int least, int most);
/// Spearman's rank correlation, ties by mean rank; nothing where a side does not vary.
std::optional<double> spearman(std::span<const double> a, std::span<const double> b);

}  // namespace chaski
