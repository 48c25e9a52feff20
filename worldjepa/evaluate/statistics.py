"""Intervals and tests for the results of episodes: success rates, paired differences, several training seeds.

Letters: E episodes (the same starts for every policy), S training seeds. Success is bool [E] or [S, E].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """An estimate and its two-sided confidence interval."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """The difference of two policies on the same starts, a minus b."""

    difference: Interval
    p_value: float
    test: str
    """Name of the test behind `p_value`."""


def wilson(count: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion: ``count`` successes of ``n`` trials.

    Raises:
        ValueError: n is not positive, or count is outside 0..n.
    """
    if n < 1 or not 0 <= count <= n:
        raise ValueError(f"wilson needs 0 <= count <= n and n >= 1, got count={count}, n={n}")
    ci = stats.binomtest(int(count), int(n)).proportion_ci(confidence, method="wilson")
    return Interval(count / n, float(ci.low), float(ci.high))


def mcnemar_exact(a: ArrayLike, b: ArrayLike) -> float:
    """Two-sided p value of McNemar's exact conditional test for two bool [E] records of the same starts.

    Only the starts on which the two disagree carry information; without any, p is 1.
    """
    first, second = _paired_bool(a, b)
    only_a, only_b = int(np.sum(first & ~second)), int(np.sum(~first & second))
    if only_a + only_b == 0:
        return 1.0
    return float(stats.binomtest(only_a, only_a + only_b, 0.5).pvalue)


