// Which codes and scales lose least: for sixteen sub-blocks at a time, one in each lane, so that no sum
// crosses lanes. Scales that fit the numbers best are found by trying several and fitting each to its codes
// by weighted least squares; then they are rounded to what the block can hold, and the codes follow the
// rounded ones.
#pragma once

#include "tensor/dtype.h"
#include "tensor/lanes.h"

namespace chaski {
namespace {

/// Sixteen sub-blocks of `kSub` numbers and the weight of each number's error.
template <int kSub>
struct SubBlocks {
  F32s x[kSub], w[kSub];
  F32s sum_w, sum_wx;

  /// `values` is [16, kSub].
  explicit SubBlocks(const float* values) {
    float turned[kSub][kLanes];
    for (int lane = 0; lane < kLanes; ++lane) {
      for (int i = 0; i < kSub; ++i) turned[i][lane] = values[lane * kSub + i];
    }
    std::memcpy(x, turned, sizeof x);
  }

  /// An error weighs the root mean square of its sub-block plus its number's magnitude.
  void weigh_by_magnitude() {
    F32s squares = all(0);
    for (const F32s& each : x) squares += each * each;
    const F32s typical = square_root(squares * (1.0f / kSub));
    for (int i = 0; i < kSub; ++i) w[i] = typical + abs(x[i]);
    sum_weights();
  }
  /// An error weighs its number's square.
  void weigh_by_square() {
    for (int i = 0; i < kSub; ++i) w[i] = x[i] * x[i];
    sum_weights();
  }

