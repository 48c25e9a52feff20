"""The copying floor: it starts anywhere, and goes there."""

import torch
from point_world import PLANNER, drive, point_learner, points

from worldjepa.plan import GradientPlanner
from worldjepa.types import Policy
from worldjepa_policies.copy_latent import CopyLatentPolicy


def test_copying_executes_random_plans_that_the_goal_does_not_change() -> None:
    place, goal = points(2)
    learner = point_learner()
    one = drive(CopyLatentPolicy(learner, PLANNER), place, goal, 20)[0]
    other = drive(CopyLatentPolicy(learner, PLANNER), place, -goal, 20)[0]
    assert torch.equal(one, other)
    assert one.abs().max() <= 1
    normal = learner.normalizer.normalize("action", one.transpose(0, 1).reshape(-1, 4))
    assert normal.std() > 0.6
    assert not torch.equal(one[:10], one[10:])
    assert isinstance(CopyLatentPolicy(learner, PLANNER), Policy)


def test_a_gradient_planner_finds_nothing_to_follow() -> None:
    place, goal = points(2)
    planner = GradientPlanner(iterations=3, restarts=2)
    one = drive(CopyLatentPolicy(point_learner(), planner), place, goal, 10)[0]
    assert torch.equal(one, drive(CopyLatentPolicy(point_learner(), planner), place, -goal, 10)[0])
    assert one.std() > 0.2
