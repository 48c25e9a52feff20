"""CEM and MPPI against naive versions of their updates."""

import numpy as np
import pytest
import torch

from tests.plan.planners import HIGH, LOW, A, H, Quadratic, centres, generators, start
from worldjepa.plan import CEM, MPPI


def naive(update, cost, num_samples: int, iterations: int, low, high, row: int):
    """A sampling search of one row in numpy, float64: the best sequence and its cost."""
    generator = generators(row + 1)[row]
    mean, std = np.zeros((H, A)), np.ones((H, A))
    best = (np.inf, mean)
    for _ in range(iterations):
        noise = torch.empty(num_samples, H, A).normal_(generator=generator).numpy().astype(np.float64)
        samples = np.clip(mean + std * noise, low, high)
        samples[0] = mean
        costs = np.array([cost(sample) for sample in samples])
        best = min([best, *zip(costs, samples)], key=lambda pair: pair[0])
        mean, std = update(samples, costs, mean, std)
    return min([best, (cost(mean), mean)], key=lambda pair: pair[0])


@pytest.mark.parametrize("momentum", [0.0, 0.3])
def test_cem_is_the_published_algorithm_with_the_best_kept(momentum) -> None:
    centre = centres(2)
    planner = CEM(num_samples=40, iterations=5, num_elites=6, momentum=momentum, min_std=0.2)

    def update(samples, costs, mean, std):
        elites = samples[np.argsort(costs)[:6]]
        mean = momentum * mean + (1 - momentum) * elites.mean(0)
        return mean, np.maximum(momentum * std + (1 - momentum) * elites.std(0), 0.2)

    plan = planner.plan(Quadratic(centre), start(2), generators(2), low=LOW, high=HIGH)
    for row in range(2):
        aim = centre[row].numpy().astype(np.float64)
        cost, action = naive(update, lambda x, aim=aim: ((x - aim) ** 2).sum(), 40, 5, LOW.numpy(), HIGH.numpy(), row)
        np.testing.assert_allclose(plan.action[row].numpy(), action, atol=1e-5)
        np.testing.assert_allclose(float(plan.cost[row]), cost, rtol=1e-4)


@pytest.mark.parametrize("unit", ["cost", "spread"])
@pytest.mark.parametrize("adapt", [False, True])
def test_mppi_weighs_samples_as_published(unit, adapt) -> None:
    centre = centres(2)
    planner = MPPI(num_samples=40, iterations=5, temperature=0.7, temperature_unit=unit, adapt=adapt, min_std=0.2)

    def update(samples, costs, mean, std):
        weight = np.exp(-(costs - costs.min()) / (0.7 * (costs.std() if unit == "spread" else 1.0)))
        weight = (weight / weight.sum())[:, None, None]
        mean = (weight * samples).sum(0)
        return mean, np.maximum(np.sqrt((weight * (samples - mean) ** 2).sum(0)), 0.2) if adapt else std

    plan = planner.plan(Quadratic(centre), start(2), generators(2), low=LOW, high=HIGH)
    for row in range(2):
        aim = centre[row].numpy().astype(np.float64)
        cost, action = naive(update, lambda x, aim=aim: ((x - aim) ** 2).sum(), 40, 5, LOW.numpy(), HIGH.numpy(), row)
        np.testing.assert_allclose(plan.action[row].numpy(), action, atol=1e-5)
        np.testing.assert_allclose(float(plan.cost[row]), cost, rtol=1e-4)


def test_mppis_plan_does_not_depend_on_the_scale_of_the_cost() -> None:
    small = MPPI(iterations=3).plan(Quadratic(centres(1)), start(1), generators(1))
    large = MPPI(iterations=3).plan(lambda a: 1024 * Quadratic(centres(1))(a), start(1), generators(1))
    assert torch.allclose(small.action, large.action, atol=1e-4)
    hot = MPPI(iterations=3, temperature_unit="cost")
    small = hot.plan(Quadratic(centres(1)), start(1), generators(1))
    large = hot.plan(lambda a: 1024 * Quadratic(centres(1))(a), start(1), generators(1))
    assert not torch.allclose(small.action, large.action, atol=1e-2)


def test_the_spread_has_a_floor() -> None:
    """Peers' spread falls to nothing, after which no sample is new."""
    cost = Quadratic(centres(1))
    CEM(num_samples=64, iterations=40, num_elites=4, min_std=0.1).plan(cost, start(1), generators(1))
    last = cost.asked[-2][0, 1:]
    assert last.std(0).min() > 0.08
    frozen = Quadratic(centres(1))
    CEM(num_samples=64, iterations=40, num_elites=4, min_std=0.0).plan(frozen, start(1), generators(1))
    assert frozen.asked[-2][0, 1:].std(0).max() < 1e-3