 private:
  void sum_weights() {
    sum_w = sum_wx = all(0);
    for (int i = 0; i < kSub; ++i) {
      sum_w += w[i];
      sum_wx += w[i] * x[i];
    }
  }
};

/// Per lane the largest of each `kGroup` neighbouring lanes' numbers; `magnitude` compares without the sign
/// and keeps it. Numbers that are not finite count as zero.
template <int kGroup>
F32s largest_of_group(F32s a, bool magnitude) {
  float each[kLanes];
  store(a, each);
  for (int first = 0; first < kLanes; first += kGroup) {
    float largest = 0;
    for (int i = first; i < first + kGroup; ++i) {
      const bool is_larger =
          magnitude ? __builtin_fabsf(each[i]) > __builtin_fabsf(largest) : each[i] > largest;
      if (is_larger && __builtin_fabsf(each[i]) <= 3e38f) largest = each[i];
    }
    for (int i = first; i < first + kGroup; ++i) each[i] = largest;
  }
  return load(each);
}

/// As f16 holds them; NaN for every NaN.
inline F32s rounded_to_f16(F32s a) {
  float each[kLanes];
  store(a, each);
  for (float& x : each) x = f16_to_f32(f32_to_f16(x));
  return load(each);
}

/// What sixteen sub-blocks become. A number is scale * sub_scale * code - minimum * sub_minimum.
template <int kSub>
struct Fit {
  F32s scale, minimum;          // of the block, the same in all its lanes
  F32s sub_scale, sub_minimum;  // integers
  F32s codes[kSub];
};

// ---- with a minimum: codes 0 to kMost

/// The line from codes to numbers that fits best, by the sums of one choice of codes.
struct Line {
  F32s step, low, gain;  // gain: how much of the weighted squares the line explains
};

template <int kSub, int kMost>
CHASKI_INLINE Line fit_line(const SubBlocks<kSub>& blocks, F32s inverse, F32s low) {
  F32s sum_l = all(0), sum_ll = all(0), sum_lx = all(0);
  for (int i = 0; i < kSub; ++i) {
    const F32s code = round_within((blocks.x[i] - low) * inverse, 0, kMost);
    const F32s weighted = blocks.w[i] * code;
    sum_l += weighted;
    sum_ll += weighted * code;
    sum_lx += weighted * blocks.x[i];
  }
  const F32s unit = inverse_or_zero(blocks.sum_w * sum_ll - sum_l * sum_l);
  Line line;
  line.step = (blocks.sum_w * sum_lx - blocks.sum_wx * sum_l) * unit;
  line.low = (sum_ll * blocks.sum_wx - sum_l * sum_lx) * unit;
  // The format has no positive lows: then the line goes through zero.
  line.step = if_less(all(0), line.low, sum_lx * inverse_or_zero(sum_ll), line.step);
  line.low = min(line.low, all(0));
  line.gain = line.step * sum_lx + line.low * blocks.sum_wx;
  return line;
}

template <int kSub, int kMost>
Line best_line(const SubBlocks<kSub>& blocks, int n_tries, float first, float by, int n_refits) {
  F32s low = all(0), high = blocks.x[0];
  for (const F32s& x : blocks.x) {
    low = min(x, low);
    high = max(x, high);
  }
  const F32s unit = inverse_or_zero(high - low);
  Line best{all(0), low, all(0)};
  const auto keep_better = [&best](const Line& line) {
    best.step = if_less(best.gain, line.gain, line.step, best.step);
    best.low = if_less(best.gain, line.gain, line.low, best.low);
    best.gain = max(line.gain, best.gain);
  };
  for (int t = 0; t < n_tries; ++t) {
    const float levels = static_cast<float>(kMost) + first + by * static_cast<float>(t);
    keep_better(fit_line<kSub, kMost>(blocks, unit * levels, low));
  }
  for (int t = 0; t < n_refits; ++t) {
    keep_better(fit_line<kSub, kMost>(blocks, inverse_or_zero(best.step), best.low));
  }
  return best;
}

/// `kGroup` sub-blocks make a block; sub-scales and sub-minima are integers up to `most_scale`.
template <int kSub, int kMost, int kGroup>
void fit_with_minima(const SubBlocks<kSub>& blocks, const Line& line, float most_scale, Fit<kSub>& fit) {
  fit.scale = rounded_to_f16(largest_of_group<kGroup>(line.step, false) * (1 / most_scale));
  fit.minimum = rounded_to_f16(largest_of_group<kGroup>(all(0) - line.low, false) * (1 / most_scale));
  const F32s per_scale = inverse_or_zero(fit.scale), per_minimum = inverse_or_zero(fit.minimum);
  const F32s per_weight = inverse_or_zero(blocks.sum_w);
  const F32s nearest = round_within(line.step * per_scale, 0, most_scale);
  fit.sub_scale = nearest;
  fit.sub_minimum = round_within((all(0) - line.low) * per_minimum, 0, most_scale);
  F32s least = all(__builtin_inff());
  for (int off = -1; off <= 1; ++off) {
    const F32s sub_scale = round_within(nearest + static_cast<float>(off), 0, most_scale);
    const F32s step = fit.scale * sub_scale;
    const F32s inverse = inverse_or_zero(step);
    F32s sum_l = all(0);
    for (int i = 0; i < kSub; ++i) {
      sum_l += blocks.w[i] * round_within((blocks.x[i] - line.low) * inverse, 0, kMost);
    }
    const F32s wanted = (step * sum_l - blocks.sum_wx) * per_weight;
    const F32s sub_minimum = round_within(wanted * per_minimum, 0, most_scale);
    const F32s low = fit.minimum * sub_minimum;
    F32s loss = all(0);
    for (int i = 0; i < kSub; ++i) {
      const F32s raised = blocks.x[i] + low;
      const F32s miss = step * round_within(raised * inverse, 0, kMost) - raised;
      loss += blocks.w[i] * miss * miss;
    }
    fit.sub_scale = if_less(loss, least, sub_scale, fit.sub_scale);
    fit.sub_minimum = if_less(loss, least, sub_minimum, fit.sub_minimum);
    least = min(loss, least);
  }
  const F32s inverse = inverse_or_zero(fit.scale * fit.sub_scale), low = fit.minimum * fit.sub_minimum;
  for (int i = 0; i < kSub; ++i) fit.codes[i] = round_within((blocks.x[i] + low) * inverse, 0, kMost);
}

// ---- without: values of a grid around zero

/// The integers -kHalf to kHalf - 1.
template <int kHalf>
struct EvenGrid {
  static constexpr float kFirst = -kHalf;
  static CHASKI_INLINE F32s nearest(F32s a) { return round_within(a, -kHalf, kHalf - 1); }
  static CHASKI_INLINE F32s code(F32s a) { return nearest(a) + static_cast<float>(kHalf); }
};

struct Iq4Grid {
  static constexpr float kFirst = -127;
  static CHASKI_INLINE F32s nearest(F32s a) {
    return climb(a, kIq4Values[0],
                 [](int k) { return static_cast<float>(kIq4Values[k] - kIq4Values[k - 1]); });
  }
  static CHASKI_INLINE F32s code(F32s a) {
    return climb(a, 0, [](int) { return 1.0f; });
  }

