"""Accuracy and R^2 with intervals over objects: views of one object are not independent, objects are.

Letters: n samples, k outputs, o objects, r resamples.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from worldjepa.evaluate.statistics import Interval

RESAMPLES = 1000


def accuracy(
    predicted: Int[ndarray, "n"], label: Int[ndarray, "n"], group: Int[ndarray, "n"], seed: int = 0
) -> Interval:
    """Share of right classes, with its 95 % interval over objects.

    Args:
        predicted, label: classes.
        group: the object of each sample.
        seed: of the bootstrap.
    """
    return mean_score((predicted == label).astype(np.float64), group, seed)


def mean_score(values: Float[ndarray, "n"], group: Int[ndarray, "n"], seed: int = 0) -> Interval:
    """Mean over samples, with the 95 % percentile interval over objects drawn with replacement.

    Raises:
        ValueError: no samples, or values that are not finite.
    """
    _check(values)
    sums = _sums(np.stack([values, np.ones_like(values)], 1), group)
    drawn = _draws(len(sums), seed) @ sums
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high))


def r2(
    predicted: Float[ndarray, "n k"], truth: Float[ndarray, "n k"], group: Int[ndarray, "n"], seed: int = 0
) -> Interval:
    """Coefficient of determination, uniform mean over outputs as sklearn's ``r2_score``, with its interval.

    Args:
        predicted, truth: in the same units.
        group: the object of each sample.
        seed: of the bootstrap.

    Raises:
        ValueError: no samples, values that are not finite, an output that is constant.
    """
    _check(predicted)
    _check(truth)
    constant = np.flatnonzero(np.ptp(truth, axis=0) == 0)
    if len(constant):
        raise ValueError(f"R^2 of outputs {constant.tolist()} is undefined: they are constant; leave them out")
    centred = truth - truth.mean(0)
    squared, ones = np.square(predicted - truth), np.ones((len(truth), 1))
    sums = _sums(np.concatenate([squared, np.square(centred), centred, ones], 1), group)
    drawn = _determination(_draws(len(sums), seed) @ sums, truth.shape[1])
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    estimate = _determination(sums.sum(0, keepdims=True), truth.shape[1])
    return Interval(float(estimate[0]), float(low), float(high))


def _determination(sums: Float[ndarray, "r s"], outputs: int) -> Float[ndarray, "r"]:
    """Mean R^2 from sums of squared errors, squares, values and counts; NaN where a resample holds one value only."""
    error, square, value = (sums[:, i * outputs : (i + 1) * outputs] for i in range(3))
    total = square - np.square(value) / sums[:, -1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total > 1e-12 * np.maximum(square, 1e-300), error / total, np.nan)
    return (1 - share).mean(1)


def _check(values: ndarray) -> None:
    if not len(values):
        raise ValueError("there is nothing to score: no samples")
    if not np.isfinite(values).all():
        raise ValueError("scores need finite numbers; the predictions or the truth hold NaN or infinite values")


def _sums(values: Float[ndarray, "n s"], group: ndarray) -> Float[ndarray, "o s"]:
    _, index = np.unique(group, return_inverse=True)
    sums = np.zeros((index.max() + 1, values.shape[1]))
    np.add.at(sums, index, values)
    return sums


def _draws(count: int, seed: int) -> Float[ndarray, "r o"]:
    """How often each object is in each resample."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)
