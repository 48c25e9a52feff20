"""What the search of all planners checks and draws."""

import pytest
import torch

from tests.plan.planners import HIGH, LOW, A, H, Quadratic, centres, generators, start
from worldjepa.plan.search import Search


def search(**change) -> Search:
    given = {
        "cost": Quadratic(centres(2)),
        "init": start(2),
        "generators": generators(2),
        "low": None,
        "high": None,
        "candidates": None,
        "num_samples": 64,
        "budget_ms": None,
    }
    return Search(**{**given, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"init": torch.zeros(H, A)}, r"init must be floating-point actions \[B, H, A\]"),
        ({"init": torch.zeros(2, 0, A)}, r"init must be floating-point actions \[B, H, A\]"),
        ({"init": torch.zeros(2, H, A, dtype=torch.int64)}, "init must be floating-point actions"),
        ({"generators": generators(1)}, "one generator for each of 2 rows, got 1"),
        ({"low": torch.zeros(3)}, "low must be 2 numbers"),
        ({"high": torch.tensor([1.0, torch.nan])}, "high must be 2 numbers"),
        ({"low": HIGH, "high": LOW}, "low must not exceed high"),
        ({"candidates": torch.zeros(2, H, A)}, r"candidates must be \[B, C, H, A\]"),
        ({"candidates": torch.zeros(2, 1, H + 1, A)}, r"candidates must be \[B, C, H, A\]"),
        ({"candidates": torch.zeros(2, 64, H, A)}, "64 candidates and init are more than num_samples = 64"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        search(**change)


def test_samples_have_the_mean_and_spread_asked_for() -> None:
    mean, std = centres(2), 0.1 + centres(2).abs()
    drawn = search(num_samples=20_000).around(mean, std, 20_000)
    assert torch.equal(drawn[:, 0], mean)
    assert torch.allclose(drawn.mean(1), mean, atol=0.05)
    assert torch.allclose(drawn.std(1), std, rtol=0.05)


def test_every_draw_is_new_but_the_memory_is_not() -> None:
    one = search()
    first = one.around(start(2), 1.0, 64).clone()
    second = one.around(start(2), 1.0, 64)
    third = one.around(start(2), 1.0, 32)
    assert not torch.equal(first[:, 1:], second[:, 1:])
    assert second.data_ptr() == third.data_ptr()


def test_a_cost_may_return_the_same_memory_every_time() -> None:
    memory = torch.empty(2, 64)
    one = search(cost=lambda action: torch.sum(action.square(), (2, 3), out=memory))
    one.evaluate(one.around(centres(2), 0.1, 64))
    best = memory.amin(1).clone()
    one.evaluate(one.around(centres(2) + 9.0, 0.1, 64))
    assert torch.equal(one.plan().cost, best)