 private:
  /// `bottom`, and the rise of every step between neighbours of kIq4Values that `a` is above.
  template <class Rise>
  static CHASKI_INLINE F32s climb(F32s a, float bottom, Rise rise) {
    for (auto& piece : a.piece) {
      F32s::Register sum = bottom - F32s::Register{};
      for (int k = 1; k < 16; ++k) {
        const float middle = 0.5f * static_cast<float>(kIq4Values[k - 1] + kIq4Values[k]);
        sum += piece > middle ? rise(k) - F32s::Register{} : F32s::Register{};
      }
      piece = sum;
    }
    return a;
  }
};

struct Step {
  F32s step, gain;
};

template <class Grid, int kSub>
CHASKI_INLINE Step fit_step(const SubBlocks<kSub>& blocks, F32s inverse) {
  F32s sum_ll = all(0), sum_lx = all(0);
  for (int i = 0; i < kSub; ++i) {
    const F32s code = Grid::nearest(blocks.x[i] * inverse);
    const F32s weighted = blocks.w[i] * code;
    sum_ll += weighted * code;
    sum_lx += weighted * blocks.x[i];
  }
  const F32s step = sum_lx * inverse_or_zero(sum_ll);
  return {step, step * sum_lx};
}

/// Tries the inverse scales that put the number of largest magnitude at kFirst + first + by * t, t < n_tries.
template <class Grid, int kSub>
F32s best_step(const SubBlocks<kSub>& blocks, int n_tries, float first, float by, int n_refits) {
  F32s low = all(0), high = all(0);
  for (const F32s& x : blocks.x) {
    low = min(x, low);
    high = max(x, high);
  }
  const F32s unit = inverse_or_zero(if_less(high, all(0) - low, low, high));
  Step best{all(0), all(0)};
  const auto keep_better = [&best](const Step& step) {
    best.step = if_less(best.gain, step.gain, step.step, best.step);
    best.gain = max(step.gain, best.gain);
  };
  for (int t = 0; t < n_tries; ++t) {
    keep_better(fit_step<Grid>(blocks, unit * (Grid::kFirst + first + by * static_cast<float>(t))));
  }
  for (int t = 0; t < n_refits; ++t) keep_better(fit_step<Grid>(blocks, inverse_or_zero(best.step)));
  return best.step;
}

/// `kGroup` sub-blocks make a block; sub-scales are integers from -half_scale to half_scale - 1.
template <class Grid, int kSub, int kGroup>
void fit_symmetric(const SubBlocks<kSub>& blocks, F32s steps, float half_scale, Fit<kSub>& fit) {
  fit.scale = rounded_to_f16(largest_of_group<kGroup>(steps, true) * (-1 / half_scale));
  const F32s nearest = round_within(steps * inverse_or_zero(fit.scale), -half_scale, half_scale - 1);
  fit.sub_scale = nearest;
  F32s least = all(__builtin_inff());
  for (int off = -1; off <= 1; ++off) {
    const F32s sub_scale = round_within(nearest + static_cast<float>(off), -half_scale, half_scale - 1);
    const F32s step = fit.scale * sub_scale;
    const F32s inverse = inverse_or_zero(step);
    F32s loss = all(0);
    for (int i = 0; i < kSub; ++i) {
      const F32s miss = step * Grid::nearest(blocks.x[i] * inverse) - blocks.x[i];
      loss += blocks.w[i] * miss * miss;
    }
    fit.sub_scale = if_less(loss, least, sub_scale, fit.sub_scale);
    least = min(loss, least);
  }
  const F32s inverse = inverse_or_zero(fit.scale * fit.sub_scale);
  for (int i = 0; i < kSub; ++i) fit.codes[i] = Grid::code(blocks.x[i] * inverse);
}

}  // namespace
}  // namespace chaski
