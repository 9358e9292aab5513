#include "report/statistics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/rng.h"

namespace chaski {
namespace {

/// Below so many samples or pairs an interval says little, and there is none.
constexpr size_t kLeastForInterval = 6;
constexpr size_t kMostGaps = 20'000;  // that a record keeps
/// Sign flips or relabellings up to so many are all looked at; of more, kSampled are drawn.
constexpr size_t kMostPairsFlipped = 20;
constexpr double kMostLabellings = 1 << 20;
constexpr int64_t kSampled = 9999;
/// Never fewer than so many are drawn, and else so many that they hold this many values together.
constexpr int64_t kLeastSampled = 999;
constexpr int64_t kMostResampled = 20'000'000;

double sum_of(std::span<const double> values) { return std::accumulate(values.begin(), values.end(), 0.0); }
double mean_of(std::span<const double> values) { return sum_of(values) / static_cast<double>(values.size()); }

/// Random words that are a function of seed and stream.
class RandomWords {
 public:
  RandomWords(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}

  uint32_t next() {
    if (n_used_ == words_.size()) {
      words_ =
          philox({block_++, 0, static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)}, seed_);
      n_used_ = 0;
    }
    return words_[n_used_++];
  }
  /// 0 … n − 1, each as likely to one part in 2^32 / n.
  size_t below(size_t n) { return static_cast<size_t>((uint64_t{next()} * n) >> 32); }

 private:
  uint64_t seed_, stream_;
  uint32_t block_ = 0;
  std::array<uint32_t, 4> words_{};
  size_t n_used_ = words_.size();
};

void resample(std::span<const double> samples, RandomWords& words, std::vector<double>& drawn) {
  for (double& value : drawn) value = samples[words.below(samples.size())];
}

/// The middle `confidence` of the values.
Interval middle_of(std::vector<double> values, double confidence) {
  std::sort(values.begin(), values.end());
  const double tail = (1 - confidence) / 2;
  return {percentile(values, tail), percentile(values, 1 - tail)};
}

/// The median of `values`, whose order is lost.
double take_median(std::vector<double>& values) {
  const auto upper = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), upper, values.end());
  if (values.size() % 2 == 1) return *upper;
  return std::midpoint(*std::max_element(values.begin(), upper), *upper);
}

Interval median_interval(std::span<const double> ascending) {
  std::vector<double> values;
  const auto median = [&values](std::span<const double> drawn) {
    values.assign(drawn.begin(), drawn.end());
    return take_median(values);
  };
  return bootstrap_interval(ascending, median, 0.95, resamples_for(ascending.size()));
}

/// How many of some arrangements are as far out as the one that was observed, sums compared up to rounding.
struct Count {
  double threshold = 0;
  int64_t n = 0, n_as_far = 0;

  void add(double statistic) {
    ++n;
    if (std::abs(statistic) >= threshold) ++n_as_far;
  }
  double share() const { return static_cast<double>(n_as_far) / static_cast<double>(n); }
  /// Of arrangements that were drawn: the observed one is one of them.
  double share_with_observed() const {
    return static_cast<double>(n_as_far + 1) / static_cast<double>(n + 1);
  }
};

/// A threshold that what equals `observed` but for rounding reaches; `scale` is of the values summed.
double threshold_of(double observed, double scale) { return std::abs(observed) - 1e-12 * scale; }

/// All signs of the differences from `at` on; `sum` is of those before.
void flip_all(std::span<const double> differences, size_t at, double sum, Count& count) {
  if (at == differences.size()) return count.add(sum);
  flip_all(differences, at + 1, sum + differences[at], count);
  flip_all(differences, at + 1, sum - differences[at], count);
}

/// The share of all signs of `n` differences of one size whose sum is as far out as where `n_up` are
/// positive: both tails of a binomial distribution.
double sign_test_p(size_t n, size_t n_up) {
  const auto all = static_cast<double>(n);
  const double log_ways = std::lgamma(all + 1) - all * std::log(2.0);
  double tail = 0;
  for (size_t k = 0; k <= std::min(n_up, n - n_up); ++k) {
    const auto up = static_cast<double>(k);
    tail += std::exp(log_ways - std::lgamma(up + 1) - std::lgamma(all - up + 1));
  }
  return std::min(1.0, 2 * tail);
}

