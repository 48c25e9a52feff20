"""What every planner promises: optima, bounds, the best seen, rows that know nothing of each other, time, errors."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from tests.plan.planners import ALL, HIGH, LOW, SAMPLING, A, H, Quadratic, centres, generators, quick, start
from worldjepa.plan import CEM, RandomShooting

EVERY = pytest.mark.parametrize("name", sorted(ALL))


@pytest.mark.parametrize("name", ["cem", "icem", "mppi", "gradient"])
@pytest.mark.parametrize("bounded", [False, True], ids=["free", "bounded"])
def test_the_minimum_of_a_quadratic_is_found(name, bounded) -> None:
    centre = centres(3)
    bounds = {"low": LOW, "high": HIGH} if bounded else {}
    plan = ALL[name].plan(Quadratic(centre), start(3), generators(3), **bounds)
    assert (plan.action - centre).abs().max() < 0.1
    assert plan.cost.max() < 0.02


@pytest.mark.parametrize("name", ["cem", "icem", "mppi", "gradient"])
def test_a_minimum_beyond_the_bounds_is_met_at_the_bounds(name) -> None:
    plan = ALL[name].plan(Quadratic(centres(2) + 4.0), start(2), generators(2), low=LOW, high=HIGH)
    assert torch.allclose(plan.action, HIGH.expand(2, H, A), atol=0.1)


def ripples(action: torch.Tensor) -> torch.Tensor:
    """A bowl around (0.8, -1.2) with waves on it: many local minima, the lowest at the centre, where it is 0."""
    away = action - torch.tensor([0.8, -1.2])
    return (away.square() + 0.15 * (1 - torch.cos(9 * away))).sum((2, 3))


@pytest.mark.parametrize("name", ["cem", "icem", "mppi", "gradient"])
def test_the_lowest_of_many_minima_is_found(name) -> None:
    planner = replace(ALL[name], restarts=256) if name == "gradient" else replace(ALL[name], num_samples=512)
    shape = (2, 1, A) if name == "gradient" else (2, H, A)
    plan = planner.plan(ripples, torch.zeros(shape), generators(2), low=LOW, high=HIGH)
    assert (plan.action - torch.tensor([0.8, -1.2])).abs().max() < 0.1
    assert ripples(torch.zeros(1, 1, *shape[1:])) > 20 * plan.cost.max()


@pytest.mark.parametrize("name", ["cem", "icem", "mppi"])
@pytest.mark.parametrize("seed", range(3))
def test_searching_beats_shooting_at_no_more_samples(name, seed) -> None:
    planner = ALL[name]
    shooting = RandomShooting(num_samples=planner.num_samples + 1, iterations=planner.iterations)
    found = planner.plan(ripples, start(2), generators(2, seed), low=LOW, high=HIGH)
    shot = shooting.plan(ripples, start(2), generators(2, seed), low=LOW, high=HIGH)
    assert found.num_evaluated <= shot.num_evaluated
    assert (found.cost < 0.5 * shot.cost).all()


@EVERY
def test_no_sequence_outside_the_bounds_is_evaluated_or_returned(name) -> None:
    cost = Quadratic(centres(2) + 4.0)
    plan = quick(name).plan(cost, start(2) + 9.0, generators(2), low=LOW, high=HIGH, candidates=start(2)[:, None] - 9.0)
    for action in [plan.action, *cost.asked]:
        assert (action >= LOW).all()
        assert (action <= HIGH).all()


@EVERY
def test_one_bound_is_enough_and_infinite_ones_are_none(name) -> None:
    cost = Quadratic(centres(1) - 9.0)
    low = torch.tensor([-1.0, -torch.inf])
    plan = quick(name).plan(cost, start(1), generators(1), low=low)
    assert plan.action[..., 0].min() >= -1
    assert plan.action[..., 1].min() < -1


@EVERY
def test_the_best_of_all_evaluated_sequences_is_returned_with_its_cost(name) -> None:
    cost = Quadratic(centres(3))
    plan = quick(name).plan(cost, start(3), generators(3), low=LOW, high=HIGH)
    asked, answers = torch.cat(cost.asked, 1), torch.cat(cost.answers, 1)
    assert plan.num_evaluated == answers.shape[1]
    assert torch.equal(plan.cost, answers.amin(1))
    assert torch.equal(plan.action, asked[torch.arange(3), answers.argmin(1)])


@EVERY
def test_init_and_candidates_are_evaluated(name) -> None:
    init, candidates = centres(2) + 0.25, centres(2)[:, None] - torch.tensor([0.5, 0.0])[:, None, None]
    cost = Quadratic(centres(2))
    planner = quick(name)
    plan = planner.plan(cost, init, generators(2), candidates=candidates)
    assert torch.equal(cost.asked[0][:, :3], torch.cat([init[:, None], candidates], 1))
    assert torch.equal(plan.cost, torch.zeros(2))
    assert torch.equal(plan.action, candidates[:, 1])


@EVERY
def test_where_nothing_is_better_init_is_returned(name) -> None:
    plan = quick(name).plan(lambda action: 0.0 * action.sum((2, 3)) + 3.0, centres(2), generators(2))
    assert torch.equal(plan.action, centres(2))
    assert plan.cost.tolist() == [3.0, 3.0]


@EVERY
@pytest.mark.parametrize("bounded", [False, True], ids=["free", "bounded"])
def test_a_rows_plan_does_not_depend_on_the_others_to_the_last_bit(name, bounded) -> None:
    bounds = {"low": LOW, "high": HIGH} if bounded else {}
    together = quick(name).plan(Quadratic(centres(3)), start(3), generators(3), **bounds)
    for row in range(3):
        only = slice(row, row + 1)
        alone = quick(name).plan(Quadratic(centres(3)[only]), start(1), generators(3)[only], **bounds)
        assert torch.equal(alone.action[0], together.action[row])
        assert torch.equal(alone.cost[0], together.cost[row])
    assert not torch.equal(together.action[0], together.action[1])


@EVERY
def test_a_seed_decides_the_plan(name) -> None:
    def plan(seed: int) -> torch.Tensor:
        return quick(name).plan(Quadratic(centres(2)), start(2) + 3.0, generators(2, seed)).action

    assert torch.equal(plan(1), plan(1))
    assert not torch.equal(plan(1), plan(2))


@EVERY
def test_the_arguments_are_left_as_they_are(name) -> None:
    init, candidates, low, high = start(2) + 9.0, centres(2)[:, None] + 9.0, LOW.clone(), HIGH.clone()
    quick(name).plan(Quadratic(centres(2)), init, generators(2), low=low, high=high, candidates=candidates)
    assert torch.equal(init, start(2) + 9.0)
    assert torch.equal(candidates, centres(2)[:, None] + 9.0)
    assert torch.equal(low, LOW)
    assert torch.equal(high, HIGH)


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_plan_has_the_type_of_init(name, dtype) -> None:
    plan = quick(name).plan(Quadratic(centres(2).to(dtype)), start(2).to(dtype), generators(2), low=LOW, high=HIGH)
    assert plan.action.dtype == plan.cost.dtype == dtype


@EVERY
def test_a_good_start_helps(name) -> None:
    """What warm starting is for: the same few samples end lower from near the optimum."""
    near, far = centres(4) + 0.1, centres(4) + 3.0
    planner = replace(ALL[name], iterations=2)
    warm = planner.plan(Quadratic(centres(4)), near, generators(4))
    cold = planner.plan(Quadratic(centres(4)), far, generators(4))
    assert (warm.cost < cold.cost).all()


@EVERY
def test_a_budget_ends_the_search_and_the_best_so_far_is_returned(name, monkeypatch) -> None:
    """By a clock on which every evaluation takes 20 ms: after four there is no time for a fifth."""
    cost, clock = Quadratic(centres(1)), [5.0]
    monkeypatch.setattr("worldjepa.plan.search.time", SimpleNamespace(perf_counter=lambda: clock[0]))

    def slow(action: torch.Tensor) -> torch.Tensor:
        clock[0] += 0.02
        return cost(action)

    plan = replace(ALL[name], iterations=1000, budget_ms=95.0).plan(slow, start(1), generators(1))
    assert len(cost.asked) == (4 if name == "shooting" else 5)  # the last is of the final mean
    assert torch.equal(plan.cost, torch.cat(cost.answers, 1).amin(1))


@EVERY
def test_the_smallest_budget_still_gives_one_iteration(name) -> None:
    cost = Quadratic(centres(1))
    plan = replace(ALL[name], budget_ms=1e-6).plan(cost, start(1), generators(1))
    assert len(cost.asked) == (1 if name == "shooting" else 2)  # the last is of the final mean
    assert plan.cost < cost.answers[0][0, 0]


@EVERY
def test_a_budget_that_is_not_met_changes_nothing(name) -> None:
    free = quick(name).plan(Quadratic(centres(2)), start(2), generators(2))
    timed = replace(quick(name), budget_ms=1e6).plan(Quadratic(centres(2)), start(2), generators(2))
    assert torch.equal(free.action, timed.action)


@EVERY
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf], ids=str)
def test_a_cost_that_is_not_finite_is_named(name, value) -> None:
    calls = []

    def cost(action: torch.Tensor) -> torch.Tensor:
        out = action.square().sum((2, 3))
        if len(calls) == 1:
            out = out.clone()
            out[1, 5] = value
        calls.append(1)
        return out

    message = f"sample 5 in row 1 of iteration 1 is {value}: costs must be finite"
    with pytest.raises(ValueError, match=message):
        quick(name).plan(cost, start(2), generators(2))


@EVERY
def test_a_cost_of_another_shape_is_named(name) -> None:
    with pytest.raises(ValueError, match=r"one cost a sequence, \[2, \d+\], .* it returned \[2, \d+, 4\]"):
        quick(name).plan(lambda action: action.sum(3), start(2), generators(2))


@pytest.mark.parametrize("name", SAMPLING)
def test_sampling_needs_no_gradient(name) -> None:
    weight = torch.ones(A, requires_grad=True)

    def cost(action: torch.Tensor) -> torch.Tensor:
        out = (action * weight).square().sum((2, 3))
        assert not out.requires_grad
        return out

    quick(name).plan(cost, start(1), generators(1))


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        *((name, {"iterations": 0}, "iterations must be a whole number") for name in ALL),
        *((name, {"std": 0.0}, "std must be a finite number above 0") for name in ALL),
        *((name, {"budget_ms": -1.0}, "budget_ms must be a finite number above 0") for name in ALL),
        *((name, {"num_samples": 2.5}, "num_samples must be a whole number") for name in SAMPLING),
        *((name, {"min_std": 2.0}, "min_std must lie in") for name in ("cem", "icem", "mppi")),
        *((name, {"num_elites": 129}, "num_elites must be at most num_samples = 128") for name in ("cem", "icem")),
        *((name, {"momentum": 1.0}, r"momentum must lie in \[0, 1\)") for name in ("cem", "icem")),
        ("icem", {"keep": -0.1}, "keep must lie in"),
        ("icem", {"beta": -1.0}, "beta must be at least 0"),
        ("icem", {"decay": 0.9}, "decay and block at least 1"),
        ("mppi", {"temperature": 0.0}, "temperature must be a finite number above 0"),
        ("mppi", {"temperature_unit": "kelvin"}, '"spread" or "cost"'),
        ("gradient", {"restarts": 0}, "restarts must be a whole number"),
        ("gradient", {"lr": torch.inf}, "lr must be a finite number"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, setting, message) -> None:
    with pytest.raises(ValueError, match=message):
        replace(ALL[name], **setting)


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        CEM().num_samples = 3  # pyright: ignore[reportAttributeAccessIssue]
