#!/usr/bin/env python3
"""chaski's statistics against numpy and scipy, and against their own promises on simulated data.

    statistics_parity.py --statistics-lines build/statistics_lines [--n 1000] [--seed 0]

Summaries, exact permutation tests, kappa and rank correlation must be equal but for rounding. What is drawn at random
(bootstrap intervals, tests of many pairs) must lie where scipy's own draws say, within five standard errors of both.
Then `n` sets are simulated from known distributions: how often the interval holds the median that it is of, and how
often the paired test calls a difference where there is none. Prints those figures; exit status 1 on a difference.
"""
import argparse
import itertools
import json
import math
import subprocess
import sys

import numpy as np
from scipy import stats

N_RESAMPLES = 9999
FIVE_SIGMA = 5 * math.sqrt(2 * 0.025 * 0.975 / N_RESAMPLES)  # of a 2.5 % point's share, both sides drawn


class Checks:
    """Counts what was compared; keeps what differed."""

    def __init__(self):
        self.n = 0
        self.differences = []

    def that(self, holds, *what):
        self.n += 1
        if not holds:
            self.differences.append(" ".join(str(part) for part in what))

    def equal(self, ours, theirs, *what):
        same = ours is None and theirs is None
        if ours is not None and theirs is not None:
            same = math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12)
        self.that(same, *what, "ours", ours, "theirs", theirs)


