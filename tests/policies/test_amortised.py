"""Inverse dynamics as a planner."""

import pytest
import torch
from point_world import chunk_learner, drive, look, point_learner, points
from torch import Tensor

from worldjepa.learner import Learner
from worldjepa.objectives.dynamics import InverseDynamics
from worldjepa_policies.amortised import InverseDynamicsPolicy


class Exact(torch.nn.Module):
    """Inverse dynamics of the point: half of the way with each of two steps."""

    def __init__(self, learner: Learner):
        super().__init__()
        self.learner, self.pairs = [learner], []

    def actions(self, z: Tensor) -> Tensor:
        self.pairs.append(z)
        normalizer = self.learner[0].normalizer
        place = normalizer.denormalize("place/x", z[:, :, 0])
        step = (place[:, 1] - place[:, 0]) / 0.4
        return normalizer.normalize("action", step.repeat(1, 2))[:, None]


def amortised() -> tuple[InverseDynamicsPolicy, Exact]:
    learner = point_learner(stride=2)
    policy = InverseDynamicsPolicy(learner)
    head = Exact(learner)
    policy.head = head  # pyright: ignore[reportAttributeAccessIssue]
    return policy, head


def test_inverse_dynamics_goes_to_the_goal_asking_once_a_block() -> None:
    place, goal = points(3)
    policy, head = amortised()
    actions, places = drive(policy, place, goal, 16)
    assert (places[-1] - goal).norm(dim=-1).max() < 0.01
    assert len(head.pairs) == 3 * 8
    assert actions.abs().max() <= 1
    assert torch.equal(drive(amortised()[0], place[1:2], goal[1:2], 16)[0][:, 0], actions[:, 1])


def test_inverse_dynamics_is_the_objectives_and_is_asked_of_present_and_goal() -> None:
    learner = point_learner(stride=2)
    place, goal = points(1)
    policy = InverseDynamicsPolicy(learner)
    assert policy.head is learner.objective.term(InverseDynamics)
    found = policy.act(look(place, goal))
    z = torch.stack([learner.normalizer.normalize("place/x", x) for x in (place, goal)], 1)[:, :, None]
    block = learner.normalizer.denormalize("action", policy.head.actions(z)[0, 0])
    assert torch.allclose(found[0], block[:2].clamp(-1, 1).detach(), atol=1e-6)


def test_a_block_ends_with_its_episode() -> None:
    place, goal = points(2)
    policy, head = amortised()
    policy.act(look(place, goal))
    policy.reset(torch.tensor([True, False]))
    policy.act(look(place, goal))
    assert len(head.pairs) == 3


def test_a_learner_without_inverse_dynamics_is_refused() -> None:
    with pytest.raises(ValueError, match="no InverseDynamics term"):
        InverseDynamicsPolicy(chunk_learner())
