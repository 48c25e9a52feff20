"""Costs of imagined latents, on a linear world whose optimal plans are known, and on a real predictor."""

from functools import partial

import pytest
import torch
from torch import Tensor

from tests.plan.planners import ALL, generators
from worldjepa.plan import CEM, CopyLatent, GradientPlanner, action_penalty, add, goal_cost, head_cost, in_parts
from worldjepa.predictors.causal import CausalPredictor

B, S, H, N, D, A = 2, 5, 3, 2, 4, 2


class Linear:
    """z' = z + W a for every token; counts its rollouts and refuses to look further than five steps."""

    def __init__(self):
        self.weight = torch.randn(A, N * D, generator=torch.Generator().manual_seed(1))
        self.rollouts = 0

    def rollout(self, z: Tensor, action: Tensor) -> Tensor:
        self.rollouts += 1
        action = action[:, :, z.shape[1] - 1 :]
        if action.shape[2] > 5:
            raise ValueError("a rollout of more than 5 steps is beyond the context")
        moved = (action @ self.weight).cumsum(2).unflatten(-1, (N, D))
        return z[:, None, -1:] + moved


def latents(frames: int = 1, seed: int = 0) -> Tensor:
    return torch.randn(B, frames, N, D, generator=torch.Generator().manual_seed(seed))


def actions(samples: int = S, horizon: int = H) -> Tensor:
    return torch.randn(B, samples, horizon, A, generator=torch.Generator().manual_seed(9))


def naive_distance(one: Tensor, other: Tensor, distance: str) -> float:
    """Between two frames [N, D]."""
    if distance == "cosine":
        return sum(1 - float(a @ b / (a.norm() * b.norm())) for a, b in zip(one, other)) / N
    power = 2 if distance == "l2" else 1
    return float((one - other).abs().pow(power).sum()) / (N * D)


