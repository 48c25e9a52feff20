"""What iCEM adds: smooth noise, elites that stay, ever fewer samples."""

import numpy as np
import pytest
import torch

from tests.plan.planners import A, H, Quadratic, centres, generators, start
from worldjepa.plan import ICEM
from worldjepa.plan.noise import coloured


def draw(beta: float, horizon: int, num_samples: int = 20_000) -> torch.Tensor:
    noise = torch.empty(num_samples, horizon, A)
    coloured(beta, horizon, noise)(noise, generators(1)[0])
    return noise


@pytest.mark.parametrize("horizon", [1, 2, 5, 8])
@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0, 4.0])
def test_the_noise_has_variance_1_at_every_step(beta, horizon) -> None:
    noise = draw(beta, horizon)
    assert torch.allclose(noise.mean(0), torch.zeros(horizon, A), atol=0.04)
    assert torch.allclose(noise.var(0), torch.ones(horizon, A), atol=0.06)


@pytest.mark.parametrize("horizon", [8, 9])
@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_the_power_falls_with_the_frequency_as_named(beta, horizon) -> None:
    power = torch.fft.rfft(draw(beta, horizon)[..., 0], dim=1).abs().square().mean(0)[1:].numpy()
    frequency = np.arange(1, len(power) + 1) / horizon
    if horizon % 2 == 0:  # the highest has one phase instead of two
        power, frequency = power[:-1], frequency[:-1]
    slope = np.polyfit(np.log(frequency), np.log(power), 1)[0]
    assert slope == pytest.approx(-beta, abs=0.05)


def test_action_dimensions_and_samples_are_drawn_apart() -> None:
    noise = draw(2.0, H)
    assert abs(float((noise[..., 0] * noise[..., 1]).mean())) < 0.02
    assert abs(float((noise[1:] * noise[:-1]).mean())) < 0.02


def test_samples_become_fewer() -> None:
    planner = ICEM(num_samples=100, iterations=6, num_elites=10, decay=2.0)
    cost = Quadratic(centres(1))
    plan = planner.plan(cost, start(1), generators(1))
    assert [asked.shape[1] for asked in cost.asked] == [100, 50, 25, 20, 20, 20, 1]
    assert plan.num_evaluated == 236


def test_elites_are_the_best_so_far_and_are_handed_on() -> None:
    cost = Quadratic(centres(2))
    planner = ICEM(num_samples=64, iterations=4, num_elites=10, keep=0.5)
    plan = planner.plan(cost, start(2), generators(2))
    asked, answers = torch.cat(cost.asked[:-1], 1), torch.cat(cost.answers[:-1], 1)
    assert plan.elites is not None
    for row in range(2):
        assert torch.equal(plan.elites[row], asked[row, answers[row].argsort()[:5]])
    again = Quadratic(centres(2))
    planner.plan(again, start(2), generators(2), candidates=plan.elites)
    assert torch.equal(again.asked[0][:, 1:6], plan.elites)


def test_kept_elites_are_not_evaluated_again() -> None:
    cost = Quadratic(centres(1))
    ICEM(num_samples=64, iterations=4, num_elites=10, keep=0.5).plan(cost, start(1), generators(1))
    asked = torch.cat(cost.asked, 1)[0].flatten(1)
    assert len(asked.unique(dim=0)) == len(asked)


def test_keeping_none_is_possible() -> None:
    plan = ICEM(num_samples=32, iterations=2, num_elites=4, keep=0.0).plan(
        Quadratic(centres(1)), start(1), generators(1)
    )
    assert plan.elites is not None
    assert plan.elites.shape == (1, 0, H, A)


def test_noise_is_smooth_within_a_block_of_control_steps() -> None:
    """Two control steps an action: the sequence of control steps is what one of twice the length is."""
    generator = torch.Generator().manual_seed(0)
    blocks, plain = torch.empty(4, 3, 4), torch.empty(4, 6, 2)
    coloured(2.0, 3, blocks, block=2)(blocks, generator)
    coloured(2.0, 6, plain)(plain, generator.manual_seed(0))
    assert torch.equal(blocks.view(4, 6, 2), plain)
