"""Per-dimension statistics over rows of an array that may be larger than memory."""

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

BLOCK_BYTES = 1 << 24


@dataclass(frozen=True)
class Statistics:
    """Statistics of one key over a choice of episodes, float64, each of the key's shape."""

    mean: ndarray
    std: ndarray
    """Population standard deviation."""
    min: ndarray
    max: ndarray
    count: int
    """Number of rows: every recorded row counts once, padding does not count."""


def row_statistics(array: ndarray, rows: ndarray) -> Statistics:
    """Statistics of ``array[rows]``, block by block, merged by Chan, Golub and LeVeque (1983), equation 2.1.

    Args:
        array: [N, ...], may be memory-mapped.
        rows: [M >= 1] row numbers.

    Raises:
        ValueError: no rows.
    """
    if len(rows) == 0:
        raise ValueError("statistics need at least one row: choose at least one episode")
    shape = array.shape[1:]
    size = max(1, BLOCK_BYTES // max(8 * int(np.prod(shape)), 1))
    count, mean, squares = 0, np.zeros(shape), np.zeros(shape)
    low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
    for begin in range(0, len(rows), size):
        block = array[rows[begin : begin + size]].astype(np.float64)
        num, block_mean = len(block), block.mean(axis=0)
        delta, total = block_mean - mean, count + num
        squares += ((block - block_mean) ** 2).sum(axis=0) + delta**2 * (count * num / total)
        mean += delta * (num / total)
        count = total
        low, high = np.minimum(low, block.min(axis=0)), np.maximum(high, block.max(axis=0))
    return Statistics(mean, np.sqrt(squares / count), low, high, count)