@pytest.mark.parametrize("distance", ["l2", "l1", "cosine"])
@pytest.mark.parametrize("reduce", ["sum", "last"])
def test_the_goal_cost_is_the_distance_of_the_imagined_steps(reduce, distance) -> None:
    model, z, goal, action = Linear(), latents(), latents(seed=1), actions()
    cost = goal_cost(model, z, goal, reduce=reduce, distance=distance)(action)
    for b in range(B):
        for s in range(S):
            state, away = z[b, 0].clone(), []
            for h in range(H):
                state = state + (action[b, s, h] @ model.weight).view(N, D)
                away.append(naive_distance(state, goal[b, 0], distance))
            expected = sum(away) if reduce == "sum" else away[-1]
            assert float(cost[b, s]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("distance", ["l2", "l1", "cosine"])
def test_being_at_the_goal_costs_nothing_and_being_away_something(distance) -> None:
    z = latents()
    at_goal = goal_cost(CopyLatent(), z, z, distance=distance)(actions())
    away = goal_cost(CopyLatent(), z, latents(seed=1), distance=distance)(actions())
    assert at_goal.abs().max() < 1e-5
    assert away.min() > 0.1


def test_past_actions_come_before_the_planned_ones() -> None:
    asked = []

    class Spy:
        def rollout(self, z: Tensor, action: Tensor) -> Tensor:
            asked.append(action)
            return CopyLatent().rollout(z, action)

    past = torch.randn(B, 2, A)
    goal_cost(Spy(), latents(3), latents(seed=1), past)(actions())
    assert torch.equal(asked[0], torch.cat([past[:, None].expand(-1, S, -1, -1), actions()], 2))


@pytest.mark.parametrize("name", ["cem", "icem", "mppi", "gradient"])
@pytest.mark.parametrize("reduce", ["sum", "last"])
def test_planners_reach_a_goal_that_can_be_reached(name, reduce) -> None:
    model, z = Linear(), latents()
    needed = torch.tensor([[1.0, -0.5], [-0.5, 0.8]])
    goal = z + (needed @ model.weight).view(B, 1, N, D)
    plan = ALL[name].plan(goal_cost(model, z, goal, reduce=reduce), torch.zeros(B, H, A), generators(B))
    assert (plan.action.sum(1) - needed).abs().max() < 0.1
    if reduce == "sum":  # and at once: the first action alone
        assert (plan.action[:, 0] - needed).abs().max() < 0.2


def test_a_world_that_never_changes_gives_the_first_sequence() -> None:
    init = actions(1)[:, 0]
    plan = CEM(iterations=2).plan(goal_cost(CopyLatent(), latents(), latents(seed=1)), init, generators(B))
    assert torch.equal(plan.action, init)


def test_copying_needs_no_samples_axis() -> None:
    z = latents(3)
    imagined = CopyLatent().rollout(z, torch.zeros(B, 2 + H, A))
    assert torch.equal(imagined, z[:, -1:].expand(B, H, N, D))


@pytest.mark.parametrize("reduce", ["sum", "last"])
def test_the_head_cost_falls_where_the_head_rises(reduce) -> None:
    model, z, action = Linear(), latents(), actions()
    imagined = model.rollout(z, action)
    steps = imagined if reduce == "sum" else imagined[:, :, -1:]
    cost = head_cost(lambda x: x[..., 0, 0], model, z, reduce=reduce)(action)
    assert torch.allclose(cost, -steps[..., 0, 0].sum(2), atol=1e-5)
    plan = CEM().plan(head_cost(lambda x: x[..., 0, 0], model, z), action[:, 0], generators(B), low=-torch.ones(A))
    assert (-plan.cost > steps[:, 0, :, 0, 0].sum(1)).all()


def test_the_action_penalty_is_the_mean_square_of_each_step() -> None:
    action = actions()
    expected = sum((action[:, :, h] ** 2).sum(-1) / A for h in range(H))
    assert torch.allclose(action_penalty(action), expected)
    assert action_penalty(torch.zeros_like(action)).abs().max() == 0


def test_costs_add_by_weight_and_imagine_once() -> None:
    model, z, goal, action = Linear(), latents(), latents(seed=1), actions()
    toward, read = goal_cost(model, z, goal), head_cost(lambda x: x.sum((2, 3)), model, z)
    expected = 2.0 * toward(action) + 0.5 * read(action) + 0.1 * action_penalty(action) - action.sum((2, 3))
    model.rollouts = 0
    total = add((2.0, toward), (0.5, read), (0.1, action_penalty), (-1.0, lambda a: a.sum((2, 3))))
    assert torch.allclose(total(action), expected, atol=1e-4)
    assert model.rollouts == 1
    other = goal_cost(model, latents(seed=3), goal)
    assert torch.allclose(add((1.0, toward), (1.0, other))(action), toward(action) + other(action))


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_parts_cost_what_the_whole_does(size) -> None:
    cost, asked = goal_cost(Linear(), latents(), latents(seed=1)), []

    def counting(action: Tensor) -> Tensor:
        asked.append(action.shape[1])
        return cost(action)

    assert torch.equal(in_parts(counting, size)(actions()), cost(actions()))
    assert max(asked) <= size


def predictor() -> CausalPredictor:
    torch.manual_seed(0)
    model = CausalPredictor(
        dim=D, action_dim=A, context_length=5, num_tokens=N, num_layers=2, num_heads=2, head_dim=4, ffn_dim=16
    )
    for parameter in model.parameters():  # adaptive layer norm begins as if there were no actions
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@pytest.mark.parametrize("planner", [CEM(num_samples=64, iterations=5, num_elites=8), GradientPlanner(iterations=15)])
def test_a_transformers_goals_are_approached(planner) -> None:
    """The goal is what the model itself imagines of known actions; planning comes near to it in the model's eyes."""
    model, z, past = predictor(), latents(3), actions(1, 2)[:, 0]
    with torch.no_grad():
        goal = model.rollout(z, torch.cat([past, actions(1)[:, 0]], 1))[:, -1:]
    cost = goal_cost(model, z, goal, past, reduce="last")
    plan = planner.plan(cost, torch.zeros(B, H, A), generators(B))
    with torch.no_grad():
        still = cost(torch.zeros(B, 1, H, A))[:, 0]
        assert torch.allclose(cost(plan.action[:, None])[:, 0], plan.cost, atol=1e-5)
    assert (plan.cost < 0.3 * still).all()
    assert all(p.grad is None for p in model.parameters())


def test_horizons_beyond_the_context_are_refused_by_the_model() -> None:
    cost = goal_cost(predictor(), latents(3), latents(seed=1), actions(1, 2)[:, 0])
    with pytest.raises(ValueError, match=r"rollout of 4 steps from 3 frames .* this predictor has 5"):
        CEM(num_samples=40).plan(cost, torch.zeros(B, 4, A), generators(B))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (partial(goal_cost, goal=torch.zeros(B, 1, N, D + 1)), r"goal latents must be one frame .* \[2, 1, 2, 4\]"),
        (partial(goal_cost, goal=torch.zeros(B, 1, N + 1, D)), "encode the goal with the same model"),
        (partial(goal_cost, goal=torch.zeros(B, 2, N, D)), "goal latents must be one frame"),
        (partial(goal_cost, goal=torch.zeros(1, 1, N, D)), "goal latents must be one frame"),
        (partial(goal_cost, goal=torch.zeros(B, 1, N, D), distance="l3"), '"l2", "l1" or "cosine"'),
        (partial(goal_cost, goal=torch.zeros(B, 1, N, D), reduce="mean"), '"sum" or "last"'),
        (partial(goal_cost, goal=torch.zeros(B, 1, N, D), past=torch.zeros(B, 1, A)), "Tc - 1 past actions"),
        (partial(head_cost, lambda x: x, reduce="mean"), '"sum" or "last"'),
    ],
)
def test_what_does_not_fit_is_refused(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make(model=Linear(), z=latents())


def test_more_frames_than_past_actions_are_refused() -> None:
    with pytest.raises(ValueError, match="Tc - 1 past actions"):
        goal_cost(Linear(), latents(2), latents(seed=1))


def test_other_faults_are_named() -> None:
    with pytest.raises(ValueError, match="at least one"):
        add()
    with pytest.raises(ValueError, match="size must be at least 1"):
        in_parts(action_penalty, 0)
    with pytest.raises(ValueError, match=r"one value a step, \[10, 3\]"):
        head_cost(lambda x: x, Linear(), latents())(actions())
    goal = latents(seed=1)
    goal[1] = torch.nan
    with pytest.raises(ValueError, match="sample 0 in row 1 of iteration 0 is nan"):
        CEM().plan(goal_cost(Linear(), latents(), goal), torch.zeros(B, H, A), generators(B))