def paired_difference(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> Interval:
    """Newcombe's square-and-add score interval of rate(a) - rate(b) for two bool [E] records of the same starts.

    Method 10 of Newcombe (1998), Statistics in Medicine 17:2635, with its continuity-corrected correlation.
    """
    first, second = _paired_bool(a, b)
    n = len(first)
    both, neither = int(np.sum(first & second)), int(np.sum(~first & ~second))
    only_a, only_b = int(np.sum(first & ~second)), int(np.sum(~first & second))
    one, two = wilson(both + only_a, n, confidence), wilson(both + only_b, n, confidence)
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    excess = both * neither - only_a * only_b
    if excess > 0:
        excess = max(excess - n / 2, 0.0)
    phi = excess / np.sqrt(margins) if margins else 0.0
    one_down, one_up = one.estimate - one.low, one.high - one.estimate
    two_down, two_up = two.estimate - two.low, two.high - two.estimate
    down = np.sqrt(max(one_down**2 - 2 * phi * one_down * two_up + two_up**2, 0.0))
    up = np.sqrt(max(one_up**2 - 2 * phi * one_up * two_down + two_down**2, 0.0))
    difference = (only_a - only_b) / n
    return Interval(difference, max(-1.0, float(difference - down)), min(1.0, float(difference + up)))


def compare_success(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> Comparison:
    """Paired comparison of two success records [E]: Newcombe's interval and McNemar's exact test."""
    return Comparison(paired_difference(a, b, confidence), mcnemar_exact(a, b), "exact McNemar")


def compare_means(a: ArrayLike, b: ArrayLike, confidence: float = 0.95, *, seed: int = 0) -> Comparison:
    """Paired comparison of two numbers per start [E]: bootstrap interval of the mean difference, Wilcoxon's test."""
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"paired numbers must be two arrays of one length, got {first.shape} and {second.shape}")
    delta = first - second
    test: Any = stats.wilcoxon(delta, zero_method="zsplit") if np.any(delta != 0) else None
    p_value = 1.0 if test is None else float(test.pvalue)
    return Comparison(bootstrap_mean(delta, confidence, seed=seed), p_value, "Wilcoxon signed rank")


def bootstrap_mean(values: ArrayLike, confidence: float = 0.95, *, resamples: int = 9999, seed: int = 0) -> Interval:
    """Percentile bootstrap interval of the mean of values [E], resampled with ``seed``.

    Raises:
        ValueError: no values, or values that are not finite.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or not len(data) or not np.isfinite(data).all():
        raise ValueError(f"bootstrap_mean needs a non-empty array of finite numbers, got shape {data.shape}")
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    block = max(1, 2_000_000 // len(data))
    for start in range(0, resamples, block):
        stop = min(start + block, resamples)
        means[start:stop] = data[rng.integers(len(data), size=(stop - start, len(data)))].mean(1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(data.mean()), float(low), float(high))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction of several p values: the chance of any false finding stays at the level."""
    order = np.argsort(p_values)
    corrected, running = np.ones(len(p_values)), 0.0
    for rank, index in enumerate(order):
        running = max(running, (len(p_values) - rank) * p_values[index])
        corrected[index] = min(running, 1.0)
    return corrected.tolist()


def seeds_mean(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Mean of values [S, E] of several training seeds on the same starts, with the interval for new seeds and starts.

    Seeds and starts are crossed random effects, so that the variance of the mean is
    (MS_seed + MS_start - MS_rest) / (S E) of the two-way analysis of variance, with Satterthwaite's degrees of freedom.
    A bootstrap over three seeds would be too narrow: it sees 2/3 of their variance and no t quantile.

    Raises:
        ValueError: fewer than two seeds or starts.
    """
    data = _seed_table(values)
    num_seeds, num_starts = data.shape
    ms_seed, ms_start, ms_rest = _mean_squares(data)
    numerator = ms_seed + ms_start - ms_rest
    if numerator <= max(ms_seed, ms_start) / 2:
        numerator = max(ms_seed, ms_start)
    spread = ms_seed**2 / (num_seeds - 1) + ms_start**2 / (num_starts - 1)
    spread += ms_rest**2 / ((num_seeds - 1) * (num_starts - 1))
    return _t_interval(float(data.mean()), numerator / data.size, numerator**2, spread, confidence)


def seeds_rate(success: ArrayLike, confidence: float = 0.95) -> Interval:
    """`seeds_mean` of bool [S, E], kept within [0, 1]; if all outcomes are the same, Wilson's interval of E starts."""
    data = np.asarray(success)
    if data.dtype != np.bool_:
        raise ValueError(f"success records must be bool, got {data.dtype}")
    if data.all() or not data.any():
        num_starts = _seed_table(data).shape[1]
        return wilson(num_starts if data.all() else 0, num_starts, confidence)
    found = seeds_mean(data, confidence)
    return Interval(found.estimate, max(found.low, 0.0), min(found.high, 1.0))


def seeds_difference(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> Interval:
    """Difference of the means of a [Sa, E] and b [Sb, E], two methods with their own training seeds, the same starts.

    The starts enter as pairs (the variance over starts of the difference of the two methods' means at a start), the
    training seeds as two independent samples.

    Raises:
        ValueError: fewer than two seeds or starts, or different numbers of starts.
    """
    first, second = _seed_table(a), _seed_table(b)
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"both methods must be evaluated on the same starts, got {first.shape[1]}, {second.shape[1]}")
    num_starts = first.shape[1]
    delta = first.mean(0) - second.mean(0)
    of_starts = float(delta.var(ddof=1)) / num_starts
    variance, spread = of_starts, of_starts**2 / (num_starts - 1)
    for data in (first, second):
        ms_seed, _, ms_rest = _mean_squares(data)
        of_seeds = max(ms_seed - ms_rest, 0.0) / data.size
        variance += of_seeds
        spread += of_seeds**2 / (len(data) - 1)
    return _t_interval(float(delta.mean()), variance, variance**2, spread, confidence)


def _paired_bool(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    first, second = np.asarray(a), np.asarray(b)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError(f"paired records must be two arrays of one length, got {first.shape} and {second.shape}")
    if first.dtype != np.bool_ or second.dtype != np.bool_:
        raise ValueError(f"success records must be bool, got {first.dtype} and {second.dtype}")
    return first, second


def _seed_table(values: ArrayLike) -> NDArray[np.float64]:
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 2 or min(data.shape) < 2:
        raise ValueError(f"expected numbers [training seeds, starts], at least 2 of each, got shape {data.shape}")
    return data


def _mean_squares(data: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean squares of seeds, starts and the rest of a crossed table [S, E] without replication."""
    num_seeds, num_starts = data.shape
    of_seeds, of_starts, mean = data.mean(1), data.mean(0), data.mean()
    rest = data - of_seeds[:, None] - of_starts[None] + mean
    ms_seed = num_starts * float(of_seeds.var(ddof=1))
    ms_start = num_seeds * float(of_starts.var(ddof=1))
    return ms_seed, ms_start, float(np.sum(rest**2)) / ((num_seeds - 1) * (num_starts - 1))


def _t_interval(mean: float, variance: float, squared: float, spread: float, confidence: float) -> Interval:
    if variance <= 0 or spread <= 0:
        return Interval(mean, mean, mean)
    freedom: Any = squared / spread
    half = float(stats.t.ppf((1 + confidence) / 2, freedom)) * float(np.sqrt(variance))
    return Interval(mean, mean - half, mean + half)
