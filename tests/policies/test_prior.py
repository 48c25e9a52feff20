"""The hybrid: a chunk as the start of planning."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from point_world import PLANNER, SPEC, Script, chunk_learner, drive, look, point_learner, point_statistics, points
from tensordict import TensorDict
from torch import Tensor
from toys import ToyStatistics

from worldjepa.learner import Learner
from worldjepa.plan import CEM
from worldjepa.recipes import act_jepa, bc, gcbc, make_learner
from worldjepa_policies.chunk import ChunkPolicy
from worldjepa_policies.prior import HybridPolicy


def naive_chunk(learner: Learner, frames: list[Tensor]) -> Tensor:
    obs = TensorDict(
        {"place": TensorDict({"x": torch.stack(frames)[None]}, batch_size=[1, len(frames)])}, [1, len(frames)]
    )
    return learner.actions(obs)[0].detach()


def test_the_search_begins_at_the_chunk_and_knows_the_last_plan() -> None:
    world, chunks, script = point_learner(stride=2), chunk_learner(), Script(elites=1)
    _, places = drive(HybridPolicy(world, chunks, script, execute=1), *points(1), 4)
    for plan, frames in enumerate(([places[0, 0]] * 2, [places[1, 0], places[2, 0]])):
        raw = naive_chunk(chunks, frames)
        expected = world.normalizer.normalize("action", raw.reshape(5, 4))
        assert torch.allclose(script.inits[plan][0], expected, atol=1e-5)
    assert script.candidates[0].abs().max() == 0
    assert script.candidates[1][0, :, :, 0].tolist() == [
        pytest.approx([0.2, 0.3, 0.4, 0.5, 0]),
        pytest.approx([100.2, 100.3, 100.4, 100.5, 0]),
    ]


@pytest.mark.parametrize("chunk", [3, 7, 20])
def test_a_chunk_is_cut_to_blocks_and_to_the_horizon(chunk) -> None:
    world, chunks, script = point_learner(stride=2), chunk_learner(chunk), Script()
    place, goal = points(1)
    HybridPolicy(world, chunks, script).act(look(place, goal))
    whole = min(chunk // 2, 5)
    raw = naive_chunk(chunks, [place[0]] * 2)
    assert torch.allclose(
        world.normalizer.denormalize("action", script.inits[0][0, :whole]).reshape(-1, 2), raw[: 2 * whole], atol=1e-5
    )
    assert script.inits[0][0, whole:].abs().sum() == 0


def test_the_plan_is_never_worse_than_the_chunk_in_the_models_eyes() -> None:
    world, chunks = point_learner(stride=2), chunk_learner()
    place, goal = points(3)
    policy = HybridPolicy(world, chunks, PLANNER)
    policy.act(look(place, goal))
    for row in range(3):
        raw = naive_chunk(chunks, [place[row]] * 2)
        x = place[row] + 0.2 * raw.cumsum(0)[1::2]
        away = ((x - goal[row]) / torch.tensor([0.8, 1.1])).square().mean(-1).sum()
        plan = policy.plan_of(row)
        assert plan is not None
        assert plan.cost[0] <= away + 1e-4


def test_the_hybrid_reaches_goals_and_its_rows_know_nothing_of_each_other() -> None:
    place, goal = points(3)

    def run(rows: list[int]) -> tuple[Tensor, Tensor]:
        policy = HybridPolicy(point_learner(), chunk_learner(), PLANNER, execute=2)
        for i, row in enumerate(rows):
            policy.seed(i, row)
        return drive(policy, place[rows], goal[rows], 20)

    torch.manual_seed(0)
    actions, places = run([0, 1, 2])
    assert (places[-1] - goal).norm(dim=-1).max() < 0.05
    torch.manual_seed(0)
    assert torch.equal(run([1])[0][:, 0], actions[:, 1])


def test_a_reset_forgets_what_the_chunk_learner_saw() -> None:
    place, goal = points(2)
    chunks, script = chunk_learner(), Script()
    policy = HybridPolicy(point_learner(stride=2), chunks, script)
    drive(policy, place, goal, 3)
    policy.reset(torch.tensor([True, False]))
    policy.act(look(place + 1.0, goal))
    expected = naive_chunk(chunks, [place[0] + 1.0] * 2)
    found = policy.learner.normalizer.denormalize("action", script.inits[-1][0]).reshape(-1, 2)
    assert torch.allclose(found, expected, atol=1e-5)


def test_learners_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="chunk of 1 actions is shorter than the world model's block of 2"):
        HybridPolicy(point_learner(stride=2), chunk_learner(chunk=1), PLANNER)
    wide = replace(SPEC, action_dim=3, action_low=(-1.0,) * 3, action_high=(1.0,) * 3)
    ones = ToyStatistics(np.zeros(3), np.ones(3), -np.ones(3), np.ones(3))
    other = make_learner("bc", bc.Config(hidden=(16,), dim=8), wide, {**point_statistics(), "action": ones})
    with pytest.raises(ValueError, match="actions have size 3, the world model's 2"):
        HybridPolicy(point_learner(), other, PLANNER)


def test_act_jepa_may_propose_too() -> None:
    config = act_jepa.Config(
        history=1,
        chunk=4,
        horizon=3,
        dim=16,
        num_heads=2,
        ffn_dim=32,
        encoder_layers=1,
        predictor_dim=8,
        predictor_layers=1,
    )
    chunks = make_learner("act_jepa", config, SPEC, point_statistics())
    place, goal = points(2)
    planner = CEM(num_samples=200, iterations=8, num_elites=20)
    _, places = drive(HybridPolicy(point_learner(), chunks, planner, execute=2), place, goal, 20)
    assert (places[-1] - goal).norm(dim=-1).max() < 0.1


def test_a_goal_conditioned_cloner_proposes_what_it_would_do() -> None:
    torch.manual_seed(3)
    cloner = make_learner("gcbc", gcbc.Config(chunk=4, history=2, hidden=(16,), dim=8), SPEC, point_statistics())
    world, script = point_learner(stride=2), Script()
    place, goal = points(2)
    HybridPolicy(world, cloner, script).act(look(place, goal))
    alone, _ = drive(ChunkPolicy(cloner), place, goal, 1)
    found = world.normalizer.denormalize("action", script.inits[0][0, :1]).reshape(-1, 2)
    assert torch.allclose(found[0], alone[0, 0], atol=1e-5)
    other = Script()
    HybridPolicy(world, cloner, other).act(look(place, goal + 1.0))
    assert not torch.allclose(other.inits[0], script.inits[0], atol=1e-3)