double sign_flip_p(std::vector<double> differences, uint64_t seed) {
  std::erase(differences, 0.0);
  double scale = 0;
  for (const double d : differences) scale += std::abs(d);
  Count count{threshold_of(sum_of(differences), scale)};
  if (differences.size() <= kMostPairsFlipped) {
    flip_all(differences, 0, 0, count);
    return count.share();
  }
  const auto is_of_one_size = [size = std::abs(differences[0])](double d) { return std::abs(d) == size; };
  if (std::all_of(differences.begin(), differences.end(), is_of_one_size)) {
    const auto n_up = std::count_if(differences.begin(), differences.end(), [](double d) { return d > 0; });
    return sign_test_p(differences.size(), static_cast<size_t>(n_up));
  }
  for (int64_t i = 0; i < resamples_for(differences.size()); ++i) {
    RandomWords words(seed, static_cast<uint64_t>(i));
    double sum = 0;
    uint32_t signs = 0;
    for (size_t k = 0; k < differences.size(); ++k) {
      if (k % 32 == 0) signs = words.next();
      sum += (signs >> (k % 32) & 1) != 0 ? differences[k] : -differences[k];
    }
    count.add(sum);
  }
  return count.share_with_observed();
}

/// What the two unpaired sets are together, and the statistic of one labelling.
struct Pool {
  std::vector<double> values;
  size_t n_b = 0;
  double total = 0;

  /// The difference of means where `sum_b` is the sum of those labelled b.
  double difference(double sum_b) const {
    return sum_b / static_cast<double>(n_b) - (total - sum_b) / static_cast<double>(values.size() - n_b);
  }
};

/// All ways to label `n_left` more of the values from `at` on as b.
void label_all(const Pool& pool, size_t at, size_t n_left, double sum_b, Count& count) {
  if (n_left == 0) return count.add(pool.difference(sum_b));
  if (pool.values.size() - at < n_left) return;
  label_all(pool, at + 1, n_left - 1, sum_b + pool.values[at], count);
  label_all(pool, at + 1, n_left, sum_b, count);
}

double relabelling_p(Pool pool, double observed, uint64_t seed) {
  double scale = 0;
  for (const double value : pool.values) scale += std::abs(value);
  Count count{threshold_of(observed, scale)};
  double n_labellings = 1;
  for (size_t i = 1; i <= pool.n_b; ++i) {
    n_labellings *= static_cast<double>(pool.values.size() - pool.n_b + i) / static_cast<double>(i);
  }
  if (n_labellings <= kMostLabellings) {
    label_all(pool, 0, pool.n_b, 0, count);
    return count.share();
  }
  for (int64_t i = 0; i < resamples_for(pool.n_b); ++i) {
    RandomWords words(seed, static_cast<uint64_t>(i));
    double sum_b = 0;
    for (size_t k = 0; k < pool.n_b; ++k) {  // the first n_b of a shuffle
      std::swap(pool.values[k], pool.values[k + words.below(pool.values.size() - k)]);
      sum_b += pool.values[k];
    }
    count.add(pool.difference(sum_b));
  }
  return count.share_with_observed();
}

/// Ranks from 1, those of equal values their mean.
std::vector<double> ranks_of(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t i, size_t j) { return values[i] < values[j]; });
  std::vector<double> ranks(values.size());
  for (size_t first = 0, last = 0; first < order.size(); first = last) {
    while (last < order.size() && values[order[last]] == values[order[first]]) ++last;
    const double rank = static_cast<double>(first + 1 + last) / 2;
    for (size_t i = first; i < last; ++i) ranks[order[i]] = rank;
  }
  return ranks;
}

/// All of a summary but its interval.
Metric figures_of(std::vector<double> samples) {
  CHECK(!samples.empty(), "a metric without samples");
  std::vector<double> ascending = samples;
  std::sort(ascending.begin(), ascending.end());
  Metric metric;
  const auto n = static_cast<double>(samples.size());
  metric.mean = mean_of(samples);
  double squares = 0;
  for (const double sample : samples) squares += (sample - metric.mean) * (sample - metric.mean);
  metric.std = samples.size() > 1 ? std::sqrt(squares / (n - 1)) : 0;
  metric.median = percentile(ascending, 0.5);
  metric.p90 = percentile(ascending, 0.9);
  metric.p95 = percentile(ascending, 0.95);
  metric.p99 = percentile(ascending, 0.99);
  metric.range = {ascending.front(), ascending.back()};
  metric.samples = std::move(samples);
  return metric;
}

}  // namespace

int64_t resamples_for(size_t n) {
  const auto most = static_cast<int64_t>(std::clamp<size_t>(n, 1, size_t{1} << 40));
  return std::clamp(kMostResampled / most, kLeastSampled, kSampled);
}

double percentile(std::span<const double> ascending, double p) {
  const double place = p * static_cast<double>(ascending.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, ascending.size() - 1);
  return std::lerp(ascending[below], ascending[above], place - static_cast<double>(below));
}

Metric summarize(std::vector<double> samples) {
  Metric metric = figures_of(std::move(samples));
  if (metric.samples.size() < kLeastForInterval) return metric;
  std::vector<double> ascending = metric.samples;
  std::sort(ascending.begin(), ascending.end());
  metric.ci95 = median_interval(ascending);
  return metric;
}

