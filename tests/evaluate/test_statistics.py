"""Statistics against published values, scipy and closed forms."""

import numpy as np
import pytest
from scipy import stats

from worldjepa.evaluate.statistics import (
    bootstrap_mean,
    compare_means,
    compare_success,
    holm,
    mcnemar_exact,
    paired_difference,
    seeds_difference,
    seeds_mean,
    seeds_rate,
    wilson,
)


def table(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Two paired records with the given counts."""
    a = [True] * both + [True] * only_a + [False] * only_b + [False] * neither
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return np.array(a), np.array(b)


@pytest.mark.parametrize(
    ("count", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_the_values_of_newcombe_1998(count: int, n: int, low: float, high: float) -> None:
    found = wilson(count, n)
    assert (found.estimate, found.low, found.high) == pytest.approx((count / n, low, high), abs=5e-5)


def test_wilson_refuses_impossible_counts() -> None:
    for count, n in ((3, 2), (-1, 5), (0, 0)):
        with pytest.raises(ValueError, match="0 <= count <= n"):
            wilson(count, n)


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    # Fagerland, Lydersen and Laake (2014), doi 10.1002/sim.6148: airway responsiveness, complete response.
    [((1, 1, 7, 12), -0.507, -0.026), ((59, 6, 16, 80), -0.1186, -0.0046)],
)
def test_paired_difference_gives_the_published_intervals(counts: tuple, low: float, high: float) -> None:
    found = paired_difference(*table(*counts))
    n = sum(counts)
    assert found.estimate == pytest.approx((counts[1] - counts[2]) / n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-3 if n == 21 else 5e-5)


@pytest.mark.parametrize(("counts", "p_value"), [((1, 1, 7, 12), 18 / 256), ((59, 6, 16, 80), 0.0525)])
def test_mcnemar_gives_the_published_p_values(counts: tuple, p_value: float) -> None:
    assert mcnemar_exact(*table(*counts)) == pytest.approx(p_value, abs=5e-5)


@pytest.mark.parametrize("counts", [(30, 5, 3, 12), (0, 0, 0, 9), (9, 0, 0, 0), (0, 10, 0, 0), (20, 0, 0, 20)])
def test_a_comparison_is_antisymmetric_and_within_range(counts: tuple) -> None:
    a, b = table(*counts)
    there, back = compare_success(a, b), compare_success(b, a)
    assert there.p_value == back.p_value
    assert (there.difference.low, there.difference.high) == pytest.approx((-back.difference.high, -back.difference.low))
    assert -1 <= there.difference.low <= there.difference.estimate <= there.difference.high <= 1


def test_pairing_narrows_the_interval_of_records_that_agree() -> None:
    rng = np.random.default_rng(0)
    a = rng.random(200) < 0.5
    b = np.where(rng.random(200) < 0.05, ~a, a)
    paired, shuffled = paired_difference(a, b), paired_difference(a, rng.permutation(b))
    assert (paired.high - paired.low) < 0.5 * (shuffled.high - shuffled.low)


def test_paired_records_must_be_bool_and_alike() -> None:
    with pytest.raises(ValueError, match="one length"):
        mcnemar_exact([True], [True, False])
    with pytest.raises(ValueError, match="must be bool"):
        paired_difference([0.5, 1.0], [0.0, 1.0])


def test_bootstrap_agrees_with_scipy_and_repeats_itself() -> None:
    values = np.random.default_rng(3).gamma(2.0, size=80)
    found = bootstrap_mean(values)
    assert found == bootstrap_mean(values)
    assert found != bootstrap_mean(values, seed=1)
    peer = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=9999).confidence_interval
    assert (found.low, found.high) == pytest.approx((peer.low, peer.high), abs=0.02)
    assert found.estimate == pytest.approx(values.mean())
    with pytest.raises(ValueError, match="finite"):
        bootstrap_mean([1.0, float("nan")])


def test_paired_means_are_compared_by_wilcoxon() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=40)
    b = a - 0.3 + 0.1 * rng.normal(size=40)
    found = compare_means(a, b)
    assert found.p_value == pytest.approx(stats.wilcoxon(a - b).pvalue)
    assert found.difference.low < 0.3 < found.difference.high
    assert compare_means(a, a).p_value == 1.0


def test_holm_steps_down() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def t_interval(values: np.ndarray) -> tuple[float, float]:
    return stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))


def test_seeds_mean_reduces_to_the_t_intervals_of_its_two_effects() -> None:
    rng = np.random.default_rng(1)
    starts, seeds = rng.normal(size=50), rng.normal(size=4)
    only_starts = seeds_mean(np.tile(starts, (4, 1)))
    assert (only_starts.low, only_starts.high) == pytest.approx(t_interval(starts))
    only_seeds = seeds_mean(np.tile(seeds[:, None], (1, 50)))
    assert (only_seeds.low, only_seeds.high) == pytest.approx(t_interval(seeds))


def test_seeds_difference_reduces_to_the_paired_t_interval() -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(size=30)
    b = a + rng.normal(size=30) * 0.1
    found = seeds_difference(np.tile(a, (3, 1)), np.tile(b, (2, 1)))
    assert (found.low, found.high) == pytest.approx(t_interval(a - b))


def test_intervals_over_seeds_cover_the_truth_where_pooling_does_not() -> None:
    rng = np.random.default_rng(0)
    hits = {"mean": 0, "difference": 0, "pooled": 0}
    runs = 300
    for _ in range(runs):
        # logits: a training seed's quality + a start's difficulty; the mean over both is 1/2 for a and b alike
        difficulty, quality = rng.normal(0, 1, (1, 60)), rng.normal(0, 0.6, (6, 1))
        success = rng.random((6, 60)) < 1 / (1 + np.exp(-(difficulty + quality)))
        a, b = success[:3], success[3:]
        mean, difference, pooled = seeds_rate(a), seeds_difference(a, b), wilson(int(a.sum()), a.size)
        hits["mean"] += mean.low <= 0.5 <= mean.high
        hits["difference"] += difference.low <= 0 <= difference.high
        hits["pooled"] += pooled.low <= 0.5 <= pooled.high
    assert 0.91 < hits["mean"] / runs <= 0.99
    assert 0.91 < hits["difference"] / runs <= 0.99
    assert hits["pooled"] / runs < 0.8


def test_unanimous_seeds_leave_the_doubt_of_the_starts() -> None:
    assert seeds_rate(np.ones((3, 40), dtype=bool)) == wilson(40, 40)
    with pytest.raises(ValueError, match="at least 2"):
        seeds_mean(np.ones((1, 40)))
    with pytest.raises(ValueError, match="same starts"):
        seeds_difference(np.ones((2, 4)), np.ones((2, 5)))
