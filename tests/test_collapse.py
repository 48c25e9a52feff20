"""The collapse monitor: closed forms."""

import pytest
import torch

from worldjepa.collapse import effective_rank, feature_std, least_feature_std


def test_equal_rows_have_no_spread_and_no_rank() -> None:
    rows = torch.randn(1, 6).expand(20, 6)
    assert feature_std(rows) == 0.0
    assert effective_rank(rows) == 0.0


def test_the_spread_is_the_mean_deviation() -> None:
    rows = torch.randn(200, 3) * torch.tensor([1.0, 2.0, 3.0])
    assert feature_std(rows) == pytest.approx(rows.numpy().std(0, ddof=1).mean(), rel=1e-5)


def test_one_dead_feature_among_many_shows_in_the_least_spread() -> None:
    rows = torch.randn(200, 64) * torch.linspace(1.0, 3.0, 64)
    assert least_feature_std(rows) == pytest.approx(rows.numpy().std(0, ddof=1).min(), rel=1e-5)
    dead = rows.clone()
    dead[:, 40] = 5.0
    assert least_feature_std(dead) == 0.0
    assert feature_std(dead) > 0.95 * feature_std(rows)


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_equally_strong_directions_are_counted(rank) -> None:
    rows = torch.randn(64, rank)
    orthogonal = torch.linalg.qr(rows - rows.mean(0))[0] @ torch.linalg.qr(torch.randn(8, 8))[0][:rank]
    assert effective_rank(7.0 + 3.0 * orthogonal) == pytest.approx(rank, rel=1e-3)


def test_the_rank_is_exp_of_the_entropy_of_the_singular_values() -> None:
    rows = torch.randn(64, 2)
    orthogonal = torch.linalg.qr(rows - rows.mean(0))[0] * torch.tensor([3.0, 1.0])
    entropy = -(0.75 * torch.tensor(0.75).log() + 0.25 * torch.tensor(0.25).log())
    torch.testing.assert_close(effective_rank(orthogonal), entropy.exp())


def test_the_rank_does_not_depend_on_scale_or_place() -> None:
    rows = torch.randn(50, 6)
    torch.testing.assert_close(effective_rank(rows), effective_rank(1e-4 * rows), rtol=1e-4, atol=0)
    torch.testing.assert_close(effective_rank(rows), effective_rank(rows + 10.0), rtol=1e-4, atol=0)
