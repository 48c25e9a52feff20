"""The gradient planner: whose gradients it touches, and whose it needs."""

import pytest
import torch

from tests.plan.planners import Quadratic, centres, generators, start
from worldjepa.plan import GradientPlanner

PLANNER = GradientPlanner(restarts=4, iterations=5)


def test_it_works_where_gradients_are_off() -> None:
    free = PLANNER.plan(Quadratic(centres(2)), start(2), generators(2))
    with torch.no_grad():
        off = PLANNER.plan(Quadratic(centres(2)), start(2), generators(2))
        assert not torch.is_grad_enabled()
    assert torch.equal(free.action, off.action)
    assert not free.action.requires_grad
    assert not free.cost.requires_grad


def test_the_models_gradients_stay_as_they_are() -> None:
    weight = torch.ones(2, requires_grad=True)
    PLANNER.plan(lambda action: (action * weight).square().sum((2, 3)), start(1), generators(1))
    assert weight.grad is None


def test_a_cost_without_gradient_is_refused() -> None:
    with pytest.raises(ValueError, match="no gradient with respect to the actions; plan with CEM"):
        PLANNER.plan(lambda action: action.detach().square().sum((2, 3)), start(1), generators(1))


def test_steps_are_adams() -> None:
    cost = Quadratic(centres(1))
    GradientPlanner(restarts=1, iterations=3, lr=0.2).plan(cost, start(1), generators(1))
    action = torch.nn.Parameter(torch.zeros(1, 1, *start(1).shape[1:]))
    adam = torch.optim.Adam([action], lr=0.2)
    for asked in cost.asked:
        assert torch.allclose(asked, action, atol=1e-6)
        adam.zero_grad()
        (action - centres(1)[:, None]).square().sum().backward()
        adam.step()


def test_more_starts_find_a_lower_valley() -> None:
    def two_valleys(action: torch.Tensor) -> torch.Tensor:
        return ((action.square() - 1).square() + 0.3 * action).sum((2, 3))

    init = torch.full((1, 1, 2), 0.9)
    one = GradientPlanner(restarts=1).plan(two_valleys, init, generators(1))
    many = GradientPlanner(restarts=16).plan(two_valleys, init, generators(1))
    assert one.action.min() > 0.5
    assert many.action.max() < -0.5
    assert many.cost < one.cost