def ask(program, cases):
    """Our answers to all cases, in order."""
    text = "".join(json.dumps(case) + "\n" for case in cases)
    done = subprocess.run([program], input=text, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def random_samples(rng, n):
    """Of one of the shapes that timings and scores have."""
    kind = rng.integers(0, 5)
    if kind == 0:
        return rng.normal(100, 15, n)
    if kind == 1:
        return rng.lognormal(0, 1, n)
    if kind == 2:
        return rng.integers(1, 6, n).astype(float)  # many ties
    if kind == 3:
        return np.full(n, 3.25)
    return rng.normal(0, 1e-9, n) + 1e6  # small differences of large numbers


def check_summaries(program, rng, n, checks):
    sets = [random_samples(rng, int(rng.integers(1, 200 if i % 50 == 0 else 40))) for i in range(n)]
    for samples, ours in zip(sets, ask(program, [{"op": "summarize", "samples": s.tolist()} for s in sets])):
        theirs = {"mean": samples.mean(), "std": samples.std(ddof=1) if len(samples) > 1 else 0.0,
                  "median": np.median(samples), "p90": np.percentile(samples, 90), "p95": np.percentile(samples, 95),
                  "p99": np.percentile(samples, 99), "min": samples.min(), "max": samples.max()}
        for key, value in theirs.items():
            tolerance = 1e-9 * max(1.0, abs(samples).max()) if key == "std" else 0
            checks.that(math.isclose(ours[key], value, rel_tol=1e-9, abs_tol=max(tolerance, 1e-12)), key, samples[:5],
                        ours[key], value)
        checks.that((ours["ci95"] is None) == (len(samples) < 6), "interval of", len(samples))


def check_ends(ours, drawn, checks, what):
    """Each end between the points of scipy's draws that lie five standard errors to both sides."""
    for end, share in zip(ours, (0.025, 0.975)):
        low, high = np.quantile(drawn, [max(0.0, share - FIVE_SIGMA), min(1.0, share + FIVE_SIGMA)])
        slack = 1e-9 * max(1.0, abs(high))
        checks.that(low - slack <= end <= high + slack, what, share, "ours", end, "theirs", low, high)


def check_intervals(program, rng, n, checks):
    sets = [random_samples(rng, int(rng.integers(6, 60))) for _ in range(n)]
    sets = [s for s in sets if s.min() < s.max()]
    medians = ask(program, [{"op": "summarize", "samples": s.tolist()} for s in sets])
    means = ask(program, [{"op": "bootstrap_mean", "samples": s.tolist(), "seed": 7} for s in sets])
    for samples, median, mean in zip(sets, medians, means):
        for ours, statistic in ((median["ci95"], np.median), (mean, np.mean)):
            result = stats.bootstrap((samples,), statistic, method="percentile", n_resamples=N_RESAMPLES, rng=rng)
            check_ends(ours, result.bootstrap_distribution, checks, statistic.__name__)


def mean_difference(a, b, axis=-1):
    return np.mean(b, axis=axis) - np.mean(a, axis=axis)


def distance(a, b, axis=-1):
    return abs(mean_difference(a, b, axis))


def by_all_labellings(a, b):
    """The share of ways to choose who is b whose means are as far apart."""
    pool = np.concatenate([a, b])
    observed = abs(b.mean() - a.mean())
    far = total = 0
    for chosen in itertools.combinations(range(len(pool)), len(b)):
        mask = np.zeros(len(pool), bool)
        mask[list(chosen)] = True
        total += 1
        far += abs(pool[mask].mean() - pool[~mask].mean()) >= observed - 1e-9
    return far / total


def check_tests(program, rng, n, checks):
    def pair(n_a, n_b):
        if rng.integers(0, 2):
            return rng.integers(1, 6, n_a).astype(float), rng.integers(1, 6, n_b).astype(float)
        return rng.normal(0, 1, n_a), rng.normal(0.5, 1, n_b)

    small = [pair(k, k) for k in rng.integers(2, 11, n)]
    answers = ask(program, [{"op": "paired", "a": a.tolist(), "b": b.tolist()} for a, b in small])
    for (a, b), ours in zip(small, answers):
        theirs = stats.permutation_test((a, b), mean_difference, permutation_type="samples", n_resamples=np.inf)
        checks.equal(ours["p"], min(1.0, theirs.pvalue), "paired", a, b)
        checks.equal(ours["difference"], theirs.statistic, "paired difference", a, b)
    small = [pair(int(rng.integers(1, 6)), int(rng.integers(1, 6))) for _ in range(n)]
    answers = ask(program, [{"op": "unpaired", "a": a.tolist(), "b": b.tolist()} for a, b in small])
    for (a, b), ours in zip(small, answers):
        checks.equal(ours["p"], by_all_labellings(a, b), "unpaired", a, b)
    for op, kind in (("paired", "samples"), ("unpaired", "independent")):
        large = [pair(40, 40) for _ in range(max(3, n // 20))]
        answers = ask(program, [{"op": op, "a": a.tolist(), "b": b.tolist(), "seed": 3} for a, b in large])
        for (a, b), ours in zip(large, answers):
            theirs = stats.permutation_test((a, b), distance, permutation_type=kind, n_resamples=N_RESAMPLES,
                                            alternative="greater", rng=rng).pvalue
            error = 5 * math.sqrt(2 * max(theirs * (1 - theirs), 1 / N_RESAMPLES) / N_RESAMPLES)
            checks.that(abs(ours["p"] - theirs) <= error, op, "ours", ours["p"], "theirs", theirs)


def kappa_of(a, b, grades):
    """Cohen's kappa with quadratic weights, by its matrices."""
    observed = np.zeros((len(grades), len(grades)))
    for x, y in zip(a, b):
        observed[grades.index(x), grades.index(y)] += 1
    expected = np.outer(observed.sum(1), observed.sum(0)) / len(a)
    weights = np.subtract.outer(np.arange(len(grades)), np.arange(len(grades))) ** 2 / (len(grades) - 1) ** 2
    below = (weights * expected).sum()
    return None if below == 0 else 1 - (weights * observed).sum() / below


def check_agreement(program, rng, n, checks):
    pairs = []
    for _ in range(n):
        k = int(rng.integers(1, 60))
        a = rng.integers(1, 6, k)
        b = np.clip(a + rng.integers(-1, 2, k), 1, 5) if rng.integers(0, 2) else rng.integers(1, 6, k)
        pairs.append((a.tolist(), b.tolist()))
    pairs.append(([3, 3], [3, 3]))
    answers = ask(program, [{"op": "kappa", "a": a, "b": b, "least": 1, "most": 5} for a, b in pairs])
    for (a, b), ours in zip(pairs, answers):
        checks.equal(ours, kappa_of(a, b, [1, 2, 3, 4, 5]), "kappa", a, b)
    answers = ask(program, [{"op": "spearman", "a": a, "b": b} for a, b in pairs])
    for (a, b), ours in zip(pairs, answers):
        varies = len(set(a)) > 1 and len(set(b)) > 1
        checks.equal(ours, float(stats.spearmanr(a, b).statistic) if varies else None, "spearman", a, b)


def ranks_of_interval(n):
    """Of an odd number: the ranks of the bootstrap's 2.5 and 97.5 % points, whose distribution is binomial."""
    middle = (n + 1) // 2
    share = [1 - stats.binom.cdf(middle - 1, n, i / n) for i in range(n + 1)]
    return [next(i for i in range(n + 1) if share[i] >= point) for point in (0.025, 0.975)]


def check_coverage(program, rng, n, checks):
    """How often the interval holds the median of the distribution. An interval between two ranks of an odd number
    does so with a probability that no distribution changes."""
    for size in (6, 7, 11, 20, 51):
        sets = [rng.lognormal(0, 1, size) for _ in range(n)]
        answers = ask(program, [{"op": "summarize", "samples": s.tolist()} for s in sets])
        covered = np.mean([a["ci95"][0] <= 1 <= a["ci95"][1] for a in answers])
        print(f"coverage of the 95 % interval of the median, {size} samples: {covered:.3f}")
        error = 4 * math.sqrt(0.05 / n)
        if size % 2 == 1:
            low, high = ranks_of_interval(size)
            promised = stats.binom.cdf(high - 1, size, 0.5) - stats.binom.cdf(low - 1, size, 0.5)
            checks.that(abs(covered - promised) <= error, "coverage", size, covered, "by the binomial", promised)
        else:
            checks.that(0.85 - error <= covered, "coverage", size, covered)


def check_false_positives(program, rng, n, checks):
    """Pairs without a difference: how often p is at most 0.05. And with one: that it is found."""
    for size in (5, 6, 10, 30):
        for name, draw in (("normal", lambda k: rng.normal(0, 1, k)),
                           ("grades", lambda k: rng.integers(1, 6, k).astype(float))):
            pairs = [(draw(size), draw(size)) for _ in range(n)]
            answers = ask(program, [{"op": "paired", "a": a.tolist(), "b": b.tolist()} for a, b in pairs])
            p_values = np.array([a["p"] for a in answers])
            rate = np.mean(p_values <= 0.05)
            print(f"paired test without a difference, {size} pairs, {name}: p <= 0.05 in {rate:.3f}")
            checks.that(rate <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / n), "false positives", size, name, rate)
            if size == 5:
                checks.that(p_values.min() >= 1 / 16, "five pairs gave p =", p_values.min())
    pairs = [(rng.normal(0, 1, 30), rng.normal(1, 1, 30)) for _ in range(n // 4)]
    answers = ask(program, [{"op": "paired", "a": a.tolist(), "b": b.tolist()} for a, b in pairs])
    found = np.mean([a["p"] <= 0.05 for a in answers])
    held = np.mean([a["ci95"][0] <= 1 <= a["ci95"][1] for a in answers])
    print(f"paired test of a difference of one deviation, 30 pairs: found in {found:.3f}; interval holds it in {held:.3f}")
    checks.that(found > 0.9, "power", found)
    checks.that(held > 0.88, "coverage of the difference", held)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--statistics-lines", required=True)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    checks = Checks()
    check_summaries(args.statistics_lines, rng, args.n, checks)
    check_intervals(args.statistics_lines, rng, max(10, args.n // 20), checks)
    check_tests(args.statistics_lines, rng, max(20, args.n // 10), checks)
    check_agreement(args.statistics_lines, rng, args.n, checks)
    check_coverage(args.statistics_lines, rng, args.n, checks)
    check_false_positives(args.statistics_lines, rng, args.n, checks)
    for difference in checks.differences[:20]:
        print("DIFFERS:", difference)
    print(f"{checks.n} comparisons, {len(checks.differences)} differ")
    return 1 if checks.differences else 0


if __name__ == "__main__":
    sys.exit(main())
