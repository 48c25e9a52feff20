"""What plans are judged by: heads in the place of a goal or beside it, and what cannot be asked for."""

from typing import Any, cast

import pytest
import torch
from point_world import PLANNER, SPEC, ExactPredictor, drive, look, point_learner, point_statistics, points
from tensordict import TensorDict
from torch import Tensor, nn

from worldjepa.learner import Learner
from worldjepa.objectives import RewardHead, SuccessHead, Sum
from worldjepa.plan import CEM, GradientPlanner, goal_cost
from worldjepa.recipes import ac_jepa, make_learner, save_pretrained
from worldjepa_policies.costs import mixed_cost
from worldjepa_policies.load import load_policy
from worldjepa_policies.mpc import MPCPolicy

HOME = torch.tensor([0.4, -0.3])
"""Where the heads want to be, in normalised units."""
FINE = CEM(num_samples=200, iterations=8, num_elites=20)


class Near(nn.Module):
    """Minus the mean squared distance to HOME, in the place of a head's perceptron."""

    def forward(self, z: Tensor) -> Tensor:
        return -(z - HOME).square().mean(-1, keepdim=True)


def headed(head: RewardHead | SuccessHead) -> Learner:
    """The exact model of the point, with a head that knows what it wants."""
    learner = point_learner()
    head.net = nn.Sequential(Near())
    learner.objective = Sum(*zip(learner.objective.weights, learner.objective.terms, strict=True), (1.0, head))
    return learner


def raw(learner: Learner, place: Tensor) -> Tensor:
    return learner.normalizer.denormalize("place/x", place)


@pytest.mark.parametrize(("kind", "name"), [(RewardHead, "reward"), (SuccessHead, "success")])
@pytest.mark.parametrize("planner", [FINE, GradientPlanner(iterations=30)])
def test_a_head_alone_leads_home_and_no_goal_is_read(kind, name, planner) -> None:
    learner = headed(kind(2))
    weight: dict[str, Any] = {name: 1.0}
    policy = MPCPolicy(learner, planner, execute=2, goal=0.0, **weight)
    place = points(2)[0]
    for _ in range(24):
        obs = TensorDict({"place": TensorDict({"x": place}, batch_size=[2])}, batch_size=[2])
        place = place + 0.2 * policy.act(obs)
    assert (place - raw(learner, HOME)).norm(dim=-1).max() < 0.1


def test_between_a_goal_and_a_head_plans_end_where_the_weights_say() -> None:
    learner = headed(RewardHead(2))
    place, goal = points(2)
    _, places = drive(MPCPolicy(learner, FINE, execute=2, goal=1.0, reward=3.0), place, goal, 24)
    aim = learner.normalizer.normalize("place/x", goal)
    assert (places[-1] - raw(learner, 0.25 * aim + 0.75 * HOME)).norm(dim=-1).max() < 0.1
    assert (places[-1] - goal).norm(dim=-1).min() > 0.2


@pytest.mark.parametrize("reduce", ["sum", "last"])
def test_the_cost_is_the_weighted_sum(reduce) -> None:
    learner = headed(SuccessHead(2))
    z, aim, action = torch.randn(2, 1, 1, 2), torch.randn(2, 1, 1, 2), torch.randn(2, 7, 5, 4)
    make = mixed_cost(learner, goal=0.5, success=2.0, penalty=0.1, reduce=reduce)
    steps = learner.model.rollout(z, action)[:, :, :, 0]
    head = (steps - HOME).square().mean(-1)
    head = head.sum(-1) if reduce == "sum" else head[..., -1]
    effort = action.square().mean(-1).sum(-1)
    expected = 0.5 * goal_cost(learner.model, z, aim, reduce=reduce)(action) + 2.0 * head + 0.1 * effort
    assert torch.allclose(make(learner.model, z, aim, None)(action), expected, atol=1e-5)


def test_the_model_is_rolled_out_once_for_all_parts() -> None:
    learner = headed(RewardHead(2))
    z, action = torch.randn(1, 1, 1, 2), torch.randn(1, 3, 5, 4)
    cost = mixed_cost(learner, reward=1.0, penalty=0.1)(learner.model, z, z, None)
    asked = cast(ExactPredictor, learner.model.predictor).asked
    before = len(asked)
    cost(action)
    # Two imaginations, made apart from one present: known to be the same.
    assert len(asked) == before + 1


def test_a_saved_reward_head_is_planned_with(tmp_path) -> None:
    config = ac_jepa.Config(state_keys=("place/x",), stride=2, horizon=5, dim=16, predictor_layers=1, reward=1.0)
    learner = make_learner("ac_jepa", config, SPEC, point_statistics())
    policy = load_policy(save_pretrained(learner, tmp_path), planner=PLANNER, goal=0.0, reward=1.0)
    place = points(1)[0]
    policy.act(TensorDict({"place": TensorDict({"x": place}, batch_size=[1])}, batch_size=[1]))
    assert isinstance(policy, MPCPolicy)
    plan = policy.plan_of(0)
    assert plan is not None
    z = learner.encode(TensorDict({"place": TensorDict({"x": place[:, None]}, batch_size=[1, 1])}, batch_size=[1, 1]))
    reward = learner.eval().objective.term(RewardHead).reward(learner.model.rollout(z, plan.action))
    assert torch.allclose(plan.cost, -reward.sum(1), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reward": 1.0}, "planning by reward needs a reward head: train the world model with .*--model.reward 1"),
        ({"success": 1.0}, "planning by success needs a success head"),
        ({"goal": 0.0}, "needs something to reach"),
        ({"goal": -1.0}, "the weight of goal must be a finite number of at least 0, got -1.0"),
        ({"penalty": float("nan")}, "the weight of penalty"),
        ({"reward": 1.0, "make_cost": lambda *_: None}, "takes no weights"),
    ],
)
def test_what_cannot_be_asked_for(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        MPCPolicy(point_learner(), PLANNER, **options)


def test_goals_are_still_asked_for_where_they_count() -> None:
    policy = MPCPolicy(headed(RewardHead(2)), PLANNER, reward=1.0)
    with pytest.raises(ValueError, match="goal_obs=True"):
        policy.act(look(*points(1)).exclude("goal_place"))
