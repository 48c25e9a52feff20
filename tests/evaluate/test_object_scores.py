import numpy as np
import pytest
from sklearn.metrics import r2_score

from worldjepa.evaluate.object_scores import accuracy, mean_score, r2

RNG = np.random.default_rng(0)


def test_r2_is_sklearns() -> None:
    truth = RNG.normal(3, [1, 5, 0.2], size=(60, 3))
    predicted = truth + RNG.normal(0, [0.3, 4, 0.5], size=(60, 3))
    found = r2(predicted, truth, np.arange(60) // 4)
    assert found.estimate == pytest.approx(r2_score(truth, predicted))
    assert found.low < found.estimate < found.high


def test_perfect_is_one_and_the_mean_is_zero() -> None:
    truth, group = RNG.normal(size=(40, 2)), np.arange(40) // 2
    perfect = r2(truth.copy(), truth, group)
    assert (perfect.estimate, perfect.low, perfect.high) == (1, 1, 1)
    assert r2(np.broadcast_to(truth.mean(0), truth.shape), truth, group).estimate == pytest.approx(0)


def test_shuffled_predictions_are_no_better_than_the_mean() -> None:
    truth = RNG.normal(size=(500, 2))
    assert r2(RNG.permutation(truth), truth, np.arange(500)).estimate < -0.5


def test_the_interval_of_r2_is_that_of_resampled_objects() -> None:
    """Against a bootstrap written out: objects drawn with replacement, their samples repeated."""
    group = np.repeat(np.arange(12), 5)
    truth = RNG.normal(size=(60, 1)) + RNG.normal(size=12)[group, None]
    predicted = truth + RNG.normal(size=12)[group, None]
    values = []
    for _ in range(2000):
        rows = np.concatenate([np.flatnonzero(group == g) for g in RNG.integers(12, size=12)])
        values.append(r2_score(truth[rows], predicted[rows]))
    found = r2(predicted, truth, group)
    assert [found.low, found.high] == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=0.12)


def test_samples_of_one_object_are_not_counted_as_independent() -> None:
    right = np.repeat(RNG.integers(2, size=20), 50)
    by_object = accuracy(right, np.ones_like(right), np.arange(1000) // 50)
    by_sample = accuracy(right, np.ones_like(right), np.arange(1000))
    assert by_object.estimate == by_sample.estimate == right.mean()
    assert by_object.high - by_object.low > 4 * (by_sample.high - by_sample.low)


def test_scores_are_those_of_their_seed() -> None:
    values = RNG.normal(size=30)
    assert mean_score(values, np.arange(30), 1) == mean_score(values, np.arange(30), 1)
    assert mean_score(values, np.arange(30), 1) != mean_score(values, np.arange(30), 2)


def test_bad_numbers_are_named() -> None:
    truth = RNG.normal(size=(4, 2))
    with pytest.raises(ValueError, match="finite"):
        r2(np.full_like(truth, np.nan), truth, np.arange(4))
    with pytest.raises(ValueError, match=r"outputs \[1\]"):
        r2(truth, truth * [1, 0], np.arange(4))
    with pytest.raises(ValueError, match="no samples"):
        mean_score(np.ones(0), np.zeros(0, np.int64))