Metric summarize_gaps(std::vector<double> gaps) {
  Metric metric = figures_of(std::move(gaps));
  const size_t step = (metric.samples.size() + kMostGaps - 1) / kMostGaps;
  if (step <= 1) return metric;
  std::vector<double> kept;
  for (size_t i = 0; i < metric.samples.size(); i += step) kept.push_back(metric.samples[i]);
  metric.samples = std::move(kept);
  return metric;
}

Interval bootstrap_interval(std::span<const double> samples,
                            const std::function<double(std::span<const double>)>& statistic,
                            double confidence, int64_t n_resamples, uint64_t seed) {
  CHECK(!samples.empty() && n_resamples > 0, "a bootstrap of {} samples, {} times", samples.size(),
        n_resamples);
  std::vector<double> drawn(samples.size());
  std::vector<double> statistics;
  statistics.reserve(static_cast<size_t>(n_resamples));
  for (int64_t i = 0; i < n_resamples; ++i) {
    RandomWords words(seed, static_cast<uint64_t>(i));
    resample(samples, words, drawn);
    statistics.push_back(statistic(drawn));
  }
  return middle_of(std::move(statistics), confidence);
}

PairedTest paired_permutation_test(std::span<const double> a, std::span<const double> b, uint64_t seed) {
  CHECK(a.size() == b.size(), "{} values are paired with {}", a.size(), b.size());
  PairedTest test;
  test.n = static_cast<int64_t>(a.size());
  if (a.empty()) return test;
  std::vector<double> differences(a.size());
  for (size_t i = 0; i < a.size(); ++i) differences[i] = b[i] - a[i];
  test.mean_difference = mean_of(differences);
  if (a.size() >= kLeastForInterval)
    test.ci95 = bootstrap_interval(differences, mean_of, 0.95, resamples_for(a.size()), seed);
  test.p_value = sign_flip_p(std::move(differences), seed);
  return test;
}

PairedTest permutation_test(std::span<const double> a, std::span<const double> b, uint64_t seed) {
  PairedTest test;
  test.n = static_cast<int64_t>(a.size() + b.size());
  if (a.empty() || b.empty()) return test;
  test.mean_difference = mean_of(b) - mean_of(a);
  if (std::min(a.size(), b.size()) >= kLeastForInterval) {
    std::vector<double> drawn_a(a.size());
    std::vector<double> drawn_b(b.size());
    std::vector<double> differences;
    for (int64_t i = 0; i < resamples_for(a.size() + b.size()); ++i) {
      RandomWords words(seed, static_cast<uint64_t>(i));
      resample(a, words, drawn_a);
      resample(b, words, drawn_b);
      differences.push_back(mean_of(drawn_b) - mean_of(drawn_a));
    }
    test.ci95 = middle_of(std::move(differences), 0.95);
  }
  Pool pool{{a.begin(), a.end()}, b.size(), sum_of(a) + sum_of(b)};
  pool.values.insert(pool.values.end(), b.begin(), b.end());
  test.p_value = relabelling_p(std::move(pool), test.mean_difference, seed);
  return test;
}

std::optional<double> quadratic_kappa(std::span<const int> a, std::span<const int> b, int least, int most) {
  CHECK(a.size() == b.size(), "{} grades beside {}", a.size(), b.size());
  const auto check_grade = [&](int grade) {
    CHECK(grade >= least && grade <= most, "the grade {} outside {} … {}", grade, least, most);
  };
  double observed = 0;
  double sum_a = 0, sum_b = 0, squares_a = 0, squares_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    check_grade(a[i]);
    check_grade(b[i]);
    const double x = a[i], y = b[i];
    observed += (x - y) * (x - y);
    sum_a += x;
    sum_b += y;
    squares_a += x * x;
    squares_b += y * y;
  }
  const auto n = static_cast<double>(a.size());
  const double expected = squares_a + squares_b - 2 * sum_a * sum_b / n;  // each grade of a with each of b
  if (a.empty() || expected <= 0) return std::nullopt;
  return 1 - observed / expected;
}

std::optional<double> spearman(std::span<const double> a, std::span<const double> b) {
  CHECK(a.size() == b.size(), "{} values beside {}", a.size(), b.size());
  const std::vector<double> ranks_a = ranks_of(a);
  const std::vector<double> ranks_b = ranks_of(b);
  const double middle = static_cast<double>(a.size() + 1) / 2;
  double both = 0, squares_a = 0, squares_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    both += (ranks_a[i] - middle) * (ranks_b[i] - middle);
    squares_a += (ranks_a[i] - middle) * (ranks_a[i] - middle);
    squares_b += (ranks_b[i] - middle) * (ranks_b[i] - middle);
  }
  if (squares_a == 0 || squares_b == 0) return std::nullopt;
  return both / std::sqrt(squares_a * squares_b);
}

}  // namespace chaski
