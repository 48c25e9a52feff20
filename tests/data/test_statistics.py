"""Statistics, with numpy in one piece as the reference."""

import numpy as np
import pytest

from worldjepa.data import statistics
from worldjepa.data.statistics import row_statistics


@pytest.mark.parametrize("block_bytes", [1, 100, 1 << 24])
def test_blocks_give_the_statistics_of_the_whole(monkeypatch, block_bytes):
    monkeypatch.setattr(statistics, "BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(0)
    array = (rng.normal(size=(300, 4)) * [1, 10, 1e-3, 1] + [0, 5, -2, 1e4]).astype(np.float32)
    rows = rng.permutation(300)[:200]
    found, whole = row_statistics(array, rows), array[rows].astype(np.float64)
    np.testing.assert_allclose(found.mean, whole.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.std, whole.std(0), rtol=1e-9)
    np.testing.assert_array_equal(found.min, whole.min(0))
    np.testing.assert_array_equal(found.max, whole.max(0))
    assert found.count == 200


def test_constant_rows_have_exactly_no_spread():
    found = row_statistics(np.full((50, 2), 0.1, np.float32), np.arange(50))
    np.testing.assert_array_equal(found.std, 0.0)
    np.testing.assert_array_equal(found.mean, np.float32(0.1))


def test_no_rows_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        row_statistics(np.zeros((5, 2), np.float32), np.zeros(0, np.int64))
